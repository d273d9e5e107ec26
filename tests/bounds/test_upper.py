"""Penalties on the energy against closed forms."""

import math

import pytest
import torch
from torch import nn

from gibbsian.bounds import (
    BarberAgakov,
    DenoisingPenalty,
    GradientPenalty,
    LogDetEntropy,
    SingularValueEntropy,
    ZeroCentredPenalty,
)
from gibbsian.bounds.upper import Points, absolute_moment
from gibbsian.core.measures import Gaussian
from gibbsian.core.types import DataSpace
from gibbsian.methods.invertible import log_density
from gibbsian.networks.flows import FlowGenerator
from tests.bounds.closed import SLOPE, A, C, Curved, Quadratic, scaled, whitened

PRIOR = Gaussian((2,))


def points(z):
    x_model = scaled()(z).detach()
    return Points(z, z, x_model, x_model)


def both_directions(z):
    """Every latent with sqrt(d) times each unit vector: their mean square projection is exact."""
    d = z.shape[1]
    v = d**0.5 * torch.eye(d, dtype=z.dtype).repeat(len(z), 1)
    return z.repeat_interleave(d, 0), v


@pytest.mark.parametrize("entropy", [LogDetEntropy(PRIOR), SingularValueEntropy(PRIOR, 1)])
@pytest.mark.parametrize("projected", [False, True])
def test_the_gradient_penalty_of_a_scaled_gaussian(entropy, projected):
    z, v = both_directions(whitened(300, 2))
    starts = entropy.randomness(z, (2,), torch.Generator().manual_seed(0))
    bound = GradientPenalty(entropy, projected=projected)
    value = bound.penalty(Quadratic(), scaled(), points(z), v, *starts).detach()
    assert pytest.approx(0.301088, abs=1e-6) == SLOPE
    assert float(value) == pytest.approx(0.150544, abs=1e-6)


def test_the_gradient_penalty_vanishes_for_a_perfect_pair_and_grows_otherwise():
    z = whitened(50, 2)
    v = torch.randn(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    bound = GradientPenalty(LogDetEntropy(PRIOR))
    perfect = bound.penalty(Quadratic(1 / C**2), scaled(), points(z), v).detach()
    assert float(perfect) < 1e-13
    assert float(bound.penalty(Quadratic(), scaled(), points(z), v).detach()) > 0.01


@pytest.mark.parametrize("projected", [False, True])
def test_a_flow_is_penalised_by_its_exact_density(projected):
    """A flow gives no Jacobian; the same map without its log volume is differentiated."""
    torch.manual_seed(0)
    flow = FlowGenerator(DataSpace((2,), "vector"), 2, width=8, depth=1).double()
    z = whitened(20, 2)
    v = torch.randn(20, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x = flow(z).detach()
    bound = GradientPenalty(LogDetEntropy(PRIOR), projected=projected)
    at = Points(z, z, x, x)
    exact = bound.penalty(Quadratic(), flow, at, v).detach()
    by_jacobian = bound.penalty(Quadratic(), Plain(flow), at, v).detach()
    torch.testing.assert_close(exact, by_jacobian, rtol=1e-9, atol=0)
    perfect = bound.penalty(lambda x: -log_density(flow, PRIOR, x), flow, at, v).detach()
    assert float(perfect) < 1e-12 < 1e-3 < float(exact)


class Plain(nn.Module):
    """A flow that does not say that it is one."""

    def __init__(self, flow):
        super().__init__()
        self.flow = flow

    def forward(self, z):
        return self.flow(z)


def test_a_part_of_the_rows_is_penalised_as_if_it_were_the_batch():
    z, rng = whitened(12, 2), torch.Generator().manual_seed(0)
    few = GradientPenalty(LogDetEntropy(PRIOR, rows=5))
    v = few.randomness(z, z, rng)[0].double()
    assert v.shape == (5, 2)
    value = few.penalty(Quadratic(), scaled(), points(z), v)
    alone = GradientPenalty(LogDetEntropy(PRIOR)).penalty(Quadratic(), scaled(), points(z[:5]), v)
    torch.testing.assert_close(value, alone)


def test_the_sign_of_the_log_density_for_a_curved_generator():
    """h(z) = E(G(z)) + log p_G(G(z)): the penalty is half the squared gradient of exactly that."""
    G, z, E = Curved(2, 3), whitened(20, 2), Quadratic()

    def h(point):
        J = torch.autograd.functional.jacobian(G, point[None], create_graph=True)[0, :, 0]
        log_density = PRIOR.log_density(point[None])[0] - 0.5 * torch.logdet(J.T @ J)
        return E(G(point[None]))[0] + log_density

    slopes = torch.stack([torch.autograd.functional.jacobian(h, point) for point in z])
    expected = 0.5 * slopes.square().sum(1).mean()
    bound = GradientPenalty(LogDetEntropy(PRIOR), projected=False)
    at = Points(z, z, G(z).detach(), G(z).detach())
    value = bound.penalty(E, G, at, z).detach()
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("power", [1.0, 1.5, 2.0, 3.0])
def test_a_power_of_the_projection_estimates_that_of_the_norm(power):
    v = torch.randn(400_000, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).abs()
    moments = v.pow(power)
    # 4 standard errors: one false alarm in 16 000
    error = 4 * float(moments.std()) / math.sqrt(len(v))
    assert absolute_moment(power) == pytest.approx(float(moments.mean()), abs=error)
    z, E, G = whitened(40, 2), Quadratic(), scaled()
    whole = GradientPenalty(LogDetEntropy(PRIOR), power=power, projected=False)
    value = float(whole.penalty(E, G, points(z), z).detach())
    norms = (A * C**2 - 1) * z.norm(dim=1)
    assert value == pytest.approx(float(0.5 * norms.abs().pow(power).mean()), rel=1e-9)


def test_no_penalty_moves_the_generator():
    z, G, E = whitened(10, 2), scaled(), Quadratic()
    rng = torch.Generator().manual_seed(0)
    for bound in (
        GradientPenalty(LogDetEntropy(PRIOR)),
        DenoisingPenalty(0.3),
        ZeroCentredPenalty(),
    ):
        starts = (s.double() for s in bound.randomness(z, z, rng))
        value = bound.penalty(E, G, points(z), *starts)
        of_E, of_G = torch.autograd.grad(value, [E.a, G.W], allow_unused=True)
        assert of_E.abs() > 0
        assert of_G is None or not of_G.any(), type(bound)


def test_denoising_is_the_fisher_divergence_up_to_a_constant():
    """Noisy samples are N(0, (c^2 + s^2) I); differences between two energies are known exactly."""
    s, both = 0.4, whitened(500, 4)
    z, eps = both[:, :2], both[:, 2:]
    variance = C**2 + s**2
    values = [
        float(DenoisingPenalty(s).penalty(Quadratic(a), scaled(), points(z), eps).detach())
        for a in (A, 0.5, 1 / variance)
    ]
    fisher = [0.5 * 2 * variance * (a - 1 / variance) ** 2 for a in (A, 0.5, 1 / variance)]
    assert values[0] - values[2] == pytest.approx(fisher[0], rel=1e-9)
    assert values[1] - values[2] == pytest.approx(fisher[1], rel=1e-9)


def test_the_zero_centred_penalty_looks_at_the_data():
    z = whitened(50, 2)
    at = Points(3.0 * z, z, z, z)
    value = float(ZeroCentredPenalty().penalty(Quadratic(), scaled(), at).detach())
    assert value == pytest.approx(A**2 * 9 * 2, rel=1e-9)


def test_piecewise_linear_generators_lose_the_volume_s_gradient():
    torch.manual_seed(0)
    for activation, flat in ((nn.LeakyReLU(), True), (nn.Tanh(), False)):
        G = nn.Sequential(nn.Linear(2, 9), activation, nn.Linear(9, 2)).double()
        z = whitened(30, 2)
        slope = GradientPenalty(LogDetEntropy(PRIOR)).minus_grad_log_density(G, z)
        assert torch.allclose(slope, z) is flat


def test_claims_say_what_is_proved():
    assert GradientPenalty(LogDetEntropy(PRIOR)).guarantee().side == "upper"
    assert "exp(osc h)" in GradientPenalty(LogDetEntropy(PRIOR)).guarantee().conditions[0]
    assert GradientPenalty(SingularValueEntropy(PRIOR)).guarantee().side == "neither"
    assert GradientPenalty(LogDetEntropy(PRIOR), power=1.0).guarantee().side == "neither"
    assert GradientPenalty(LogDetEntropy(PRIOR, 0.1)).guarantee().side == "neither"
    assert (
        ZeroCentredPenalty().guarantee().side == "neither"
        and not ZeroCentredPenalty().guarantee().proved
    )


def test_refuses_what_makes_no_sense():
    encoder = BarberAgakov(PRIOR, Curved(2, 4), 0.1)
    with pytest.raises(ValueError, match="information bounds do not give"):
        GradientPenalty(encoder)
    with pytest.raises(ValueError, match="power"):
        GradientPenalty(LogDetEntropy(PRIOR), power=0.5)
    with pytest.raises(ValueError, match="output_noise_std must be positive"):
        DenoisingPenalty(0.0)
