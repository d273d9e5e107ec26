"""The upper side by diffusion: the gap KL(q || p) as an integral over noise levels.

For a diffusion whose log signal-to-noise ratio falls from ``snr`` high to low, with marginals
x_t = alpha_t x_0 + sigma_t eps,

    KL(q_0 || p_0) = KL(q_T || p_T) + 1/2 R E_t E_{q_t} |sigma_t grad log (q_t / p_t)|^2

with R the range of log SNR and t uniform in log SNR: the likelihood weighting g(t)^2 / 2 of Song et
al. (2021), under any schedule (Kingma et al. 2021). No log-Sobolev constant: noise bridges separated
modes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from gibbsian.bounds.guarantees import Guarantee
from gibbsian.bounds.upper import Points, Upper
from gibbsian.core.numerics import input_gradient

TimeEnergy = Callable[[Tensor, Tensor], Tensor]
"""E(x, t): ``[B, *event], [B] -> [B]`` with t in [0, 1], 0 the cleanest level."""


class DiffusionScoreMatching(Upper):
    """P = 1/2 R E |sigma_t grad E(x_t, t) - eps|^2 over noise levels t in [0, 1].

    Up to a constant in E it is the integral above for a time-conditional energy with
    grad log p_t = -grad E(., t). ``source``: what is diffused. Samples of q give the bound on
    log Z whose gap is KL(q || p); data give a bound on the negative log-likelihood itself, that of
    the density which the reverse diffusion induces. exp(-E(., 0)) is that density only if E(., t)
    solves the Fokker-Planck equation, and it is the density of x with noise of ``low`` added.

    ``schedule``: preserving, alpha_t^2 = 1 - sigma_t^2, or exploding, alpha_t = 1. ``low`` and
    ``high`` are sigma / alpha at t = 0 and t = 1. Needs an energy that takes t.
    """

    def __init__(
        self,
        *,
        low: float,
        high: float,
        schedule: Literal["preserving", "exploding"] = "preserving",
        source: Literal["samples", "data"] = "samples",
    ):
        if not 0 < low < high < math.inf:
            raise ValueError(
                f"0 < score_matching_noise_min < score_matching_noise_max is needed, not {low} and {high}"
            )
        self.low, self.high, self.schedule, self.source = low, high, schedule, source

    @property
    def log_snr_range(self) -> float:
        """R = 2 log(high / low)."""
        return 2.0 * math.log(self.high / self.low)

    def levels(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """alpha_t and sigma_t of ``t [B]``."""
        ratio = self.low * (self.high / self.low) ** t
        if self.schedule == "exploding":
            return torch.ones_like(ratio), ratio
        alpha = (1.0 + ratio.square()).rsqrt()
        return alpha, ratio * alpha

    def noisy(self, x: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """x_t = alpha_t x + sigma_t eps, ``[B, *event]``."""
        alpha, sigma = (level.view(-1, *[1] * (x.dim() - 1)) for level in self.levels(t))
        return alpha * x + sigma * eps

    def randomness(self, x: Tensor, z: Tensor, rng: Generator) -> tuple[Tensor, ...]:
        """One t for each row, stratified over [0, 1], and eps ``[B, *event]``."""
        n = len(x) if self.source == "data" else len(z)
        offset = torch.rand((), generator=rng, device=rng.device)
        t = (torch.arange(n, device=rng.device) / n + offset) % 1.0
        return t, torch.randn(n, *x.shape[1:], generator=rng, device=rng.device)

    def penalty(
        self, energy: Callable[..., Tensor], generator: nn.Module, at: Points, *randomness: Tensor
    ) -> Tensor:
        """P at the noisy source; ``energy`` takes t as a second input."""
        t, eps = randomness
        x0 = at.x if self.source == "data" else at.x_model
        return 0.5 * self.log_snr_range * self.errors(energy, x0, t, eps).mean()

    def errors(self, energy: Callable[..., Tensor], x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """|sigma_t grad E(x_t, t) - eps|^2, ``[B]``, with x_t = alpha_t x0 + sigma_t eps."""
        slope = slopes(energy, self.noisy(x0, t, eps), t)
        sigma = self.levels(t)[1].view(-1, *[1] * (x0.dim() - 1))
        return (sigma * slope - eps).flatten(1).square().sum(1)

    def guarantee(self) -> Guarantee:
        """Conditional: on the Fokker-Planck equation and on the last level's divergence."""
        quantity = "log Z" if self.source == "samples" else "the negative log-likelihood"
        return Guarantee(
            "upper",
            f"{quantity} + const",
            (
                "M >= 1",
                "exp(-E(., t)) solves the Fokker-Planck equation",
                "the divergence at the last level is added",
            ),
        )


def slopes(energy: TimeEnergy, x: Tensor, t: Tensor) -> Tensor:
    """dE(x, t)/dx per row, differentiable in the parameters of ``energy``."""

    def at(points: Tensor) -> Tensor:
        return energy(points, t)

    return input_gradient(at, x)


def gaussian_terminal_kl(diffusion: DiffusionScoreMatching, x0: Tensor) -> Tensor:
    """An upper bound on KL(q_T || pi) from draws ``x0 [N, *event]`` of q_0, scalar, nats.

    pi is N(0, sigma_T^2 I) in the exploding and N(0, I) in the preserving schedule. By convexity
    KL(q_T || pi) <= E_{x0} KL(N(alpha x0, sigma^2) || pi).
    """
    last = torch.ones(1, dtype=x0.dtype, device=x0.device)
    alpha, sigma = diffusion.levels(last)
    variance = sigma.square() if diffusion.schedule == "exploding" else torch.ones_like(sigma)
    ratio = sigma.square() / variance
    d = x0[0].numel()
    square = alpha.square() / variance * x0.flatten(1).square().sum(1).mean()
    return 0.5 * (square + d * (ratio - 1.0 - ratio.log())).squeeze(0)
