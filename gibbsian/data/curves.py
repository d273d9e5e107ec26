"""Noisy curves: a point on a plane curve plus Gaussian noise, with the density by quadrature.

p(x) = 1/K sum_k int m(t) N(x; c_k(t), noise^2 I) dt over the parameter of K arms. The integrand is
smooth on the scale of the noise, so that Gauss-Legendre panels of a fixed arc length converge
geometrically. Errors of log p: below 1e-5 where log p > -10, below 1e-3 (1 + |log p|) in the far tails
(tested against three times as many nodes).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
import torch
from torch import Generator, Tensor

from gibbsian.data.closed_forms import Density, Modes, log_mixture

PANEL = 8

Curve = Callable[[Tensor], Tensor]
"""c: parameters ``[n] -> [n, 2]``."""


@dataclass(frozen=True, eq=False)
class NoisyCurve(Density):
    """``x = (c_k(t) + noise * normal - centre) / spread`` k uniform, t distributed as ``mass``.

    ``mass``: density of t on ``interval``; ``quantile``: its inverse distribution function.
    ``nodes_per_noise``: quadrature nodes per noise standard deviation of arc length.
    """

    name: str
    arms: tuple[Curve, ...]
    interval: tuple[float, float]
    mass: Callable[[Tensor], Tensor]
    quantile: Callable[[Tensor], Tensor]
    noise: float
    centre: tuple[float, float] = (0.0, 0.0)
    spread: tuple[float, float] = (1.0, 1.0)
    nodes_per_noise: float = 3.0
    shape: tuple[int, ...] = field(default=(2,), init=False)

    def _panels(self, arm: Curve) -> np.ndarray:
        """Borders of panels of equal arc length, dense enough for the noise."""
        t = torch.linspace(*self.interval, 20_001, dtype=torch.float64)
        length = arm(t).diff(dim=0).norm(dim=1).cumsum(0).numpy()
        length = np.concatenate([[0.0], length])
        count = math.ceil(length[-1] / self.noise * self.nodes_per_noise / PANEL)
        return np.interp(np.linspace(0, length[-1], count + 1), length, t.numpy())

    @cached_property
    def nodes(self) -> tuple[Tensor, Tensor]:
        """Curve points ``[n, 2]`` and log-weights ``[n]`` (they sum to one) of the quadrature, float64."""
        points, weights = [], []
        unit, gauss = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(PANEL))
        for arm in self.arms:
            borders = torch.from_numpy(self._panels(arm))
            half, middle = borders.diff() / 2, (borders[1:] + borders[:-1]) / 2
            t = (middle[:, None] + half[:, None] * unit).flatten()
            points.append(arm(t))
            weights.append((half[:, None] * gauss).flatten() * self.mass(t))
        return torch.cat(points), (torch.cat(weights) / len(self.arms)).log()

    def log_prob(self, x: Tensor) -> Tensor:
        self.check(x)
        points, log_weights = (part.to(x.device) for part in self.nodes)
        spread = torch.tensor(self.spread, dtype=torch.float64, device=x.device)
        y = torch.tensor(self.centre, dtype=torch.float64, device=x.device) + spread * x.double()
        log_p = log_mixture(y, points, log_weights, self.noise)
        return (log_p + spread.log().sum()).to(x.dtype)

    def sample(self, n: int, rng: Generator) -> Tensor:
        device = rng.device
        which = torch.randint(len(self.arms), (n,), generator=rng, device=device)
        u = torch.rand(n, generator=rng, device=device, dtype=torch.float64)
        t = self.quantile(u)
        curve = torch.stack([arm(t) for arm in self.arms])[which, torch.arange(n, device=device)]
        noise = torch.randn(n, 2, generator=rng, device=device, dtype=torch.float64)
        centre = torch.tensor(self.centre, device=device, dtype=torch.float64)
        spread = torch.tensor(self.spread, device=device, dtype=torch.float64)
        return ((curve + self.noise * noise - centre) / spread).float()

    def modes(self) -> Modes | None:
        return None


def _uniform(low: float, high: float, t: Tensor) -> Tensor:
    return torch.full_like(t, 1 / (high - low))


def _uniform_quantile(low: float, high: float, u: Tensor) -> Tensor:
    return low + (high - low) * u


def _upper_moon(t: Tensor) -> Tensor:
    return torch.stack([t.cos(), t.sin()], 1)


def _lower_moon(t: Tensor) -> Tensor:
    return torch.stack([1 - t.cos(), 0.5 - t.sin()], 1)


def moons(noise: float = 0.1) -> NoisyCurve:
    """Two half circles with noise, then standardised by the distribution's own mean and standard deviation.

    With t uniform on [0, pi]: the arms' means are (0, 2/pi) and (1, 1/2 - 2/pi), their variances
    1/2 and 1/2 - 4/pi^2; the variance between two equal arms is the square of half their distance.
    """
    x_variance = 1 / 2 + 1 / 4 + noise**2
    y_variance = 1 / 2 - 4 / math.pi**2 + (2 / math.pi - 1 / 4) ** 2 + noise**2
    return NoisyCurve(
        "moons",
        (_upper_moon, _lower_moon),
        (0.0, math.pi),
        partial(_uniform, 0.0, math.pi),
        partial(_uniform_quantile, 0.0, math.pi),
        noise,
        centre=(0.5, 0.25),
        spread=(math.sqrt(x_variance), math.sqrt(y_variance)),
    )


def _roll(t: Tensor) -> Tensor:
    return torch.stack([t * t.cos(), t * t.sin()], 1) / 5


def swiss_roll(noise: float = 1.0) -> NoisyCurve:
    """(t cos t, t sin t) with t uniform on [1.5 pi, 4.5 pi] plus noise, all divided by 5."""
    low, high = 1.5 * math.pi, 4.5 * math.pi
    return NoisyCurve(
        "swiss-roll",
        (_roll,),
        (low, high),
        partial(_uniform, low, high),
        partial(_uniform_quantile, low, high),
        noise / 5,
    )


SPIRAL = 3 * math.pi


def _spiral(sign: float, t: Tensor) -> Tensor:
    return sign / 3 * torch.stack([-t * t.cos(), t * t.sin()], 1)


def _linear_mass(t: Tensor) -> Tensor:
    return 2 * t / SPIRAL**2


def _linear_quantile(u: Tensor) -> Tensor:
    return SPIRAL * u.sqrt()


def spirals(noise: float = 0.1) -> NoisyCurve:
    """Two arms (-t cos t, t sin t)/3 and its reflection, t = 3 pi sqrt(uniform), plus noise."""
    arms = (partial(_spiral, 1.0), partial(_spiral, -1.0))
    return NoisyCurve("spirals", arms, (0.0, SPIRAL), _linear_mass, _linear_quantile, noise)


RADIAL, REACH, TWIST = 0.3, 4.0, 0.25
_INSIDE = math.erf(REACH / math.sqrt(2))


def _arm(angle: float, s: Tensor) -> Tensor:
    turn = angle + TWIST * s.exp()
    return 2 * s[:, None] * torch.stack([turn.cos(), turn.sin()], 1)


def _radial_mass(s: Tensor) -> Tensor:
    z = (s - 1) / RADIAL
    return (-0.5 * z.square()).exp() / (RADIAL * math.sqrt(2 * math.pi) * _INSIDE)


def _radial_quantile(u: Tensor) -> Tensor:
    return 1 + RADIAL * torch.special.ndtri(0.5 + _INSIDE * (u - 0.5))


def pinwheel(noise: float = 0.1) -> NoisyCurve:
    """Five arms s e(2 pi k/5 + 0.25 exp(s)) plus noise, times 2; s ~ N(1, 0.3^2) within 4 deviations.

    The pinwheel of Johnson et al. (2016) with its tangential deviation 0.1, here of a round noise.
    """
    arms = tuple(partial(_arm, 2 * math.pi * k / 5) for k in range(5))
    interval = (1 - REACH * RADIAL, 1 + REACH * RADIAL)
    return NoisyCurve("pinwheel", arms, interval, _radial_mass, _radial_quantile, 2 * noise)


def _line(t: Tensor) -> Tensor:
    return torch.stack([t, (8 * math.pi * t + 0.3).sin() / (1 + 14 * t)], 1)


def _u_mass(t: Tensor) -> Tensor:
    return 0.25 + 9 * (t - 0.5).square()


def _u_quantile(u: Tensor) -> Tensor:
    """Invert F(t) = t/4 + 3 (t - 1/2)^3 + 3/8 by bisection to the last bit of a double."""
    low, high = torch.zeros_like(u), torch.ones_like(u)
    for _ in range(53):
        middle = (low + high) / 2
        below = middle / 4 + 3 * (middle - 0.5) ** 3 + 0.375 < u
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2


def line(noise: float = 0.02) -> NoisyCurve:
    """A damped sine (t, sin(8 pi t + 0.3)/(1 + 14 t)) whose mass is heavy at both ends, plus noise.

    The curve of varying mass of Arbel, Zhou and Gretton (2021), figure 1, with the density
    1/4 + 9 (t - 1/2)^2 of t on [0, 1]; the noise gives it a density in the plane.
    """
    return NoisyCurve("line", (_line,), (0.0, 1.0), _u_mass, _u_quantile, noise)
