"""log Z and log-densities of a trained model, from both sides, in the data's units."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from gibbsian.bounds import Entropy, LogDetEntropy
from gibbsian.core import Energy, Estimate, Interval, NotDefined, TrainingMethod
from gibbsian.core.measures import Box, Counting, Gaussian, Mixed, Undefined, one_hot_draws
from gibbsian.core.protocols import (
    Flow,
    HasDecoder,
    HasEnergy,
    HasLearnedLogZ,
    HasLogProb,
    HasLogWeights,
    HasOverlap,
    HasZWeights,
)
from gibbsian.evaluation import (
    bihm_log_likelihood,
    directed_model_log_likelihood,
    held_out_log_likelihood,
    log_partition,
    log_z_lower_variational,
)
from gibbsian.evaluation.log_z.boltzmann import machine_log_partition
from gibbsian.evaluation.log_z.directed import mean_weights
from gibbsian.evaluation.log_z.effort import Amount
from gibbsian.evaluation.log_z.enumeration import MOST_UNITS
from gibbsian.evaluation.log_z.exact_draws import log_partition_from_exact_draws
from gibbsian.evaluation.log_z.helmholtz_machines import overlap
from gibbsian.models.model import CHUNK, Model, with_doubles
from gibbsian.samplers import RBM

DRAWS = 2_000
NEAR = 500
SAMPLES = 256
"""Samples of a restricted Boltzmann machine from which annealing goes back."""
WEIGHED, WEIGHTS = 500, 500
"""Rows that are weighed at a time, and weights of each."""
NORMALISED = Estimate(0.0, 0.0, "both", "exact", "the model is normalised by construction")
"""log Z of an energy that is -log p."""


def log_z(
    model: Model,
    near: Tensor | None = None,
    seed: int = 0,
    bound: Estimate | NotDefined | None = None,
    effort: Amount = "normal",
) -> Interval | NotDefined:
    """log Z of the model's energy over its declared base, in the networks' units.

    ``near``: points ``[N, *event]`` in those units that show where the mass is, otherwise
    `reference_points`. ``bound``: what `generator_bound` finds, if that is known already.
    ``effort``: quick, normal or high.
    """
    model = with_doubles(model)
    method = model.method
    if isinstance(method, HasOverlap):
        return overlap(method.overlap_terms, model.rng(seed))
    if isinstance(method, HasLogProb) and isinstance(method, HasEnergy):
        return Interval(NORMALISED, NORMALISED)
    if isinstance(method, HasZWeights):
        # A seed from a seed: training, whose generator may have the same one, saw none of these draws.
        fresh = int(torch.randint(2**31, (), generator=torch.Generator().manual_seed(seed)))
        return log_partition_from_exact_draws(method.z_log_weights, model.rng(fresh), effort)
    if method.directed:
        return NotDefined("the model is normalised by construction")
    if not isinstance(method, HasEnergy):
        return NotDefined(f"{model.config.method} has no energy")
    near = reference_points(model, seed) if near is None else near
    bound = generator_bound(model, seed) if bound is None else bound
    offered = {"generator": bound} if isinstance(bound, Estimate) else None
    if isinstance(method.measure, Counting):
        machine = RBM.behind(method.energy)
        if machine is not None and min(machine.weight.shape) > MOST_UNITS:
            rng = model.rng(seed)
            samples = method.sample(SAMPLES, rng)
            return machine_log_partition(
                machine, rng=rng, points=near, samples=samples, effort=effort
            )
    return log_partition(
        method.energy,
        method.measure,
        rng=model.rng(seed),
        reference_points=near,
        effort=effort,
        variational=offered,
    )


def estimated_energy(model: Model) -> Energy | None:
    """The energy whose log Z `log_z` estimates from points: a continuous one beyond three dimensions."""
    method = model.method
    if (
        method.directed
        or isinstance(method, HasOverlap | HasZWeights)
        or not isinstance(method, HasEnergy)
    ):
        return None
    continuous = not isinstance(method.measure, Counting | Mixed | Undefined)
    return method.energy if continuous and math.prod(method.measure.shape) > 3 else None


def exact_log_z(model: Model, z: Interval | NotDefined | None, seed: int) -> Interval:
    """``z``, or what `log_z` finds, where its two sides are one number up to the error of quadrature.

    ValueError, naming ``log_prob_bounds``, where it is not.
    """
    if not isinstance(model.method, HasLogWeights):
        found = log_z(model, seed=seed) if z is None else z
        if isinstance(found, Interval) and found.lower.standing == "exact":
            return found
    raise ValueError(
        f"log_prob of this {model.config.method} model is not known exactly; "
        "log_prob_bounds(x) gives what is known from both sides"
    )


def reference_points(model: Model, seed: int) -> Tensor | None:
    """Points ``[N, *event]`` that show where a model without its data has mass; None where no one asks.

    Normal points with the spread of its training data and, where annealing will start from them
    (beyond three dimensions), as many samples of the model, whose shape they have. Both, so that a
    sampler that has lost a mode does not hide it.
    """
    measure = model.method.measure
    if isinstance(measure, Box | Counting | Undefined):
        return None
    if isinstance(measure, Mixed):
        return mixed_points(model, measure, seed)
    rng, points = model.rng(seed), []
    if model.moments is None or math.prod(measure.shape) > 3:
        with torch.no_grad():
            points.append(model.method.sample(NEAR, rng))
    if model.moments is not None:
        mean, std = model.moments.to(model.device)
        size = NEAR, *measure.shape
        points.append(mean + std * torch.randn(size, generator=rng, device=rng.device))
    return torch.cat(points)


def mixed_points(model: Model, measure: Mixed, seed: int) -> Tensor:
    """The same of mixed rows: samples, and independent columns with the moments of the training data."""
    rng = model.rng(seed)
    with torch.no_grad():
        points = [model.method.sample(NEAR, rng)]
    if model.moments is not None:
        mean, std = (row[: measure.numbers] for row in model.moments.to(model.device))
        rates = model.moments[0, measure.numbers :].to(model.device).clamp_min(1e-6)
        numbers = mean + std * torch.randn((NEAR, len(mean)), generator=rng, device=rng.device)
        drawn = one_hot_draws(rates, measure.categories, NEAR, rng)
        points.append(torch.cat([numbers, drawn], 1))
    return torch.cat(points)


def learned_log_z(model: Model) -> Estimate | None:
    """log Z as training learned it, where the method does; an estimate whose error is not known."""
    method = model.method
    if not isinstance(method, HasLearnedLogZ) or isinstance(method.measure, Undefined):
        return None
    if (learned := method.learned_log_z()) is None:
        return None
    how = "a parameter of the method; its error is not known"
    return Estimate(float(learned), math.nan, "both", "estimate", how)


def entropy_of(method: TrainingMethod) -> Entropy | None:
    """How the generator's entropy is known; None where its distribution has no part in the energy.

    Any distribution bounds log Z: an invertible generator is valued by its own volume, without output noise.
    """
    prior, generator = getattr(method, "prior", None), getattr(method, "generator", None)
    lower = getattr(method, "entropy_estimator", None)
    if isinstance(lower, Entropy) and not isinstance(generator, Flow):
        return lower
    follows = isinstance(generator, Flow) or getattr(method, "latent_target", "") == "energy"
    return LogDetEntropy(prior) if follows and isinstance(prior, Gaussian) else None


def generator_bound(model: Model, seed: int) -> Estimate | NotDefined | None:
    """Gibbs' lower side of log Z by the distribution of the method's own generator.

    A bound in expectation where the entropy's conditions are proved, otherwise an estimate. None
    without a generator whose distribution has a density on all of x, or without a measure.
    """
    method = model.method
    entropy, measure = entropy_of(method), method.measure
    if entropy is None or not isinstance(method, HasEnergy) or isinstance(measure, Undefined):
        return None
    generator: Any = method.generator
    guarantee = entropy.guarantee(generator, math.prod(measure.shape))
    if guarantee.quantity != "log Z" or isinstance(measure, Counting):
        return None
    rng = model.rng(seed)
    with torch.no_grad():
        z = entropy.prior.sample(DRAWS, rng)
        draws = entropy(generator, z, *entropy.randomness(z, measure.shape, rng))
        if measure.log_density(draws.x).isneginf().any():
            return NotDefined("the generator's distribution reaches beyond the box")
    if not draws.entropy.isfinite().all():
        return NotDefined("the generator's Jacobian has lost rank")
    conditions = f", if {' and '.join(guarantee.conditions)}" if guarantee.conditions else ""
    how = f"the generator's distribution{conditions}"
    return log_z_lower_variational(
        method.energy, measure, draws, is_bound=guarantee.proved, how=how
    )


def log_prob_bounds(
    model: Model,
    x: Tensor,
    z: Interval | NotDefined | None,
    seed: int,
    dequantise: bool = True,
) -> tuple[Tensor, Tensor]:
    """Lower and upper log-densities ``[n]`` of rows ``x`` in the user's units; see ``Model``."""
    if isinstance(model.method, HasLogWeights):
        below = directed_log_density(model, x, seed)
        return below, torch.full_like(below, math.inf)
    found = log_z(model, seed=seed) if z is None else z
    if isinstance(found, NotDefined):
        raise ValueError(f"{model.config.method} has no log-density: log Z is {found}")
    u = model.to_network_units(x, seed, dequantise)
    return scaled_log_density(model, u, model.energy_of_network_inputs(u), found)


def scaled_log_density(
    model: Model, u: Tensor, energies: Tensor, z: Interval
) -> tuple[Tensor, Tensor]:
    """Lower and upper log-densities ``[n]``, in the user's units, from log Z's two sides.

    Of points ``u [n, *event]`` that are in the networks' units, and their ``energies [n]``.
    """
    weights = log_weights(model, u, energies) + model.transform.log_jacobian
    return weights - z.upper.value, weights - z.lower.value


def log_weights(model: Model, u: Tensor, energies: Tensor) -> Tensor:
    """-E + log b ``[n]``: the log-density up to a constant; without a measure -E alone."""
    measure = model.method.measure
    if isinstance(measure, Undefined):
        return -energies.cpu()
    return measure.log_density(u).cpu() - energies.cpu()


def mean_log_likelihood(
    model: Model,
    x: Tensor,
    z: Interval | NotDefined,
    seed: int,
    numbers: Sequence[int] | None = None,
) -> Interval | NotDefined:
    """Mean of log p over the rows of ``x [B, *event]``, both sides, in the user's units.

    ``numbers [B]``: what the rows are called in a warning.
    """
    method = model.method
    if isinstance(method, HasLogWeights):
        return directed_likelihood(model, x, seed)
    if isinstance(z, NotDefined):
        return z
    assert isinstance(method, HasEnergy) and not isinstance(method.measure, Undefined)
    u = model.to_network_units(x, seed)
    found = held_out_log_likelihood(method.energy, method.measure, z, u, numbers)
    if isinstance(found, NotDefined):
        return found
    return shifted(found, model.transform.log_jacobian)


def directed_likelihood(model: Model, x: Tensor, seed: int) -> Interval | NotDefined:
    """Mean of log p over the rows of ``x [B, *event]``, both sides, in the user's units."""
    method = model.method
    if not isinstance(method, HasLogWeights):
        return NotDefined("the method has no weights of draws to bound it by")
    rng = model.rng(seed)
    u = model.transform.encode(x.to(model.device), rng)
    decoder = (method.decoded, method.prior) if isinstance(method, HasDecoder) else None
    found = directed_model_log_likelihood(method.log_weights, u, rng, k=WEIGHTS, decoder=decoder)
    return shifted(found, model.transform.log_jacobian)


def between_log_likelihood(model: Model, x: Tensor, z: Interval, seed: int) -> Interval:
    """Mean of log p* over the rows of ``x``, of a model p* between two directed ones, in the user's units."""
    method, rng = model.method, model.rng(seed)
    assert isinstance(method, HasLogWeights)
    u = model.transform.encode(x.to(model.device), rng)
    found = bihm_log_likelihood(method.log_weights, z, u, rng, k=WEIGHTS)
    return shifted(found, model.transform.log_jacobian)


def directed_log_density(model: Model, x: Tensor, seed: int) -> Tensor:
    """log p of every row ``[n]`` from below by ``WEIGHTS`` samples, in the user's units."""
    model.check_shape(x)
    rng = model.rng(seed)
    return torch.cat([directed_part(model, part, rng) for part in x.split(CHUNK)])


def directed_part(model: Model, x: Tensor, rng: Generator) -> Tensor:
    """The same of at most ``CHUNK`` rows, with the noise and weights that come next."""
    method = model.method
    assert isinstance(method, HasLogWeights)
    u = model.transform.encode(x.to(model.device), rng)
    rows = [
        mean_weights(method.log_weights, part, WEIGHTS, rng).log_mean for part in u.split(WEIGHED)
    ]
    return (torch.cat(rows) + model.transform.log_jacobian).float().cpu()


def shifted(interval: Interval, nats: float) -> Interval:
    """An interval moved by a constant: the log-Jacobian of the scaling."""
    sides = (interval.lower, interval.upper)
    lower, upper = (dataclasses.replace(side, value=side.value + nats) for side in sides)
    return dataclasses.replace(interval, lower=lower, upper=upper)
