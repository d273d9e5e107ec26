"""What the gradient penalty with weight M and power p would have to be to bound log Z: by quadrature.

The latents are the middles of equal shares of a standard normal prior cut off at |z| <= 2, so that means
over them, the penalty's own among them, are integrals. With h = -E(G(z)) - log p0(z) + log |G'(z)|, which
is -E plus the entropy's term, the gap is log E exp(h) - E h, and P = 1/2 E |h'|^p.

Bennett's inequality with the Gaussian Poincare inequality: if h - E h <= b on the support, then
log E e^h - E h <= psi(b) E |h'|^2 with psi(b) = (e^b - 1 - b) / b^2.
"""

import math

import pytest
import torch
from torch import nn

from gibbsian.bounds import GradientPenalty, LogDetEntropy
from gibbsian.bounds.upper import Points
from gibbsian.core.measures import Gaussian

PRIOR = Gaussian((1,))
GENERATORS = [(1, 0, 0), (0.8, 0.3, 0.2), (0.5, 0.5, 0), (1.2, -0.3, 0.5), (2, 0.5, 1)]
N = 8_001


class Bent(nn.Module):
    """G(z) = a z + b tanh z."""

    def __init__(self, a, b):
        super().__init__()
        self.a, self.b = a, b

    def forward(self, z):
        return self.a * z + self.b * torch.tanh(z)


def at_quadrature(a, b, c):
    """The gap, h, and the function that gives E |h'|^p by the penalty of power p."""
    low, high = (torch.special.ndtr(torch.tensor(s, dtype=torch.float64)) for s in (-2.0, 2.0))
    shares = (torch.arange(N, dtype=torch.float64) + 0.5) / N
    z = torch.special.ndtri(low + (high - low) * shares)[:, None]
    generator = Bent(a, b)

    def energy(x):
        return (0.5 * (x - c) ** 2 + 0.3 * torch.cos(2 * x)).squeeze(1)

    draws = LogDetEntropy(PRIOR)(generator, z)
    h = (draws.entropy - energy(draws.x)).detach()
    gap = float(torch.logsumexp(h, 0) - math.log(N) - h.mean())

    def moment(p):
        penalty = GradientPenalty(LogDetEntropy(PRIOR), power=p, projected=False)
        x = generator(z)
        return 2 * float(penalty.penalty(energy, generator, Points(x, z, x, x), z))

    slopes = torch.gradient(h, spacing=(z[:, 0],))[0].abs()
    return gap, h, float(slopes.max()), moment


@pytest.mark.parametrize(("a", "b", "c"), GENERATORS)
def test_bennett_s_weight_makes_the_penalty_an_upper_bound(a, b, c):
    gap, h, steepest, moment = at_quadrature(a, b, c)
    most = float((h - h.mean()).max())
    psi = (math.exp(most) - 1 - most) / most**2
    assert gap > 0
    assert gap <= psi * moment(2.0)
    for p in (1.0, 1.5):
        assert gap <= psi * steepest ** (2 - p) * moment(p)
    for p in (3.0, 4.0):
        assert gap <= psi * moment(p) ** (2 / p)


@pytest.mark.parametrize(("a", "b", "c"), GENERATORS)
def test_the_weight_that_the_guarantee_names_is_enough(a, b, c):
    """Holley and Stroock: M = exp(osc h) on P = 1/2 E |h'|^2."""
    (condition,) = GradientPenalty(LogDetEntropy(PRIOR)).guarantee().conditions
    assert condition.startswith("M >= exp(osc h)")
    gap, h, _, moment = at_quadrature(a, b, c)
    assert gap <= math.exp(float(h.max() - h.min())) * 0.5 * moment(2.0)


def test_the_published_weight_is_far_below_what_a_bound_needs():
    """M = 1e-3 on P lies below the gap on every one of the five generators."""
    for parameters in GENERATORS:
        gap, _, _, moment = at_quadrature(*parameters)
        assert 1e-3 * 0.5 * moment(2.0) < gap / 50
