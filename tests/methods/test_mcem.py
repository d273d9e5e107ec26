"""Monte-Carlo EM and full variational Bayes against linear models with known posteriors."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator, Tensor, nn

from gibbsian.core import Batch
from gibbsian.core.measures import Gaussian, RealSpace
from gibbsian.methods.full_bayes import FullBayes
from gibbsian.methods.mcem import MonteCarloEM
from tests.methods.play import check_gradient, gradients
from tests.methods.test_vae import LATENT, PRIOR, D, LinearDecoder, LinearEncoder, normal, rows


class Fixed:
    """The same rows in every batch."""

    def __init__(self, x: Tensor):
        self.x = x

    def __iter__(self) -> Fixed:
        return self

    def __next__(self) -> Batch:
        return Batch(self.x, torch.arange(len(self.x)))


def test_chains_have_the_posterior_and_tune_their_steps() -> None:
    """4000 chains of one x after 60 visits: mean and covariance of p(z|x) within 5 standard errors."""
    decoder = LinearDecoder().float()
    x = rows(1).float()
    method = MonteCarloEM(decoder, PRIOR, RealSpace((D,)), points=4_000, step_size=0.02)
    many, rng = x.expand(4_000, D), Generator().manual_seed(0)
    z = method.z
    for _ in range(120):
        z = method.advance(many, z, rng)
    mean, covariance = (t.detach() for t in decoder.posterior(x))
    scale = covariance.diagonal().sqrt()
    assert ((z.mean(0) - mean[0]).abs() < 5 * scale / math.sqrt(4e3)).all()
    assert (
        (z.T.cov() - covariance).abs() < 5 * 1.5 * scale[:, None] * scale / math.sqrt(4e3)
    ).all()
    assert method.log_step_size.exp() > 0.06, "0.02 accepts almost everything"
    assert not z.requires_grad


def test_a_round_visits_its_rows_and_then_updates() -> None:
    x = rows(6).float()
    method = MonteCarloEM(
        LinearDecoder().float(), PRIOR, RealSpace((D,)), points=9, updates=3, step_size=0.2
    )
    moves = list(method.round(0, Fixed(x), Generator().manual_seed(0)))
    assert [move.player for move in moves] == ["model"] * 3
    assert (method.z[:6] != 0).all() and (method.z[6:] == 0).all()
    assert torch.equal(moves[0].inputs[1], method.z[:6])
    value = method.model_loss(x, method.z[:6]).value
    joint = PRIOR.log_density(method.z[:6]) + method.decoded(x, method.z[:6])
    assert torch.allclose(value, -joint.mean())
    assert set(gradients(method, moves[0])) == {"decoder.W", "decoder.b", "decoder.v"}
    assert method.sample(5, Generator().manual_seed(0)).shape == (5, D)


def test_monte_carlo_em_finds_the_maximum() -> None:
    """The means b of a linear-Gaussian model go to the data's mean (its maximum likelihood)."""
    decoder = LinearDecoder().float()
    with torch.no_grad():
        decoder.W.mul_(0.5)
    x = rows(200).float() + torch.tensor([2.0, -1.0, 0.5])
    method = MonteCarloEM(decoder, PRIOR, RealSpace((D,)), points=200, step_size=0.3, steps=3)
    stream, rng = Fixed(x), Generator().manual_seed(0)
    start = (decoder.b - x.mean(0)).norm()
    for index in range(100):
        for move in method.round(index, stream, rng):
            (slope,) = torch.autograd.grad(move.loss(*move.inputs).value, [decoder.b])
            with torch.no_grad():
                decoder.b -= 0.1 * slope
    assert (decoder.b - x.mean(0)).norm() < 0.25 < start


class Offset(nn.Module):
    """x = b + noise of variance 1/4; z has no part in it."""

    def __init__(self) -> None:
        super().__init__()
        self.b = nn.Parameter(torch.zeros(2, dtype=torch.float64))

    def forward(self, z: Tensor) -> Tensor:
        mean = self.b.expand(len(z), 2)
        return torch.stack([mean, torch.full_like(mean, math.log(0.25))], 1)


class Idle(nn.Module):
    """q(z|x) = N(0, I), the posterior where z has no part; its parameters are at the optimum."""

    def __init__(self) -> None:
        super().__init__()
        self.u = nn.Parameter(torch.zeros(2, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.u.expand(len(x), 2)


def test_the_bound_is_the_evidence_at_the_exact_posterior_of_the_weights() -> None:
    """b ~ N(0, I), x_i ~ N(b, I/4), 20 rows: with q(b) the posterior the bound is log p(X), 4.5 errors."""
    n, s2 = 20, 0.25
    x = 0.5 * normal(n, 2) + 1.0
    method = FullBayes(Offset(), Idle(), Gaussian((1,)), RealSpace((2,)), points=n).double()
    precision = 1 + n / s2
    with torch.no_grad():
        method.theta.copy_(x.sum(0) / s2 / precision)
        method.log_s.fill_(-0.5 * math.log(precision))
    covariance = s2 * torch.eye(n).double() + torch.ones(n, n).double()
    law = torch.distributions.MultivariateNormal(torch.zeros(n).double(), covariance)
    evidence = law.log_prob(x.T).sum().item()
    losses = torch.stack(
        [
            method.bound_loss(x, normal(n, 1, seed=k), normal(2, seed=1_000 + k)).value
            for k in range(300)
        ]
    )
    bounds = -n * losses.detach()
    assert abs(bounds.mean().item() - evidence) < 4.5 * bounds.std().item() / math.sqrt(300)
    with torch.no_grad():
        method.log_s.add_(0.7)
    wider = -n * torch.stack(
        [
            method.bound_loss(x, normal(n, 1, seed=k), normal(2, seed=1_000 + k)).value
            for k in range(100)
        ]
    )
    assert wider.mean().item() < evidence - 0.5


def test_full_bayes_descends_the_written_out_bound() -> None:
    method = FullBayes(
        LinearDecoder(), LinearEncoder(), PRIOR, RealSpace((D,)), points=7, spread=0.3
    )
    x, eps, zeta = rows(5), normal(5, LATENT), normal(method.theta.numel(), seed=8)

    def truth() -> Tensor:
        m, log_variance = method.encoder(x).chunk(2, 1)
        z = m + (0.5 * log_variance).exp() * eps
        s = method.log_s.exp()
        theta = method.theta + s * zeta
        W, b, v = theta[: D * LATENT].view(D, LATENT), theta[D * LATENT : -D], theta[-D:]
        log_x = torch.distributions.Normal(z @ W.T + b, (0.5 * v).exp()).log_prob(x).sum(1)
        of_z = 0.5 * (m.square() + log_variance.exp() - 1 - log_variance).sum(1)
        of_theta = 0.5 * (method.theta.square() + s.square() - 1 - 2 * method.log_s).sum()
        return (of_z - log_x).mean() + of_theta / 7

    def loss() -> Tensor:
        return method.bound_loss(x, eps, zeta).value

    assert torch.allclose(loss(), truth(), rtol=1e-9, atol=1e-10)
    check_gradient(method, "model", loss, truth)
    (move,) = method.float().round(0, Fixed(x.float()), Generator().manual_seed(0))
    assert set(gradients(method, move)) == {"theta", "log_s", *(f"encoder.{n}" for n in "Acu")}
    assert method.sample(4, Generator().manual_seed(0)).shape == (4, D)


def test_unusable_options() -> None:
    with pytest.raises(ValueError, match="points must be a whole number"):
        MonteCarloEM(LinearDecoder(), PRIOR, RealSpace((D,)), points=0)
    with pytest.raises(ValueError, match="spread must be"):
        FullBayes(LinearDecoder(), LinearEncoder(), PRIOR, RealSpace((D,)), points=1, spread=0.0)
