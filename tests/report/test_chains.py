"""What `gibbsian sample --refine` leaves in a run folder for the report."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from gibbsian.cli import main
from gibbsian.report.record import read_record
from gibbsian.samplers.chains import Chains
from gibbsian.samplers.kernel import ChainState
from gibbsian.samplers.metadata import chain_metadata, position
from tests.cli.conftest import SMALL


@pytest.fixture
def chains() -> Chains[ChainState]:
    """200 draws of 5 chains over [2, 3]: white noise, but for one coordinate whose chains stand apart."""
    rng = torch.Generator().manual_seed(0)
    draws = torch.randn(200, 5, 2, 3, generator=rng, dtype=torch.float64)
    draws[..., 1, 0] += 10.0 * torch.arange(5)
    draws[0, 1, 1, 0] = torch.nan
    x, one = draws[-1], torch.ones(5, dtype=torch.float64)
    state = ChainState(x, one, None, one[0], one[0], one[0])
    acceptance = torch.tensor([0.5, 0.75, 0.5, 0.75, 0.5], dtype=torch.float64)
    return Chains(draws, state, acceptance, torch.tensor([0, 2, 0, 1, 0]), 400, 2, 400)


def test_facts(chains):
    draws = chains.draws.clone()
    draws[0, 1, 1, 0] = 10.0
    facts = chain_metadata(replace(chains, draws=draws), "mala")
    assert facts["kernel"] == "mala" and facts["divergences"] == 3
    assert facts["acceptance"] == pytest.approx(0.6)
    assert facts["rows"][0]["name"] == facts["trace"]["name"] == "x[1,0]"
    # Ranks of five chains that do not overlap; their means are 0 to 40, each within 0.07 of that.
    assert facts["rows"][0]["r_hat"] > 3 and facts["rows"][0]["mean"] == pytest.approx(20, abs=0.2)
    assert [row["name"] for row in facts["rows"]].count("x[1,0]") == 1 and len(facts["rows"]) == 6
    assert facts["verdict"].startswith("not converged") and "x[1,0]" in facts["verdict"]
    assert facts["head"].startswith("5 chains, 400 steps, 200 draws kept of each, acceptance 0.60")
    steps, values = facts["trace"]["steps"], facts["trace"]["values"]
    assert steps == list(range(2, 401, 2))
    np.testing.assert_array_equal(np.array(values), draws[:, :4, 1, 0].T.numpy())


def test_what_is_not_finite_is_none(chains):
    facts = chain_metadata(chains, "mala")
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert facts["trace"]["name"] == "x[1,0]" and facts["trace"]["values"][1][0] is None
    draws = chains.draws.clone()
    draws[..., 0, 1] = 1.0  # it never moves: worse than any R-hat
    worst = chain_metadata(replace(chains, draws=draws), "mala")["rows"][0]
    assert worst["name"] == "x[0,1]" and worst["r_hat"] is None


def test_too_few_draws_have_no_rows(chains):
    facts = chain_metadata(replace(chains, draws=chains.draws[:3]), "ula")
    assert facts["rows"] == [] and facts["trace"]["values"] == []
    assert "keep at least 4" in facts["verdict"]


@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (2, 3, 4)])
def test_positions(shape):
    for flat, index in enumerate(np.ndindex(*shape)):
        assert position(f"x[{','.join(map(str, index))}]", shape) == flat


def test_refining_leaves_them_in_the_run_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "cd", "--data", "moons", *SMALL, "--out", "run"]) == 0
    words = ["-n", "8", "--refine", "langevin", "--mcmc-steps", "20", "--output", "x.csv"]
    assert main(["sample", "run", *words]) == 0
    assert main(["sample", "run/model", *words]) == 0
    assert [file.name for file in (tmp_path / "run/samples").iterdir()] == ["chains-langevin.json"]
    assert not (tmp_path / "run/model/samples").exists(), "a model alone is no run"
    (record,) = read_record(tmp_path / "run").chains
    assert record["kernel"] == "langevin" and record["head"].startswith("8 chains, 20 steps")
    facts = read_record(tmp_path / "run").facts
    assert facts["machine"]["processors"].isdigit() and facts["started"].endswith("+00:00")
