"""What keeps an energy that is trained by KALE smooth, and its gradients bounded."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from gibbsian.core import Energy, Gradients
from gibbsian.core.numerics import one_centred_penalty, zero_centred_penalty
from gibbsian.methods.checks import check_weight

LEAST_MASS = 1e-2
"""A mean of exp(-(E + A)) below this lengthens A's Newton step no further: it would overshoot."""


@dataclass(frozen=True)
class Smoothness:
    """Weighted penalties: mean |grad E|^2, mean (|grad E| - 1)^2, and the weights' mean square.

    KALE metrises weak convergence, and gives the base a useful gradient, only over energies with a
    common Lipschitz constant (Arbel, Zhou, Gretton 2021, section 3.1).
    """

    gradient_penalty_weight: float
    unit_gradient_penalty_weight: float
    parameter_l2: float

    def __post_init__(self) -> None:
        for name in ("gradient_penalty_weight", "unit_gradient_penalty_weight", "parameter_l2"):
            check_weight(name, getattr(self, name))

    def __call__(
        self, network: nn.Module, energy: Energy, x: Tensor, y: Tensor, mix: Tensor
    ) -> Tensor:
        """The sum, scalar, for ``network``'s weights and the slopes of ``energy`` at mix x + (1 - mix) y.

        ``x``, ``y``: ``[N, *event]``, data and base samples; ``mix [N]``: uniform.
        """
        value = x.new_zeros(())
        if self.gradient_penalty_weight > 0:
            a = mix.view(-1, *[1] * (x.dim() - 1))
            slopes = zero_centred_penalty(energy, a * x + (1.0 - a) * y)
            value = value + self.gradient_penalty_weight * slopes
        if self.unit_gradient_penalty_weight > 0:
            value = value + self.unit_gradient_penalty_weight * one_centred_penalty(
                energy, x, y, mix
            )
        if self.parameter_l2 > 0:
            weights = nn.utils.parameters_to_vector(network.parameters())
            value = value + self.parameter_l2 * weights.square().mean()
        return value


def bounded(gradients: Gradients) -> Gradients:
    """The gradient of A by ``newton``; g of each weight of the energy becomes 2g / (1 + g^2).

    The energy's gradients hold exp(-E) at base samples, which explodes where one of them lies far
    below the rest; the map keeps them within [-1, 1]. (From the authors' released code.)
    """
    return {
        name: newton(g) if name == "A" else 2.0 * g / (1.0 + g.square())
        for name, g in gradients.items()
    }


def newton(g: Tensor) -> Tensor:
    """g / (1 - g) of g = 1 - m, m = mean exp(-(E(y) + A)): the Newton step of A - 1 + m in A."""
    return g / (1.0 - g).clamp_min(LEAST_MASS)


def has_trainable(module: nn.Module) -> bool:
    """Whether gradient descent could move anything in ``module``."""
    return any(parameter.requires_grad for parameter in module.parameters())
