"""Both sides of a directed model's likelihood, where it is a closed form: a linear-Gaussian decoder."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator, Tensor, nn

from gibbsian.core.measures import Gaussian
from gibbsian.evaluation.log_z import directed
from gibbsian.evaluation.log_z.directed import (
    MeanWeights,
    annealed,
    below_their_bound,
    directed_model_log_likelihood,
    mean_weights,
)
from gibbsian.evaluation.log_z.posterior import PosteriorLikelihood, posterior_likelihood

D, LATENT, NOISE = 4, 2, 0.5
W = torch.randn(D, LATENT, generator=Generator().manual_seed(1))
PRIOR = Gaussian((LATENT,))
COVARIANCE = W @ W.T + NOISE**2 * torch.eye(D)
EVIDENCE = torch.distributions.MultivariateNormal(torch.zeros(D), COVARIANCE)
POSTERIOR = (torch.eye(LATENT) + W.T @ W / NOISE**2).inverse()


def log_likelihood(x: Tensor, z: Tensor) -> Tensor:
    return Gaussian((D,), NOISE).log_density(x - z @ W.T)


def log_weights(x: Tensor, k: int, rng: Generator) -> Tensor:
    """q is the posterior with a shifted mean, 1.5 times as wide: its gap is known."""
    eps = torch.randn(k, len(x), LATENT, generator=rng)
    factor = 1.5 * torch.linalg.cholesky(POSTERIOR)
    mean = x @ W @ POSTERIOR / NOISE**2 + 0.3
    z = mean + eps @ factor.T
    law = torch.distributions.MultivariateNormal(mean, scale_tril=factor)
    joint = PRIOR.log_density(z.flatten(0, 1)) + log_likelihood(x.repeat(k, 1), z.flatten(0, 1))
    return joint.view(k, len(x)) - law.log_prob(z)


def elbo_gap() -> float:
    """KL(q || posterior), the same for every x."""
    q = torch.distributions.MultivariateNormal(torch.full((LATENT,), 0.3), 1.5**2 * POSTERIOR)
    p = torch.distributions.MultivariateNormal(torch.zeros(LATENT), POSTERIOR)
    return float(torch.distributions.kl_divergence(q, p))


def rows(n: int, seed: int = 2) -> Tensor:
    """Draws of the model itself."""
    noise = torch.randn(n, D, generator=Generator().manual_seed(seed))
    return noise @ torch.linalg.cholesky(COVARIANCE).T


def test_the_k_sample_bound_rises_from_the_elbo_to_the_evidence() -> None:
    """L_1 at its closed form; L_1 < L_5 < L_50 < log p: 4.5 standard errors (false alarm 7e-6)."""
    x, rng = rows(20_000), Generator().manual_seed(0)
    truth = EVIDENCE.log_prob(x).double()
    gaps = [truth - mean_weights(log_weights, x, k, rng).log_mean for k in (1, 5, 50)]
    error = [float(gap.std() / math.sqrt(len(x))) for gap in gaps]
    mean = [float(gap.mean()) for gap in gaps]
    assert abs(mean[0] - elbo_gap()) < 4.5 * error[0]
    assert mean[0] > mean[1] + 4.5 * error[0] and mean[1] > mean[2] + 4.5 * error[1]
    assert 4.5 * error[2] < mean[2] < 0.1


def test_passes_join_and_shares_are_those_of_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven weights a row in passes of two; their mean, ESS and half powers written out."""
    table = torch.randn(7, 3, generator=Generator().manual_seed(0)).double()

    def served(x: Tensor, k: int, rng: Generator) -> Tensor:
        start = served.given  # type: ignore[attr-defined]
        served.given += k  # type: ignore[attr-defined]
        return table[start : start + k]

    monkeypatch.setattr("gibbsian.evaluation.log_z.directed.AT_ONCE", 6)
    for power in (1.0, 0.5):
        served.given = 0  # type: ignore[attr-defined]
        found = mean_weights(served, torch.zeros(3, 1), 7, Generator(), power)
        w = (power * table).exp()
        assert torch.allclose(found.log_mean, w.mean(0).log())
        assert torch.allclose(found.ess, w.mean(0).square() / w.square().mean(0))
        assert torch.allclose(found.elbo, power * table.mean(0))
        assert torch.allclose(found.elbo_stderr, power * table.std(0) / 7**0.5)
        first = found.of_first(2)
        assert (
            torch.equal(first.elbo, found.elbo[:2]) and len(first.log_mean) == len(first.ess) == 2
        )
        assert served.given == 7  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="at least one sample"):
        mean_weights(served, torch.zeros(3, 1), 0, Generator())


def test_annealing_has_the_evidence_between_its_sides() -> None:
    """Per row within 0.4 nats on average of the truth, the mean of each side on its own side of it."""
    x = rows(60)
    found = annealed(log_likelihood, PRIOR, x, Generator().manual_seed(0))
    truth = EVIDENCE.log_prob(x).double()
    for side, sign in ((found.lower, 1), (found.upper, -1)):
        gap = sign * (truth - side)
        assert gap.mean() > -3 * gap.std() / math.sqrt(len(x))
        assert gap.abs().mean() < 0.4


def test_annealing_averages_to_the_evidence() -> None:
    """mean exp(lower - log p) = 1 within 4.5 standard errors."""
    x = rows(150, 5)
    below = annealed(log_likelihood, PRIOR, x, Generator().manual_seed(1), chains=4).lower
    ratio = (below - EVIDENCE.log_prob(x).double()).exp()
    assert abs(ratio.mean() - 1) < 4.5 * ratio.std() / math.sqrt(len(x))


def test_importance_sampling_from_the_fitted_posterior_finds_the_evidence() -> None:
    """Both sides within 0.1 nats on every row: 2 000 draws with over a thousand effective ones err by
    0.03, so 0.1 is over three standard errors of the worst of 50 rows (false alarm about 5 %, seed fixed)."""
    x = rows(50)
    found = posterior_likelihood(log_likelihood, PRIOR, x, Generator().manual_seed(0))
    truth = EVIDENCE.log_prob(x).double()
    assert (found.lower - truth).abs().max() < 0.1 and (found.upper - truth).abs().max() < 0.1
    assert bool(found.reliable.all()) and found.ess.min() > 500


class Waves(nn.Module):
    """x = A sin(B z) + noise: a posterior of narrow modes, which chains from the prior do not find."""

    def __init__(self, seed: int, noise: float):
        super().__init__()
        rng = Generator().manual_seed(seed)
        self.A = torch.randn(16, 20, generator=rng) / 4
        self.B = 1.5 * torch.randn(LATENT, 16, generator=rng)
        self.noise = noise

    def decode(self, z: Tensor) -> Tensor:
        return torch.sin(z @ self.B) @ self.A

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        return Gaussian((20,), self.noise).log_density(x - self.decode(z))

    def draw(self, n: int, rng: Generator) -> Tensor:
        x = self.decode(torch.randn(n, LATENT, generator=rng))
        return x + self.noise * torch.randn(n, 20, generator=rng)

    def evidence(self, x: Tensor, points: int = 1501) -> Tensor:
        """log p of each row by a grid of the plane, spaced well below a mode's width of 0.03."""
        axis = torch.linspace(-5.0, 5.0, points)
        z = torch.cartesian_prod(axis, axis)
        log_cell = 2 * math.log(10.0 / (points - 1))
        parts = [
            [
                (PRIOR.log_density(part) + self.log_likelihood(row.expand(len(part), 20), part))
                .double()
                .logsumexp(0)
                for part in z.split(250_000)
            ]
            for row in x
        ]
        return torch.stack([torch.stack(row).logsumexp(0) for row in parts]) + log_cell


@pytest.mark.parametrize("noise", [0.1, 0.03])
def test_narrow_posteriors_of_several_modes_are_found(noise: float) -> None:
    """Chains that start at the prior miss the same rows by 1 000 (noise 0.1) and 10 000 nats (0.03).

    Standard errors are 0.03 with a thousand effective draws: 0.15 is five of them.
    """
    model = Waves(7, noise)
    x = model.draw(4, Generator().manual_seed(8))
    found = posterior_likelihood(model.log_likelihood, PRIOR, x, Generator().manual_seed(9))
    truth = model.evidence(x)
    assert (found.lower - truth).abs().max() < 0.15 and (found.upper - truth).abs().max() < 0.15
    assert bool(found.reliable.all())


def test_a_posterior_of_two_modes_is_found() -> None:
    """x = z^2 + noise, modes at +-sqrt(x) that merge at 0, against quadrature of the line."""

    def square(x: Tensor, z: Tensor) -> Tensor:
        return Gaussian((1,), 0.1).log_density(x - z.square())

    x = torch.tensor([[2.0], [0.5], [0.0], [-0.2]], dtype=torch.float64)
    z = torch.linspace(-8.0, 8.0, 160_001, dtype=torch.float64)[:, None]
    prior = Gaussian((1,))
    log_joint = [prior.log_density(z) + square(row.expand(len(z), 1), z) for row in x]
    truth = torch.stack(log_joint).logsumexp(1) + math.log(1e-4)
    found = posterior_likelihood(square, prior, x.float(), Generator().manual_seed(3))
    # 2 000 draws with over 500 effective ones: five standard errors are below 0.2.
    assert ((found.lower - truth).abs() < 5 * found.stderr).all() and found.stderr.max() < 0.04
    assert (found.upper - truth).abs().max() < 0.2 and bool(found.reliable.all())


def test_what_bounds_a_row_from_below_is_held_against_it() -> None:
    """Within 5 errors of the ELBO and 8 nats of the importance bound passes; one weight has no error."""

    def row(elbo: float, stderr: float, log_mean: float) -> MeanWeights:
        values = (log_mean, 0.5, elbo, stderr)
        return MeanWeights(*(torch.tensor([v], dtype=torch.float64) for v in values))

    half = torch.tensor([500.0])  # of 1 000 draws: an error of 0.0316 nats
    value = torch.zeros(1, dtype=torch.float64)
    found = PosteriorLikelihood(value - 1, value, torch.zeros(1), half, 1_000)
    error = math.hypot(0.1, 1 / 1_000**0.5)
    assert found.stderr.item() == pytest.approx(1 / 1_000**0.5)
    for bound, broken in (
        (row(4.9 * error, 0.1, 0.0), False),
        (row(5.1 * error, 0.1, 0.0), True),
        (row(-3.0, 0.1, 7.9), False),
        (row(-3.0, 0.1, 8.1), True),
        (row(7.0, math.nan, 7.0), False),
        (row(9.0, math.nan, 9.0), True),
    ):
        assert bool(below_their_bound(found, bound)) is broken


def test_rows_below_their_own_bound_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """An estimate twenty nats too low on two rows of five: they are left out, and the count is said."""

    def too_low(_: object, prior: object, x: Tensor, rng: Generator) -> PosteriorLikelihood:
        value = EVIDENCE.log_prob(x).double()
        value[:2] -= 20.0
        fine = torch.full((len(x),), 500.0)
        return PosteriorLikelihood(value, value, torch.zeros(len(x)), fine, 2_000)

    monkeypatch.setattr(directed, "posterior_likelihood", too_low)
    found = directed_model_log_likelihood(
        log_weights, rows(30), Generator().manual_seed(0), decoder=(log_likelihood, PRIOR), closer=5
    )
    assert any("2 came out below their own bound" in warning for warning in found.warnings)
    assert any("left out" in warning for warning in found.warnings)
    # Two rows of five at -20 would have taken 8 nats off; those left are exact.
    assert (
        abs(found.upper.value - found.lower.value) < 1.0 and found.upper.diagnostics["rows"] == 30
    )


def test_where_no_row_can_be_relied_on_the_bound_stands_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def doubtful(_: object, prior: object, x: Tensor, rng: Generator) -> PosteriorLikelihood:
        value = EVIDENCE.log_prob(x).double()
        few = torch.full((len(x),), 3.0)
        return PosteriorLikelihood(value, value, torch.ones(len(x)), few, 2_000)

    monkeypatch.setattr(directed, "posterior_likelihood", doubtful)
    x, given = rows(30), (log_likelihood, PRIOR)
    found = directed_model_log_likelihood(
        log_weights, x, Generator().manual_seed(0), decoder=given, closer=5
    )
    alone = directed_model_log_likelihood(log_weights, x, Generator().manual_seed(0))
    assert found.lower == alone.lower and found.upper == alone.upper
    assert "5 with weights that cannot be relied on; they are left out" in found.warnings[0]


def test_the_interval_holds_the_truth() -> None:
    x, rng = rows(300), Generator().manual_seed(0)
    truth = float(EVIDENCE.log_prob(x).mean())
    found = directed_model_log_likelihood(
        log_weights, x, rng, k=50, decoder=(log_likelihood, PRIOR), closer=30
    )
    # The rows are shared with the truth, whose spread the standard errors include: twice is wide.
    assert found.lower.value - 0.1 < truth < found.upper.value + 0.1
    assert found.upper.value - found.lower.value < 0.3
    assert found.lower.standing == "bound in expectation" and found.lower.side == "lower"
    assert found.upper.standing == "estimate" and found.upper.side == "upper"
    assert "fitted posterior" in found.upper.how and found.name == "log p" and not found.warnings
    loose = directed_model_log_likelihood(
        log_weights, x, rng.manual_seed(0), k=1, decoder=(log_likelihood, PRIOR), closer=30
    )
    # L_1 is 1.3 below; what 30 rows say of the gap has a standard error of 0.5.
    assert abs(loose.upper.value - truth) < 1.0 and abs(loose.lower.value - truth) < 1.0
    alone = directed_model_log_likelihood(log_weights, x, rng, k=2)
    assert alone.upper.side == "both" and "effective samples of 2" in alone.warnings[0]
    with pytest.raises(ValueError, match="at least two rows"):
        directed_model_log_likelihood(log_weights, x[:1], rng, k=2)


def test_five_latent_dimensions_and_more_are_annealed_back() -> None:
    prior = Gaussian((5,))

    def blind(x: Tensor, z: Tensor) -> Tensor:
        return Gaussian((D,), NOISE).log_density(x)

    def weights(x: Tensor, k: int, rng: Generator) -> Tensor:
        return blind(x, x).expand(k, len(x))

    x = rows(4)
    found = directed_model_log_likelihood(
        weights, x, Generator(), k=1, decoder=(blind, prior), closer=3
    )
    truth = float(blind(x, x).mean())
    assert "reverse annealing" in found.upper.how
    assert found.lower.value == pytest.approx(truth) and found.upper.value == pytest.approx(truth)


def test_sides_that_cross_are_left_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """An upper side half a nat too low."""

    def too_low(_: object, prior: object, x: Tensor, rng: Generator) -> PosteriorLikelihood:
        value = EVIDENCE.log_prob(x).double() - 0.5
        fine = torch.full((len(x),), 500.0)
        return PosteriorLikelihood(value, value, torch.zeros(len(x)), fine, 2_000)

    monkeypatch.setattr(directed, "posterior_likelihood", too_low)
    found = directed_model_log_likelihood(
        log_weights, rows(30), Generator().manual_seed(0), decoder=(log_likelihood, PRIOR), closer=5
    )
    assert found.upper.value == pytest.approx(found.lower.value - 0.5, abs=0.2)
    assert any("the sides cross by 0." in warning for warning in found.warnings)
