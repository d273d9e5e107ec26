"""Convergence diagnostics against ArviZ and closed forms."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gibbsian.samplers import diagnostics, summarise_chains


def autoregressive(n: int, chains: int, phi: float, seed: int = 0, p: int = 1) -> Tensor:
    """Stationary N(0, 1) chains with correlation ``phi`` of neighbours, ``[n, chains, p]``."""
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(n, chains, p, generator=rng, dtype=torch.float64)
    for t in range(1, n):
        x[t] = phi * x[t - 1] + (1 - phi**2) ** 0.5 * x[t]
    return x


@pytest.mark.parametrize("phi", [0.0, 0.9, -0.5])
@pytest.mark.parametrize(("n", "chains"), [(100, 4), (101, 3), (4, 3), (7, 10)])
def test_all_numbers_equal_those_of_arviz(n: int, chains: int, phi: float) -> None:
    arviz = pytest.importorskip("arviz")
    x = autoregressive(n, chains, phi) + 0.2 * torch.arange(chains)[:, None]
    for draws in (x, (2 * x).round()):  # the second has ties
        theirs = draws[..., 0].T.numpy()
        for name, mine, value in (
            ("rhat", diagnostics.r_hat, arviz.rhat(theirs, method="rank")),
            ("bulk", diagnostics.ess_bulk, arviz.ess(theirs, method="bulk")),
            ("tail", diagnostics.ess_tail, arviz.ess(theirs, method="tail")),
            ("mcse", diagnostics.mcse_mean, arviz.mcse(theirs, method="mean")),
        ):
            assert float(mine(draws)) == pytest.approx(float(value), rel=1e-9), name


def test_effective_draws_of_an_autoregressive_chain() -> None:
    # ESS / n = (1 - phi) / (1 + phi).
    for phi in (0.0, 0.5, 0.8, -0.5):
        x = autoregressive(5000, 8, phi)
        share = float(diagnostics.ess(x)) / 40_000
        assert share == pytest.approx((1 - phi) / (1 + phi), rel=0.15)


def test_quantities_are_diagnosed_one_by_one() -> None:
    x = torch.cat([autoregressive(200, 4, phi, seed=i) for i, phi in enumerate((0.0, 0.9))], 2)
    for f in (diagnostics.r_hat, diagnostics.ess_bulk, diagnostics.ess_tail, diagnostics.mcse_mean):
        assert torch.allclose(f(x), torch.cat([f(x[..., :1]), f(x[..., 1:])]))


def test_r_hat_sees_place_and_spread() -> None:
    x = autoregressive(500, 4, 0.0)
    assert diagnostics.r_hat(x) < 1.01
    assert diagnostics.r_hat(x + torch.tensor([0, 0, 0, 2])[:, None]) > 1.1
    assert diagnostics.r_hat(x * torch.tensor([1, 1, 1, 3])[:, None]) > 1.1


def test_nested_r_hat_is_its_formula_on_normal_scores() -> None:
    # sqrt(1 + B / W) with B, W of the normal scores; here the folded one is the smaller.
    x = autoregressive(3, 12, 0.5) + torch.arange(4).repeat_interleave(3)[:, None]
    scores = diagnostics.rank_normalise(x)[..., 0].reshape(3, 4, 3)  # draw, group, chain
    means = scores.mean(0)
    within = (means.var(1) + scores.var(0).mean(1)).mean()
    expected = (1 + means.mean(1).var() / within).sqrt()
    assert torch.allclose(diagnostics.nested_r_hat(x, 4), expected)


def test_nested_r_hat_judges_many_short_chains() -> None:
    # 16 groups of 128 chains, 5 draws each. Groups that remember their start are seen at once;
    # R-hat of chains this short says nothing good even of perfect draws of slow chains.
    stationary = autoregressive(5, 16 * 128, 0.9)
    assert diagnostics.nested_r_hat(stationary, 16) < 1.01
    assert diagnostics.r_hat(stationary) > 1.1
    starts = torch.randn(16, 1, generator=torch.Generator().manual_seed(0)).double()
    assert diagnostics.nested_r_hat(stationary + starts.repeat_interleave(128, 0), 16) > 1.2
    with pytest.raises(ValueError, match="do not split"):
        diagnostics.nested_r_hat(stationary, 7)


def test_normal_scores_share_the_rank_of_ties() -> None:
    x = torch.tensor([3.0, 1.0, 1.0, 2.0]).reshape(4, 1, 1)
    ranks = torch.tensor([4.0, 1.5, 1.5, 3.0], dtype=torch.float64)
    expected = torch.special.ndtri((ranks - 0.375) / 4.25)
    assert torch.allclose(diagnostics.rank_normalise(x).flatten(), expected)


def test_verdicts() -> None:
    good = autoregressive(500, 4, 0.2, p=3)
    assert summarise_chains(good).verdict == "converged"
    assert summarise_chains(good).converged
    apart = good + torch.tensor([0, 0, 0, 1.0])[:, None]
    verdict = summarise_chains(apart).verdict
    assert verdict.startswith("not converged: R-hat 1.")
    assert "x[" in verdict
    assert "effective draws in the bulk" in summarise_chains(good[:50]).verdict
    assert "2.00% of the proposals diverged" in summarise_chains(good, 0.02).verdict
    stuck = torch.cat([good, torch.ones(500, 4, 1)], 2)
    assert "x[3] never moved" in summarise_chains(stuck).verdict
    assert "3 kept draws" in summarise_chains(good[:3]).verdict
    assert str(summarise_chains(good[:3])) == summarise_chains(good[:3]).verdict


def test_table_shows_the_worst_coordinates_of_an_image() -> None:
    x = torch.randn(100, 4, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    x[:, 0, 0, 0, 0] += 5
    summary = summarise_chains(x)
    assert len(summary.names) == 64
    text = str(summary)
    assert "x[0,0,0]" in text
    assert "6 of 64 coordinates shown" in text
    assert summary.verdict.startswith("not converged: R-hat")
