"""Entropies of a generator's distribution against closed forms and brute force."""

import copy
import math

import pytest
import torch
from torch import nn

from gibbsian.bounds import BarberAgakov, InfoNCE, LogDetEntropy, SingularValueEntropy
from gibbsian.core.measures import Gaussian
from gibbsian.core.numerics import jacobian, jvp, log_det_gram, singular_values, vjp
from tests.bounds.closed import KL, LOG_Z, LOWER, Curved, Quadratic, Scale, scaled, whitened

RNG = torch.Generator


def test_the_closed_forms_of_a_scaled_gaussian():
    z = whitened(400, 2)
    x, entropy = LogDetEntropy(Gaussian((2,)))(scaled(), z)
    lower = float((entropy - Quadratic()(x)).mean().detach())
    assert pytest.approx(1.307249, abs=1e-6) == LOG_Z
    assert lower == pytest.approx(LOWER, abs=1e-6) == pytest.approx(1.204226, abs=1e-6)
    assert pytest.approx(0.103023, abs=1e-6) == KL


def test_the_smallest_singular_value_gives_the_same_for_a_conformal_map():
    z, rng = whitened(50, 2), RNG().manual_seed(0)
    bound = SingularValueEntropy(Gaussian((2,)), 1)
    entropy = bound(scaled(), z, *bound.randomness(z, (2,), rng)).entropy
    torch.testing.assert_close(entropy, LogDetEntropy(Gaussian((2,)))(scaled(), z).entropy)


@pytest.mark.parametrize(("d", "D"), [(1, 3), (2, 2), (4, 9)])
def test_products_agree_with_autograd_jacobians(d, D):
    G, z = Curved(d, D), whitened(6, d)
    J = torch.stack([torch.autograd.functional.jacobian(G, row[None])[0, :, 0] for row in z])
    v, u = whitened(6, d, 1), whitened(20, D, 2)[:6]
    torch.testing.assert_close(jacobian(G, z), J, rtol=0, atol=1e-10)
    torch.testing.assert_close(jvp(G, z, v)[1], (J @ v[:, :, None])[:, :, 0], rtol=0, atol=1e-10)
    torch.testing.assert_close(vjp(G, z, u)[1], (u[:, None] @ J)[:, 0], rtol=0, atol=1e-10)
    entropy = LogDetEntropy(Gaussian((d,)))(G, z).entropy
    s = torch.linalg.svdvals(J)
    expected = s.log().sum(1) - Gaussian((d,)).log_density(z)
    torch.testing.assert_close(entropy, expected, rtol=0, atol=1e-10)


def test_the_entropy_s_gradient_is_that_of_finite_differences():
    z, prior = whitened(8, 3), Gaussian((3,))
    G = Curved(3, 5)
    for entropy in (LogDetEntropy(prior), SingularValueEntropy(prior, None)):
        starts = entropy.randomness(z, (5,), RNG().manual_seed(1))
        weight = G.layers[0].weight
        value = entropy(G, z, *starts).entropy.mean()
        (gradient,) = torch.autograd.grad(value, weight)
        direction = torch.randn(weight.shape, dtype=torch.float64, generator=RNG().manual_seed(3))
        sides = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                weight += step * direction
                sides.append(float(entropy(G, z, *starts).entropy.mean()))
                weight -= step * direction
        slope = (sides[0] - sides[1]) / 2e-5
        assert slope == pytest.approx(float((gradient * direction).sum()), rel=1e-5)


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_a_part_of_the_rows_gives_the_same_terms_and_all_samples(noise):
    z, prior, G = whitened(8, 3), Gaussian((3,)), Curved(3, 5)
    whole, part = LogDetEntropy(prior, noise), LogDetEntropy(prior, noise, rows=3)
    eps = whole.randomness(z, (5,), RNG().manual_seed(1))
    all_x, every = whole(G, z, *eps)
    x, entropy = part(G, z, *eps)
    torch.testing.assert_close(x, all_x)
    torch.testing.assert_close(entropy, every[:3])
    fewer = SingularValueEntropy(prior, None, noise, rows=3)
    starts = fewer.randomness(z, (5,), RNG().manual_seed(1))
    x, entropy = fewer(G, z, *starts)
    assert x.shape == (8, 5)
    with torch.no_grad():
        smallest = singular_values(jacobian(G, z))[:3, 0].square() + noise**2
    across = 2 * (math.log(noise) + 0.5 * math.log(2 * math.pi * math.e)) if noise else 0.0
    expected = 1.5 * smallest.log() + across - prior.log_density(z[:3])
    torch.testing.assert_close(entropy.detach(), expected, rtol=0, atol=1e-6)


def test_an_entropy_from_singular_values_lies_below_the_exact_one():
    G, z, prior = Curved(4, 7), whitened(40, 4), Gaussian((4,))
    exact = LogDetEntropy(prior)(G, z).entropy
    bound = SingularValueEntropy(prior, None)
    below = bound(G, z, *bound.randomness(z, (7,), RNG().manual_seed(0))).entropy
    s_1 = singular_values(jacobian(G, z))[:, 0]
    torch.testing.assert_close(below, 4 * s_1.log() - prior.log_density(z), rtol=0, atol=1e-6)
    assert (below <= exact).all()


def test_batch_normalisation_does_not_couple_the_rows_of_a_jacobian():
    torch.manual_seed(0)
    G = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3)).double()
    G[1].running_var.mul_(4.0)
    z, still = whitened(30, 2), copy.deepcopy(G).eval()
    x, entropy = LogDetEntropy(Gaussian((2,)))(G, z)
    expected = 0.5 * log_det_gram(jacobian(still, z)) - Gaussian((2,)).log_density(z)
    torch.testing.assert_close(entropy, expected)
    assert G.training and not torch.allclose(x, still(z))  # x came in training mode
    assert not torch.equal(G[1].running_mean, still[1].running_mean)


@pytest.mark.parametrize("D", [2, 5])
def test_output_noise_is_exact_for_an_affine_generator(D):
    """x = W z + sigma eps is N(0, W W^T + sigma^2 I), whatever D."""
    W = torch.randn(D, 2, dtype=torch.float64, generator=RNG().manual_seed(3))
    sigma, z = 0.3, whitened(300, 2)
    covariance = W @ W.T + sigma**2 * torch.eye(D, dtype=torch.float64)
    exact = 0.5 * (D * math.log(2 * math.pi * math.e) + float(torch.logdet(covariance)))
    entropy = LogDetEntropy(Gaussian((2,)), sigma)
    eps = entropy.randomness(z, (D,), RNG().manual_seed(0))
    draws = entropy(Scale(W), z, *eps)
    assert float(draws.entropy.mean().detach()) == pytest.approx(exact, abs=1e-9)
    torch.testing.assert_close(draws.x, z @ W.T + sigma * eps[0])
    below = SingularValueEntropy(Gaussian((2,)), None, sigma)
    terms = below(Scale(W), z, *below.randomness(z, (D,), RNG().manual_seed(0))).entropy
    s_1 = torch.linalg.svdvals(W)[-1]
    across = (D - 2) * (math.log(sigma) + 0.5 * math.log(2 * math.pi * math.e))
    expected = math.log(2 * math.pi * math.e) + float(torch.log(s_1**2 + sigma**2)) + across
    # LOBPCG stops once mu falls by less than 1e-6 of itself
    assert float(terms.mean().detach()) == pytest.approx(expected, abs=1e-5)
    assert expected <= exact


class Posterior(nn.Module):
    """The exact posterior of z given x = W z + sigma eps for W of orthogonal columns, off by ``shift``."""

    def __init__(self, W, sigma, shift=0.0):
        super().__init__()
        s2 = W.square().sum(0)
        self.weight = nn.Parameter(W / (s2 + sigma**2))
        self.log_variance = torch.log(sigma**2 / (s2 + sigma**2)) + shift

    def forward(self, x):
        mean = x @ self.weight
        return torch.cat([mean, self.log_variance.expand_as(mean)], 1)


@pytest.fixture
def linear():
    W = torch.linalg.qr(whitened(5, 2))[0] * torch.tensor([1.5, 0.4], dtype=torch.float64)
    sigma = 0.3
    both = whitened(600, 7, 4)
    information = 0.5 * torch.log1p(W.square().sum(0) / sigma**2).sum()
    entropy = 2.5 * math.log(2 * math.pi * math.e * sigma**2) + information
    return W, sigma, both[:, :2], both[:, 2:], float(entropy)


def test_barber_agakov_is_exact_with_the_posterior_and_below_otherwise(linear):
    W, sigma, z, eps, entropy = linear
    prior = Gaussian((2,))
    exact = BarberAgakov(prior, Posterior(W, sigma), sigma)
    x, terms = exact(Scale(W), z, eps)
    torch.testing.assert_close(x, z @ W.T + sigma * eps)
    assert float(terms.mean().detach()) == pytest.approx(entropy, abs=1e-9)
    for shift in (-0.5, 0.5):
        worse = BarberAgakov(prior, Posterior(W, sigma, shift), sigma)(Scale(W), z, eps)
        # KL between the two posteriors: half of exp(-shift) - 1 + shift in each of 2 dimensions
        gap = math.exp(-shift) - 1 + shift
        assert float(worse.entropy.mean()) == pytest.approx(entropy - gap, abs=1e-9)


def test_infonce_lies_below_the_information_and_below_log_b(linear):
    W, sigma, z, eps, entropy = linear
    of_noise = 2.5 * math.log(2 * math.pi * math.e * sigma**2)
    nce = InfoNCE(Gaussian((2,)), Posterior(W, sigma), sigma)
    values = []
    for size in (4, 60, 600):
        terms = torch.stack(
            [
                nce(Scale(W), a, b).entropy.mean()
                for a, b in zip(z.split(size), eps.split(size), strict=True)
            ]
        )
        values.append(float(terms.mean()) - of_noise)
        assert values[-1] < math.log(size)
    # 600 draws: the mean of the last is within 0.1 of the information with 4 standard errors to spare
    assert values[0] < values[1] < values[2] < entropy - of_noise + 0.1
    assert values[2] > entropy - of_noise - 0.2


def test_claims_say_what_is_proved():
    prior, G = Gaussian((2,)), Curved(2, 2)
    assert LogDetEntropy(prior).guarantee(G, 2).conditions == ("G is injective",)
    assert "surface" in LogDetEntropy(prior).guarantee(Curved(2, 3), 3).quantity
    assert len(SingularValueEntropy(prior, 2).guarantee(G, 2).conditions) == 2
    assert len(SingularValueEntropy(prior, None).guarantee(G, 2).conditions) == 1
    assert BarberAgakov(prior, G, 0.1).guarantee(G, 2).proved
    assert InfoNCE(prior, G, 0.1).guarantee(G, 2).proved


def test_refuses_what_makes_no_sense():
    with pytest.raises(ValueError, match="output noise"):
        InfoNCE(Gaussian((2,)), Curved(2, 4), 0.0)
    with pytest.raises(ValueError, match="negative"):
        SingularValueEntropy(Gaussian((2,)), -1)
    with pytest.raises(ValueError, match="at most 2"):
        LogDetEntropy(Gaussian((3,)))(Curved(3, 2), whitened(5, 3))
