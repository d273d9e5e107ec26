"""The VAE against a linear-Gaussian model, where the evidence and every bound are closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator, Tensor, nn

from gibbsian.core import DataSpace
from gibbsian.core.measures import Box, Counting, Gaussian, RealSpace
from gibbsian.core.protocols import HasEncoder
from gibbsian.methods.observations import observation_of
from gibbsian.methods.posteriors import POSTERIORS
from gibbsian.methods.vae import VAE
from tests.methods.play import Stream, check_gradient, descend, gradients, reached
from tests.nets import build_decoder, build_encoder

D, LATENT = 3, 2
PRIOR = Gaussian((LATENT,))
ESTIMATORS = ["b", "a", "score-function", "importance-weighted", "wake-sleep"]


class LinearDecoder(nn.Module):
    """p(x|z) = N(W z + b, diag(exp(v)))."""

    def __init__(self) -> None:
        super().__init__()
        rng = Generator().manual_seed(1)
        self.W = nn.Parameter(torch.randn(D, LATENT, generator=rng, dtype=torch.float64))
        self.b = nn.Parameter(torch.randn(D, generator=rng, dtype=torch.float64))
        self.v = nn.Parameter(torch.tensor([-0.5, 0.3, -1.0], dtype=torch.float64))

    def forward(self, z: Tensor) -> Tensor:
        mean = z @ self.W.T + self.b
        return torch.stack([mean, self.v.expand_as(mean)], 1)

    def evidence(self, x: Tensor) -> Tensor:
        """log N(x; b, W W^T + diag(exp(v)))."""
        covariance = self.W @ self.W.T + self.v.exp().diag()
        law = torch.distributions.MultivariateNormal(self.b, covariance)
        return law.log_prob(x)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean ``[B, latent_dim]`` and covariance of p(z|x)."""
        precision = torch.eye(LATENT, dtype=x.dtype) + self.W.T @ (self.W / self.v.exp()[:, None])
        covariance = precision.inverse()
        return ((x - self.b) / self.v.exp()) @ self.W @ covariance, covariance


class LinearEncoder(nn.Module):
    """Means linear in x; a log-variance that is the same everywhere."""

    def __init__(self) -> None:
        super().__init__()
        rng = Generator().manual_seed(2)
        self.A = nn.Parameter(0.4 * torch.randn(LATENT, D, generator=rng, dtype=torch.float64))
        self.c = nn.Parameter(0.1 * torch.ones(LATENT, dtype=torch.float64))
        self.u = nn.Parameter(torch.tensor([-0.7, -0.2], dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        m = x @ self.A.T + self.c
        return torch.cat([m, self.u.expand_as(m)], 1)


def linear(**options: object) -> VAE:
    """A linear-Gaussian VAE with an encoder that is not the posterior."""
    return VAE(LinearDecoder(), LinearEncoder(), PRIOR, RealSpace((D,)), **options)


def rows(n: int, seed: int = 3) -> Tensor:
    return torch.randn(n, D, generator=Generator().manual_seed(seed), dtype=torch.float64)


def normal(*shape: int, seed: int = 4) -> Tensor:
    return torch.randn(*shape, generator=Generator().manual_seed(seed), dtype=torch.float64)


def elbo(method: VAE, x: Tensor) -> Tensor:
    """L in closed form, ``[B]``: log p(x) - KL(q(z|x) || p(z|x)), both Gaussian."""
    m, log_s = method.posterior(x)
    mean, covariance = method.decoder.posterior(x)
    posterior = torch.distributions.MultivariateNormal(mean, covariance.expand(len(x), -1, -1))
    q = torch.distributions.MultivariateNormal(m, torch.diag_embed((2 * log_s).exp()))
    divergence = torch.distributions.kl_divergence(q, posterior)
    return method.decoder.evidence(x) - divergence


@pytest.mark.parametrize("estimator", ["a", "b", "score-function"])
def test_the_bound_is_the_closed_form(estimator: str) -> None:
    """Mean over 20 000 draws within 4.5 standard errors (false alarm 7e-6), below the evidence."""
    method, x = linear(elbo_gradient_estimator=estimator, latent_samples=20_000), rows(5)
    eps = normal(20_000, 5, LATENT)
    loss = method.bound_loss(x, eps)
    value = -loss.value if estimator == "b" else loss.logs["bound"]
    truth = elbo(method, x).mean()
    m, log_s = method.posterior(x)
    z = m + log_s.exp() * eps
    f = method.log_joint(x, z) - method.family.log_prob(z, m, log_s)
    spread = f.mean(1).std() / math.sqrt(len(eps))
    assert abs(value - truth) < 4.5 * spread
    assert truth < method.decoder.evidence(x).mean()


class Given(nn.Module):
    """An encoder whose output is a parameter: gradients per draw in one backward pass."""

    def __init__(self, output: Tensor):
        super().__init__()
        self.output = nn.Parameter(output.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        return self.output


def test_estimators_agree_in_gradient_and_b_has_the_smallest_variance() -> None:
    """In q's parameters, over 20 000 draws: means within 4.5 errors of the closed form's gradient."""
    x, n, found = rows(4), 20_000, {}
    truth = linear()
    exact = torch.cat(torch.autograd.grad(elbo(truth, x).mean(), [*truth.encoder.parameters()][1:]))
    for estimator in ("b", "a", "score-function"):
        method = linear(elbo_gradient_estimator=estimator)
        many = x.repeat(n, 1)
        method.encoder = Given(truth.encoder(many))
        loss = method.bound_loss(many, normal(1, 4 * n, LATENT))
        (gradient,) = torch.autograd.grad(-loss.value, [method.encoder.output])
        per_draw = n * gradient.view(n, 4, 2 * LATENT).sum(1)
        error = per_draw.std(0) / math.sqrt(n)
        assert ((per_draw.mean(0) - exact).abs() < 4.5 * error).all(), estimator
        assert (error < 0.2 * exact.abs().max()).all()
        found[estimator] = per_draw.var(0).sum().item()
    assert found["b"] < found["a"] < found["score-function"]
    assert found["score-function"] > 5 * found["b"]


def test_the_importance_weighted_bound_rises_to_the_evidence() -> None:
    """L_1 < L_5 < L_50 <= log p(x), each step by more than 4 standard errors."""
    x = rows(3)
    method = linear(elbo_gradient_estimator="importance-weighted")
    evidence, values = method.decoder.evidence(x).mean().item(), []
    for k in (1, 5, 50):
        eps = normal(2_000, k, 3, LATENT, seed=k)
        m, log_s = method.posterior(x)
        z = (m + log_s.exp() * eps).flatten(0, 1)
        f = method.log_joint(x, z) - method.family.log_prob(z, m, log_s)
        bound = f.view(2_000, k, 3).logsumexp(1) - math.log(k)
        values.append((bound.mean().item(), (bound.mean(1).std() / math.sqrt(2_000)).item()))
        value = method.bound_loss(x, eps[0]).value.item()
        assert -value == pytest.approx(bound[0].mean().item())
    for (low, e), (high, g) in zip(values, [*values[1:], (evidence, 0.0)], strict=True):
        assert high - low > 4 * math.hypot(e, g)
    assert evidence - values[-1][0] < 0.05


def test_weights_average_to_the_evidence() -> None:
    """mean exp(log w) = p(x), within 4.5 standard errors."""
    method, x = linear().float(), rows(4).float()
    log_w = method.log_weights(x, 20_000, Generator().manual_seed(0))
    relative = (log_w - method.decoder.evidence(x)).exp()
    assert log_w.shape == (20_000, 4)
    error = relative.std(0) / math.sqrt(len(relative))
    assert ((relative.mean(0) - 1).abs() < 4.5 * error).all()


@pytest.mark.parametrize("estimator", ["a", "b", "importance-weighted"])
def test_the_gradient_is_that_of_the_written_out_bound(estimator: str) -> None:
    method, x, eps = (
        linear(elbo_gradient_estimator=estimator, latent_samples=3),
        rows(6),
        normal(3, 6, LATENT),
    )

    def truth() -> Tensor:
        m, log_variance = method.encoder(x).chunk(2, 1)
        s, total = (0.5 * log_variance).exp(), []
        for one in eps:
            z = m + s * one
            mean, v = method.decoder(z).unbind(1)
            log_x = torch.distributions.Normal(mean, (0.5 * v).exp()).log_prob(x).sum(1)
            log_z = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
            log_q = torch.distributions.Normal(m, s).log_prob(z).sum(1)
            kl = 0.5 * (m.square() + s.square() - 1 - log_variance).sum(1)
            total.append(log_x - kl if estimator == "b" else log_x + log_z - log_q)
        f = torch.stack(total)
        if estimator == "importance-weighted":
            return -(f.exp().mean(0).log()).mean()
        return -f.mean()

    def loss() -> Tensor:
        return method.bound_loss(x, eps).value

    assert torch.allclose(loss(), truth(), atol=1e-10)
    check_gradient(method, "model", loss, truth)


def test_wake_reaches_the_decoder_and_sleep_the_encoder() -> None:
    method, x = linear(elbo_gradient_estimator="wake-sleep"), rows(6)
    eps, z, noise = normal(1, 6, LATENT), normal(6, LATENT, seed=5), normal(6, D, seed=6)
    m, log_s = (t.detach() for t in method.posterior(x))
    wake_z = m + log_s.exp() * eps
    dream = method.observation.draw(method.decoder(z), noise).detach()

    def truth() -> Tensor:
        wake = method.log_joint(x, wake_z).mean()
        sleep = method.family.log_prob(z, *method.posterior(dream)).mean()
        return -wake - sleep

    def loss() -> Tensor:
        return method.wake_sleep_loss(x, eps, z, noise).value

    assert torch.allclose(loss(), truth(), atol=1e-12)
    check_gradient(method, "model", loss, truth)
    wake = method.log_joint(x, wake_z).mean()
    assert reached(wake, method.decoder) and not reached(wake, method.encoder)


@pytest.mark.parametrize("name", POSTERIORS)
def test_families_are_normalised_and_know_their_moments(name: str) -> None:
    """Density by a grid to 1e-6; entropy, variance and divergence by the same grid; noise by moments."""
    family = POSTERIORS[name]
    eps = torch.linspace(-60, 60, 480_001, dtype=torch.float64)
    weight = family.log_density(eps).exp() * (eps[1] - eps[0])
    assert weight.sum().item() == pytest.approx(1.0, abs=1e-6)
    assert (weight * eps.square()).sum().item() == pytest.approx(family.variance, rel=1e-6)
    entropy = -(weight * family.log_density(eps)).sum().item()
    assert entropy == pytest.approx(family.entropy, rel=1e-6)
    m, log_s = torch.tensor([[0.7]]).double(), torch.tensor([[-0.4]]).double()
    z = m + log_s.exp() * eps[:, None]
    gap = family.log_prob(z, m, log_s) - Gaussian((1,), 1.5).log_density(z)
    divergence = family.divergence(m, log_s, Gaussian((1,), 1.5)).item()
    assert (weight * gap).sum().item() == pytest.approx(divergence, rel=1e-6)
    noise = family.noise((200_000,), Generator().manual_seed(0))
    assert noise.isfinite().all()
    # Mean and variance of 200 000 draws, 5 standard errors; the kurtosis is at most 6.
    assert abs(noise.mean().item()) < 5 * math.sqrt(family.variance / 2e5)
    assert noise.var().item() == pytest.approx(family.variance, rel=5 * math.sqrt(5 / 2e5))
    below = (noise < 0.5).float().mean().item()
    cdf = weight[eps < 0.5].sum().item()
    assert abs(below - cdf) < 5 * math.sqrt(0.25 / 2e5)


def test_observations() -> None:
    rng = Generator().manual_seed(0)
    bits = observation_of(Counting((4,)))
    logits = torch.tensor([[-30.0, -1.0, 0.5, 30.0]]).expand(40_000, 4)
    drawn = bits.draw(logits, bits.noise(40_000, rng))
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert (drawn.mean(0) - bits.mean(logits)[0]).abs().max() < 5 * math.sqrt(0.25 / 4e4)
    every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4)
    assert bits.log_prob(every, logits[:16]).exp().sum().item() == pytest.approx(1.0)
    normals = observation_of(RealSpace((2,)))
    a = torch.tensor([[[1.0, -2.0], [0.0, math.log(9.0)]]]).expand(40_000, 2, 2)
    x = normals.draw(a, normals.noise(40_000, rng))
    assert torch.allclose(x.mean(0), normals.mean(a)[0], atol=5 * 3 / 200)
    assert torch.allclose(x.std(0), torch.tensor([1.0, 3.0]), rtol=5 / math.sqrt(8e4))
    truth = torch.distributions.Normal(a[:, 0], torch.tensor([1.0, 3.0])).log_prob(x).sum(1)
    assert torch.allclose(normals.log_prob(x, a), truth, atol=1e-4)


@pytest.mark.parametrize("kind", ["vector", "binary"])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_round_is_one_move_of_everything(kind: str, estimator: str) -> None:
    space = DataSpace((2,), kind)  # type: ignore[arg-type]
    options = dict(width=8, depth=1)
    measure = Counting((2,)) if kind == "binary" else RealSpace((2,))
    decoder = build_decoder("mlp", space, LATENT, options)
    encoder = build_encoder("mlp", space, LATENT, options)
    method = VAE(
        decoder, encoder, PRIOR, measure, elbo_gradient_estimator=estimator, latent_samples=2
    )
    stream = Stream(8)
    moves = list(method.round(0, stream, Generator().manual_seed(0)))
    assert [move.player for move in moves] == ["model"] and len(stream.taken) == 1
    assert moves[0].inputs[1].shape == (2, 8, LATENT)
    assert all(g.isfinite().all() for g in gradients(method, moves[0]).values())
    before = [p.detach().clone() for p in method.parameters()]
    descend(method, iter(moves), 0.1)
    assert all(not torch.equal(a, b) for a, b in zip(before, method.parameters(), strict=True))


def test_samples_are_draws_of_the_model_or_means() -> None:
    """40 000 draws have the moments of N(b, W W^T + diag exp v), 5 standard errors of each entry."""
    method = linear().float()
    x = method.sample(40_000, Generator().manual_seed(0))
    covariance = (method.decoder.W @ method.decoder.W.T + method.decoder.v.exp().diag()).detach()
    scale = covariance.diagonal().sqrt()
    assert ((x.mean(0) - method.decoder.b).abs() < 5 * scale / 200).all()
    assert ((x.T.cov() - covariance).abs() < 5 * 1.5 * scale[:, None] * scale / 200).all()
    method.samples_without_output_noise = True
    z = PRIOR.sample(6, Generator().manual_seed(1))
    means = method.sample(6, Generator().manual_seed(1))
    assert torch.equal(means, method.decoder(z)[:, 0]) and not means.requires_grad


def test_filling_in_has_the_conditional_law() -> None:
    """x_2 | x_1, x_3 of the Gaussian in closed form, by an encoder that is not the posterior.

    10 000 chains: mean and variance within 5 standard errors. Without the Metropolis test the mean
    alone is more than 5 away.
    """
    method = linear(inpainting_sweeps=30).float()
    W, b, v = (t.detach() for t in (method.decoder.W, method.decoder.b, method.decoder.v))
    covariance = W @ W.T + v.exp().diag()
    given = torch.tensor([1.5, math.nan, -1.0])
    kept = torch.tensor([0, 2])
    gain = covariance[1, kept] @ covariance[kept][:, kept].inverse()
    mean = b[1] + gain @ (given[kept] - b[kept])
    variance = covariance[1, 1] - gain @ covariance[kept, 1]
    x = method.sample(10_000, Generator().manual_seed(0), given)
    assert (x[:, kept] == given[kept]).all()
    assert abs(x[:, 1].mean() - mean) < 5 * (variance / 1e4).sqrt()
    assert abs(x[:, 1].var() - variance) < 5 * variance * math.sqrt(2e-4)
    method.samples_without_output_noise = True
    means = method.sample(10_000, Generator().manual_seed(0), given)
    assert (means[:, kept] == given[kept]).all() and means[:, 1].var() < 0.9 * variance


def test_it_encodes_and_has_no_energy() -> None:
    method, x = linear(), rows(4)
    assert isinstance(method, HasEncoder)
    assert torch.equal(method.encode(x), method.encoder(x)[:, :LATENT])


def test_unusable_options() -> None:
    with pytest.raises(ValueError, match="directed model needs binary data"):
        VAE(LinearDecoder(), LinearEncoder(), PRIOR, Box((D,), -1.0, 1.0))
    with pytest.raises(ValueError, match="latent_samples must be a whole number"):
        linear(latent_samples=0)
    with pytest.raises(ValueError, match="inpainting_sweeps must be"):
        linear(inpainting_sweeps=0)
