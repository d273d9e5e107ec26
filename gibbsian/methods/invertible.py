"""A generator's distribution as a base: its density, where it has one, and the measure of what it carries."""

from __future__ import annotations

from torch import Tensor, nn

from gibbsian.core.measures import Counting, Gaussian, Measure, RealSpace, Undefined
from gibbsian.core.protocols import Invertible


def as_invertible(generator: nn.Module) -> Invertible:
    """``generator`` itself; ValueError if it is not an ``Invertible``."""
    if not isinstance(generator, Invertible):
        raise ValueError(
            f"the distribution of {type(generator).__name__} has no density that can be computed; use an "
            "invertible generator (--generator flow, or a class with forward_with_log_det and "
            "inverse_with_log_det), or base implicit"
        )
    return generator


def draw_with_log_density(
    generator: Invertible, prior: Gaussian, z: Tensor
) -> tuple[Tensor, Tensor]:
    """x = G(z) and log q(x) = log p0(z) - log |det dx/dz| ``[B]``, differentiable in G and z."""
    x, log_det = generator.forward_with_log_det(z)
    return x, prior.log_density(z) - log_det


def log_density(generator: Invertible, prior: Gaussian, x: Tensor) -> Tensor:
    """log q(x) = log p0(z) + log |det dz/dx| at z = G^-1(x), ``[B, *event] -> [B]``, nats."""
    z, log_det = generator.inverse_with_log_det(x)
    return prior.log_density(z) + log_det


def measure_over_base(base: str, measure: Measure | Undefined) -> Measure | Undefined:
    """Where the model has a density: nowhere over an implicit base, on all of R^d over an explicit one.

    Raises ValueError where the base cannot be had: binary data, or a proposal for an energy without
    a normaliser.
    """
    if base == "implicit":
        return Undefined(
            measure.shape, "the base is a generator's distribution, which has no density here"
        )
    if isinstance(measure, Counting):
        raise ValueError("an invertible generator needs continuous data; use base implicit")
    if base == "proposal" and isinstance(measure, Undefined):
        raise ValueError(
            "base proposal needs an energy with a normaliser; use energy confined, a box, or base "
            "explicit"
        )
    return RealSpace(measure.shape) if isinstance(measure, Undefined) else measure
