"""From a configuration to a method with its networks, prior and base measure."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn

from gibbsian.config.config import Config, check_seed, half_width, replace
from gibbsian.core import Method, Space, check_energy, limits
from gibbsian.core.measures import Box, Counting, Gaussian, Measure, RealSpace, Undefined
from gibbsian.core.randomness import kept_global, seed_global
from gibbsian.methods import METHODS
from gibbsian.models.roles import LATENT_ROLES, Shape, blaming, input_space
from gibbsian.networks import NETWORKS, build


def resolve(
    config: Config,
    space: Space,
    x_train: Tensor,
    networks: Mapping[str, nn.Module] | None = None,
) -> Config:
    """Replace what depends on the data by values: batch 0, an automatic box, what options demand.

    ``x_train [N, *event]`` is in the networks' units. An automatic box is a quarter wider than the
    training data; it is chosen only for bounded energies of vectors, which need one. ``networks`` are
    instances that replace the named ones.
    """
    check_seed(config.training.seed)
    given = networks or {}
    changes: dict[str, object] = {}
    if config.training.batch == 0:
        changes["training"] = {"batch": min(256, len(x_train))}
    for (option, value), settings in METHODS[config.method].demands.items():
        if getattr(config, option) == value:
            for role, fields in settings.items():
                has = config.networks[role].options
                changes[role] = {name: v for name, v in fields.items() if name in has}
    config = replace(config, **changes)
    if config.box == "auto":
        half = "none"
        if "energy" in METHODS[config.method].networks and space.box is None:
            energy = given["energy"] if "energy" in given else _network(config, "energy", space)
            if getattr(energy, "bounded", False):
                half = str(math.ceil(12.5 * x_train.abs().max().item()) / 10)
        config = replace(config, box=half)
    if config.box != "none":
        half_width(config.box)
    return config


def boxed(space: Space, box: str) -> Space:
    """``space`` with the box that the configuration asks for, where the data have none of their own."""
    if box == "none" or space.box is not None:
        return space
    half = half_width(box)
    return dataclasses.replace(space, box=(-half, half))


def measure_of(energy: nn.Module | None, space: Space) -> Measure | Undefined:
    """The base measure on which exp(-E) has a normaliser, or the reason why there is none."""
    if energy is None:
        return Undefined(space.shape, "the critic of a GAN is not the energy of a density on x")
    if space.kind == "binary":
        return Counting(space.shape)
    if space.box is not None:
        return Box(space.shape, *space.box)
    if getattr(energy, "confining", False):
        return RealSpace(space.shape)
    why = "exp(-E) has no finite integral over R^d: the energy does not grow at infinity; "
    remedy = "give the data a box (--box 4), use a confined energy, or set confining = True on a"
    return Undefined(space.shape, f"{why}{remedy} class of your own that grows")


def whole(space: Space) -> Measure:
    """The measure that densities without a normaliser to find are relative to."""
    return Counting(space.shape) if space.kind == "binary" else RealSpace(space.shape)


def assemble(
    config: Config, space: Space, networks: Mapping[str, nn.Module] | None = None
) -> Method:
    """Build the method of a resolved configuration; ``networks`` replaces the named ones by instances.

    Weights are drawn from the global generator, seeded here and put back as it was. Raises
    ValueError when a network's output does not fit.
    """
    given = dict(networks or {})
    cls = METHODS[config.method]
    space = boxed(space, config.box)
    seen: dict[str, Space] = {}
    with kept_global(), limits.counted():
        seed_global(config.training.seed)
        parts: dict[str, Any] = {}
        for role in cls.networks:
            seen[role] = input_space(config, role, space, parts)
            own = role in given
            parts[role] = given.pop(role) if own else _network(config, role, seen[role])
        if given:
            raise ValueError(
                f"{config.method} has no network {sorted(given)[0]!r}; its networks are "
                f"{', '.join(cls.networks)}"
            )
        parameters = inspect.signature(cls).parameters
        if "prior" in parameters:
            parts["prior"] = Gaussian((config.options["latent"],))
        if "measure" in parameters:
            directed = cls.directed
            energy = parts.get("energy")
            parts["measure"] = whole(space) if directed else measure_of(energy, space)
        options = {name: v for name, v in config.options.items() if name != "latent"}
        _check_networks(parts, seen, space)
        return cls(**parts, **options)


def _network(config: Config, role: str, space: Space) -> nn.Module:
    name, options = config.networks[role].name, config.networks[role].options
    with limits.counted(), blaming(f"your own network {name}") if ":" in name else nullcontext():
        if role in LATENT_ROLES:
            return build(role, name, options, space=space, latent=config.options["latent"])
        return build(role if role in NETWORKS else "energy", name, options, space=space)


def _check_networks(parts: Mapping[str, object], seen: Mapping[str, Space], space: Space) -> None:
    """Run each network once on two rows: a wrong shape is an error here, not after an hour."""
    for role, network in parts.items():
        if not isinstance(network, nn.Module):
            continue
        trainable = any(parameter.requires_grad for parameter in network.parameters())
        if not trainable and role != "generator":  # whether a generator must move, its method says
            raise ValueError(f"the {role} network has no parameters to train")
        shape: Shape = seen[role].shape
        returned: Shape = ()
        if role in LATENT_ROLES:
            prior = parts["prior"]
            assert isinstance(prior, Gaussian)
            shape, returned = LATENT_ROLES[role].shapes(seen[role], *prior.shape)
        before = network.training
        network.eval()
        with torch.enable_grad(), blaming(f"the {role} network, given [2, {_sizes(shape)}],"):
            inputs = [torch.zeros(2, *shape)]
            if role == "beliefs":
                inputs += [torch.zeros(2, n) for n in cast("tuple[int, ...]", network.sizes)[1:]]
            if role == "student":
                inputs.append(torch.zeros(2, cast("int", network.noise)))
            if getattr(network, "takes_time", False):
                inputs.append(torch.zeros(2))
            value = network(*inputs)
        network.train(before)
        if not isinstance(value, Tensor):
            raise ValueError(f"the {role} network returns a {type(value).__name__}, not a tensor")
        if trainable and not value.requires_grad:
            raise ValueError(
                f"the {role} network's output carries no gradient to its parameters; leave out detach, "
                "no_grad and conversions to whole numbers"
            )
        if role in ("autoencoder", "predictor", "point"):
            returned = space.shape if role == "point" else seen[role].shape
        elif role == "statistics":  # whose maps statistics_space has looked at
            continue
        elif role not in LATENT_ROLES:
            check_energy(value, 2)
            continue
        if value.shape != (2, *returned):
            known = LATENT_ROLES.get(role)
            output = known.output if known is not None else "one observation is"
            raise ValueError(
                f"the {role} returns {list(value.shape[1:])} per row, but {output} {list(returned)}"
            )


def _sizes(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))


def known_networks() -> dict[str, tuple[str, ...]]:
    """Names of the built-in networks, by role."""
    return {role: tuple(named) for role, named in NETWORKS.items()}
