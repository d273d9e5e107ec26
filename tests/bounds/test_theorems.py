"""What the gradient penalty with weight M and power p would have to be to bound log Z: by quadrature.

Bennett's inequality with the Gaussian Poincare inequality: if h - E h <= b on the support, then
log E e^h - E h <= psi(b) E |h'|^2 with psi(b) = (e^b - 1 - b) / b^2.
"""

import math

import pytest
import torch

GENERATORS = [(1, 0, 0), (0.8, 0.3, 0.2), (0.5, 0.5, 0), (1.2, -0.3, 0.5), (2, 0.5, 1)]


def on_grid(a, b, c, radius=2.0, n=40_001):
    """h, h' and the weights of the prior truncated to |z| <= radius, for G(z) = a z + b tanh z."""
    z = torch.linspace(-radius, radius, n, dtype=torch.float64, requires_grad=True)
    x = a * z + b * torch.tanh(z)
    E = 0.5 * (x - c) ** 2 + 0.3 * torch.cos(2 * x)
    log_volume = torch.log(a + b * (1 - torch.tanh(z) ** 2))
    log_prior = -0.5 * z**2 - 0.5 * math.log(2 * math.pi)
    h = -E - log_prior + log_volume
    (slope,) = torch.autograd.grad(h.sum(), z)
    weights = torch.softmax(log_prior.detach(), 0)
    return h.detach(), slope, weights


@pytest.mark.parametrize(("a", "b", "c"), GENERATORS)
def test_bennett_s_weight_makes_the_penalty_an_upper_bound(a, b, c):
    h, slope, weights = on_grid(a, b, c)
    mean = (weights * h).sum()
    gap = torch.log((weights * torch.exp(h - mean)).sum())
    most = float((h - mean).max())
    psi = (math.exp(most) - 1 - most) / most**2
    steepest = float(slope.abs().max())

    def moment(p):
        return (weights * slope.abs() ** p).sum()

    assert gap > 0
    assert gap <= psi * moment(2)
    for p in (1.0, 1.5):
        assert gap <= psi * steepest ** (2 - p) * moment(p)
    for p in (3.0, 4.0):
        assert gap <= psi * moment(p) ** (2 / p)


def test_the_published_weight_is_far_below_what_a_bound_needs():
    """M = 1e-3 on the half squared slope lies below the gap on every one of the five generators."""
    for parameters in GENERATORS:
        h, slope, weights = on_grid(*parameters)
        mean = (weights * h).sum()
        gap = torch.log((weights * torch.exp(h - mean)).sum())
        assert 1e-3 * 0.5 * (weights * slope**2).sum() < gap / 50
