"""Chains as ArviZ reads them: the same draws, the same diagnostics, and how each draw came about."""

import sys

import pytest
import torch

from gibbsian.cli import main
from gibbsian.integrations.arviz import to_inference_data
from gibbsian.samplers import mala, run_chains, ula
from tests.cli.conftest import SMALL


def seed(number=0):
    return torch.Generator().manual_seed(number)


def normal(x):
    return 0.5 * x.square().sum(1)


def cliff(x):
    """A normal distribution with an energy of -inf beyond 1.5: proposals into it are broken, not rejected."""
    return torch.where(x[:, 0] > 1.5, -torch.inf, normal(x))


def test_diagnostics_by_arviz_are_ours():
    arviz = pytest.importorskip("arviz")
    chains = run_chains(mala(cliff, 0.8), 0.3 * torch.randn(4, 3, generator=seed()), 300, seed(1))
    data, ours = to_inference_data(chains), chains.summary()
    assert dict(data.posterior.sizes) == {"chain": 4, "draw": 300, "x_dim_0": 3}
    assert data.posterior.attrs["steps"] == 300
    for ours_of, theirs in (
        (ours.r_hat, arviz.rhat(data)),
        (ours.ess_bulk, arviz.ess(data)),
        (ours.ess_tail, arviz.ess(data, method="tail")),
    ):
        assert ours_of.tolist() == pytest.approx(theirs["x"].values.tolist(), rel=1e-6)


@pytest.mark.parametrize("thin", [1, 5])
def test_the_record_adds_up_to_what_the_chains_say(thin):
    start = 0.3 * torch.randn(6, 2, generator=seed())
    chains = run_chains(mala(cliff, 0.8), start, 200, seed(1), thin=thin, record=True)
    rate, broken = chains.record["acceptance_rate"], chains.record["diverging"]
    assert rate.shape == broken.shape == (200 // thin, 6)
    assert torch.allclose(rate.mean(0), chains.acceptance, atol=1e-5)
    assert int(chains.divergences.sum()) > 20
    if thin == 1:  # a step that does not move is a rejection: where it was broken, no acceptance
        assert torch.equal(broken.sum(0), chains.divergences)
        assert float(rate[broken].max()) < 1e-5
    else:
        assert bool((broken.sum(0) <= chains.divergences).all())
    assert torch.equal(chains.record["step_size"], torch.full_like(rate, 0.8))


def test_an_unadjusted_kernel_accepts_everything_and_nothing_is_recorded_unasked():
    start = torch.randn(3, 2, generator=seed())
    asked = run_chains(ula(normal, 0.01), start, 20, seed(), record=True)
    assert torch.equal(asked.record["acceptance_rate"], torch.ones(20, 3))
    unasked = run_chains(ula(normal, 0.01), start, 20, seed())
    assert unasked.record == {} and set(unasked.to_arviz()) == {"posterior"}


def test_refining_chains_go_to_a_file_that_arviz_opens(tmp_path, capsys):
    arviz = pytest.importorskip("arviz")
    folder, points, file = tmp_path / "run", tmp_path / "x.npy", tmp_path / "chains.nc"
    assert main(["train", "cd", "--data", "moons", *SMALL, "--out", str(folder)]) == 0
    words = ["sample", str(folder), "-n", "5", "--mcmc-steps", "40", "--output", str(points)]
    refined = [
        *words,
        "--refine",
        "mala",
        "--mcmc-step-size-decay",
        "0.1",
        "--mcmc-steps-per-decay",
        "20",
    ]
    assert main([*refined, "--save-chains", str(file)]) == 0
    data = arviz.from_netcdf(str(file))
    assert dict(data.posterior["x"].sizes) == {"chain": 5, "draw": 40, "x_dim_0": 2}
    sizes = data.sample_stats["step_size"].values
    assert sizes[:, 20:] == pytest.approx(0.1 * sizes[:, :20])
    assert {"acceptance_rate", "diverging"} <= set(data.sample_stats)
    assert main([*words, "--save-chains", str(file)]) == 2
    assert "--save-chains writes the chains of --refine" in capsys.readouterr().err
    assert main([*refined, "--save-chains", str(tmp_path / "chains.txt")]) == 2
    assert "--save-chains must end in .nc" in capsys.readouterr().err


def test_without_arviz_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz", None)
    chains = run_chains(ula(normal, 0.01), torch.randn(2, 2, generator=seed()), 5, seed())
    with pytest.raises(ImportError, match=r"gibbsian\[arviz\]"):
        to_inference_data(chains)
