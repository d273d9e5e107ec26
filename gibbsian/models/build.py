"""From a configuration to a method with its networks, prior and base measure."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gibbsian.config.config import (
    Config,
    builder_of,
    check_seed,
    half_width,
    method_class,
    networks_of,
    replace,
)
from gibbsian.core import DataSpace, TrainingMethod, check_energy, limits
from gibbsian.core.measures import Box, Counting, Gaussian, Measure, Mixed, RealSpace, Undefined
from gibbsian.core.module_errors import blaming
from gibbsian.core.randomness import kept_global, seed_global
from gibbsian.core.roles import Role, Setting, check_output
from gibbsian.core.signatures import options_of
from gibbsian.methods import TRAINING_METHODS
from gibbsian.networks import build_from


def resolve(
    config: Config,
    space: DataSpace,
    x_train: Tensor,
    networks: Mapping[str, nn.Module] | None = None,
) -> Config:
    """Replace what depends on the data by values: batch 0, an automatic box, what options demand.

    ``x_train [N, *event]`` is in the networks' units. An automatic box is a quarter wider than the
    training data; it is chosen only for bounded energies of vectors, which need one. ``networks`` are
    instances that replace the named ones.
    """
    check_seed(config.training.seed)
    check_categories(config.method, space)
    given = networks or {}
    changes: dict[str, object] = {}
    if config.training.batch == 0:
        changes["training"] = {"batch": min(256, len(x_train))}
    for name, role in method_class(config.method).roles.items():
        has = config.networks[name].options
        suited = _for_mixed(config, name) if space.kind == "mixed" and name not in given else {}
        demands = {k: v for k, v in role.demands(config.options).items() if k in has}
        changes[name] = {**suited, **demands}
    config = replace(config, **changes)
    if config.domain_half_width == "auto":
        half = "none"
        if "energy" in method_class(config.method).roles and space.box is None:
            energy = given["energy"] if "energy" in given else _network(config, "energy", space, 0)
            if getattr(energy, "bounded", False):
                half = str(math.ceil(12.5 * x_train.abs().max().item()) / 10)
        config = replace(config, domain_half_width=half)
    if config.domain_half_width != "none":
        half_width(config.domain_half_width)
    return config


def check_categories(method: str, space: DataSpace) -> None:
    """ValueError, naming the methods that do, where ``method`` takes no categories and the data have some."""
    if space.kind != "mixed" or method_class(method).mixed:
        return
    takers = [name for name, cls in TRAINING_METHODS.items() if cls.mixed]
    raise ValueError(
        f"{method} takes no columns of categories, which these data have; {', '.join(takers[:-1])} "
        f"and {takers[-1]} do, or leave them out by --drop-columns, or write whole numbers, one a "
        "category, in their place"
    )


def _for_mixed(config: Config, role: str) -> dict[str, Any]:
    """Options of a network that start elsewhere on rows with categories, unless they were set."""
    cls, network = method_class(config.method), config.networks[role]
    usual = options_of(builder_of(config.method, role, network.name))
    found: dict[str, Any] = {
        name: value
        for name, value in cls.settings_of_mixed.get(role, {}).items()
        if name in usual and network.options[name] == usual[name].default
    }
    return found


def boxed(space: DataSpace, box: str) -> DataSpace:
    """``space`` with the box that the configuration asks for, where the data have none of their own."""
    if box == "none" or space.box is not None:
        return space
    half = half_width(box)
    return dataclasses.replace(space, box=(-half, half))


def measure_of(energy: nn.Module | None, space: DataSpace) -> Measure | Undefined:
    """The base measure on which exp(-E) has a normaliser, or the reason why there is none."""
    if energy is None:
        return Undefined(space.shape, "the critic of a GAN is not the energy of a density on x")
    if space.kind == "binary":
        return Counting(space.shape)
    if space.kind == "mixed":
        numbers = space.shape[0] - sum(space.categories)
        if space.box is not None or not numbers or getattr(energy, "confining", False):
            return Mixed(numbers, space.categories, space.box)
        raise ValueError(
            "beside categories the energy must confine the numbers; use --energy confined, or give them "
            "a box (--domain-half-width 4)"
        )
    if space.box is not None:
        return Box(space.shape, *space.box)
    if getattr(energy, "confining", False):
        return RealSpace(space.shape)
    why = "exp(-E) may have no finite integral over R^d: the energy is not declared to grow at infinity; "
    remedy = "give the data a box (--domain-half-width 4), use a confined energy, or set confining = True on"
    return Undefined(space.shape, f"{why}{remedy} a class of your own that grows")


def whole(space: DataSpace) -> Measure:
    """The measure that densities without a normaliser to find are relative to."""
    return Counting(space.shape) if space.kind == "binary" else RealSpace(space.shape)


def assemble(
    config: Config, space: DataSpace, networks: Mapping[str, nn.Module] | None = None
) -> TrainingMethod:
    """Build the method of a resolved configuration; ``networks`` replaces the named ones by instances.

    Weights are drawn from the global generator, seeded here and put back as it was. Raises
    ValueError when a network's output does not fit.
    """
    cls = method_class(config.method)
    with kept_global(), limits.counted():
        seed_global(config.training.seed)
        setting, seen = _networks(config, space, networks)
        check_networks(cls, seen, setting)
        energy = setting.networks.get("energy")
        measure = whole(setting.space) if cls.directed else measure_of(energy, setting.space)
        prior = {"prior": Gaussian((setting.latent,))} if setting.latent else {}
        options = {name: v for name, v in config.options.items() if name != "latent_dim"}
        return cls(**setting.networks, **prior, measure=measure, **options)


def _networks(
    config: Config, space: DataSpace, networks: Mapping[str, nn.Module] | None = None
) -> tuple[Setting, dict[str, DataSpace]]:
    """The networks of a resolved configuration, in a setting, and what each sees."""
    given = dict(networks or {})
    cls = method_class(config.method)
    space = boxed(space, config.domain_half_width)
    seen: dict[str, DataSpace] = {}
    parts: dict[str, nn.Module] = {}
    setting = Setting(space, config.options.get("latent_dim", 0), config.options, parts)
    for name, role in cls.roles.items():
        with blaming(f"what the {name} network sees"):
            seen[name] = role.sees(setting)
        own = name in given
        latent = setting.latent
        parts[name] = given.pop(name) if own else _network(config, name, seen[name], latent)
    if given:
        raise ValueError(
            f"{config.method} has no network {sorted(given)[0]!r}; its networks are "
            f"{', '.join(cls.roles)}"
        )
    return setting, seen


def network_costs(config: Config, space: DataSpace) -> dict[str, tuple[int, int]]:
    """Parameters of each network by role, and multiply-adds of its products and convolutions for a row."""
    from torch.utils.flop_counter import FlopCounterMode  # 0.05 s to import

    costs: dict[str, tuple[int, int]] = {}
    with kept_global(), limits.counted(), torch.no_grad():
        setting, seen = _networks(config, space)
        for name, network in setting.networks.items():
            inputs = _two_rows(
                method_class(config.method).roles[name], network, seen[name], setting
            )
            with FlopCounterMode(display=False) as counter:
                network.eval()(*inputs)
            parameters = sum(parameter.numel() for parameter in network.parameters())
            # it counts two operations for a multiply-add, here of two rows
            costs[name] = (parameters, counter.get_total_flops() // 4)
    return costs


def _two_rows(role: Role, network: nn.Module, seen: DataSpace, setting: Setting) -> list[Tensor]:
    """Zeros of two rows, as a network of ``role`` is called with."""
    inputs = [torch.zeros(2, *shape) for shape in role.inputs(network, seen, setting)]
    return [*inputs, torch.zeros(2)] if getattr(network, "takes_time", False) else inputs


def _network(config: Config, role: str, space: DataSpace, latent: int) -> nn.Module:
    name, options = config.networks[role].name, config.networks[role].options
    declared = method_class(config.method).roles[role]
    known = {"space": space} | ({"latent_dim": latent} if declared.latent else {})
    with limits.counted(), blaming(f"your own network {name}") if ":" in name else nullcontext():
        return build_from(networks_of(declared), role, name, options, **known)


def check_networks(
    cls: type[TrainingMethod], seen: Mapping[str, DataSpace], setting: Setting
) -> None:
    """Run each network once on two rows: a wrong shape is an error here, not after an hour."""
    for name, network in setting.networks.items():
        role = cls.roles[name]
        trainable = any(parameter.requires_grad for parameter in network.parameters())
        if role.trained and not trainable:
            raise ValueError(f"the {name} network has no parameters to train")
        before = network.training
        network.eval()
        with blaming(f"the {name} network"):
            inputs = _two_rows(role, network, seen[name], setting)
        sizes = ", ".join(map(str, inputs[0].shape[1:]))
        with torch.enable_grad(), blaming(f"the {name} network, given [2, {sizes}],"):
            value = network(*inputs)
        network.train(before)
        if not isinstance(value, Tensor):
            raise ValueError(f"the {name} network returns a {type(value).__name__}, not a tensor")
        if trainable and not value.requires_grad:
            raise ValueError(
                f"the {name} network's output carries no gradient to its parameters; leave out detach, "
                "no_grad and conversions to whole numbers"
            )
        if role.returns is None:
            continue
        expected = role.returns(seen[name], setting)
        if expected == ():
            check_energy(value, 2)
        else:
            check_output(name, value, expected, role.output)


def check_weights(method: TrainingMethod, state: Mapping[str, Tensor], folder: Path) -> None:
    """ValueError naming the first weight that ``state`` and the networks of ``method`` disagree on."""
    here = {name: list(value.shape) for name, value in method.state_dict().items()}
    there = {name: list(value.shape) for name, value in state.items()}
    for name in sorted({*here, *there}):
        if here.get(name) != there.get(name):
            raise ValueError(
                f"{folder} was trained with other networks: {name} is {there.get(name, 'missing')} "
                f"there and {here.get(name, 'missing')} here; give networks of your own again by "
                "networks=, or put their code back as it was"
            )


def known_networks() -> dict[str, tuple[str, ...]]:
    """Names of the built-in networks, by role of the built-in methods."""
    found: dict[str, tuple[str, ...]] = {}
    for cls in TRAINING_METHODS.values():
        for name, role in cls.roles.items():
            found[name] = tuple(networks_of(role))
    return found
