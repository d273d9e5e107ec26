"""What is left open of a large image by a small one: an energy of y given x = U(y)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from gibbsian.core.imaging import downscale, total_variation
from gibbsian.core.numerics import call_frozen

BOX = (-1.0, 1.0)
"""Where images lie in the networks' units."""


@dataclass(frozen=True)
class ConditionalEnergy:
    """E(y; x) = |Phi(x) - Psi(y)|^2 + a |grad y|_1 + b |U(y) - x|^2 of one or more x.

    a: ``total_variation_weight``, b: ``downscaling_consistency_weight``.
    ``y [B, C, f h, f w] -> [B]``, for ``x [B or 1, C, h, w]`` with ``prediction`` Phi(x); both
    statistics are in units of ``scale``, their errors at the point estimate. -E is the log-density of
    y given x up to a constant, relative to Lebesgue measure on [-1, 1]^d.
    """

    statistics: nn.Module
    x: Tensor
    prediction: Tensor
    scale: Tensor
    factor: int
    total_variation_weight: float
    downscaling_consistency_weight: float

    def __call__(self, y: Tensor) -> Tensor:
        """``[B, C, f h, f w] -> [B]``."""
        error = (self.prediction - call_frozen(self.statistics, y)) / self.scale
        value = error.square().flatten(1).sum(1)
        if self.total_variation_weight > 0:
            value = value + self.total_variation_weight * total_variation(y)
        if self.downscaling_consistency_weight > 0:
            residual = downscale(y, self.factor) - self.x
            value = value + self.downscaling_consistency_weight * residual.square().flatten(1).sum(
                1
            )
        return value


def check_picture(shape: tuple[int, ...], factor: int) -> None:
    """ValueError unless ``shape`` is that of an image (C, H, W) whose sides ``factor`` divides."""
    if len(shape) != 3:
        raise ValueError(
            f"super-resolution needs images (C, H, W), not observations of shape {list(shape)}"
        )
    if shape[1] % factor or shape[2] % factor:
        raise ValueError(
            f"images of {shape[1]}x{shape[2]} cannot be reduced by {factor}; choose another factor, "
            f"or patches whose side is a multiple of {factor}"
        )
