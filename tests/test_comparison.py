"""Comparisons: the table against formulas, ties, and a run that is killed and goes on."""

from __future__ import annotations

import json
import math
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
import torch
from scipy import stats

from gibbsian.cli import main
from gibbsian.cli.comparing import seconds
from gibbsian.config.config import Source
from gibbsian.core import NonFiniteError
from gibbsian.core.tensor_files import read_tensors
from gibbsian.data import load_dataset
from gibbsian.experiments.compare import ComparisonSettings, entries as runs
from gibbsian.experiments.compare.baselines import energy_of_rows, fitted, reference
from gibbsian.experiments.compare.measuring import judge_of, of_density
from gibbsian.experiments.compare.ranking import difference, ranked, ranks, row_of
from gibbsian.experiments.compare.settings import FLOOR, TRIVIAL, variants_of
from gibbsian.experiments.compare.shared_runs import cells
from gibbsian.models.train import load_source


def run(**figures: float) -> dict[str, Any]:
    return {"figures": {name: {"value": v, "stderr": 0.1} for name, v in figures.items()}}


def rows_with(name: str, values: dict[str, list[float]]) -> list[Any]:
    return [row_of(label, [run(**{name: v}) for v in vs], False) for label, vs in values.items()]


def test_means_errors_and_differences_are_welchs() -> None:
    x, y = [1.0, 1.2, 0.7], [2.0, 2.9]
    a, b = rows_with("mmd", {"a": x, "b": y})
    assert a.entries["mmd"].value == pytest.approx(mean(x))
    assert a.entries["mmd"].stderr == pytest.approx(stdev(x) / math.sqrt(3))
    gap = difference(a, b, "mmd")
    theirs = stats.ttest_ind(x, y, equal_var=False).confidence_interval(0.95)
    assert gap is not None
    assert (gap.low, gap.high) == (pytest.approx(theirs.low), pytest.approx(theirs.high))


def test_one_seed_has_its_own_error_and_the_normal_quantile() -> None:
    a, b = rows_with("mmd", {"a": [1.0], "b": [2.0]})
    gap = difference(a, b, "mmd")
    assert gap is not None and gap.high - gap.value == pytest.approx(
        1.959964 * math.hypot(0.1, 0.1)
    )


def test_ranks_own_up_to_ties_and_know_which_way_is_better() -> None:
    values = {"best": [0.10, 0.11, 0.12], "tied": [0.09, 0.12, 0.13], "worst": [0.9, 0.91, 0.92]}
    low, high = rows_with("mmd", values), rows_with("precision", values)
    assert ranks(low, "mmd") == {"best": 1, "tied": 1, "worst": 3}
    assert ranks(high, "precision") == {"best": 2, "tied": 2, "worst": 1}
    assert [row.label for row in ranked(low)] == ["best", "tied", "worst"]
    assert next(row.label for row in ranked(high)) == "worst"


def test_one_run_each_has_no_rank() -> None:
    once = rows_with("mmd", {"a": [1.0], "b": [9.0]})
    gap = difference(*once, "mmd")
    assert gap is not None and gap.clear and ranks(once, "mmd") == {}


def test_an_upper_side_is_never_ranked_and_references_neither() -> None:
    rows = rows_with("log-likelihood-upper", {"a": [1.0, 2.0], "b": [5.0, 6.0]})
    assert ranks(rows, "log-likelihood-upper") == {}
    floor = row_of(FLOOR, [run(mmd=0.0), run(mmd=0.001)], True)
    apart = rows_with("mmd", {"a": [1.0, 1.1], "b": [9.0, 9.1]})
    assert ranks([floor, *apart], "mmd") == {"a": 1, "b": 2}


def test_no_ranks_where_nothing_is_told_apart_or_a_run_failed() -> None:
    same = rows_with("mmd", {"a": [1.0, 5.0], "b": [2.0, 4.0]})
    assert ranks(same, "mmd") == {}
    without_errors = [
        row_of(label, [{"figures": {"modes": {"value": value}}}], False)
        for label, value in (("a", 8.0), ("b", 2.0))
    ]
    assert ranks(without_errors, "modes") == {}
    failed = row_of("c", [run(mmd=0.0), {"failed": "NaN"}], False)
    apart = rows_with("mmd", {"a": [1.0, 1.1], "b": [9.0, 9.1]})
    assert ranks([*apart, failed], "mmd") == {"a": 1, "b": 2}
    assert [row.label for row in ranked([failed, *apart])] == ["a", "b", "c"]
    floor = row_of(FLOOR, [run(mmd=0.0)], True)
    assert ranked([*rows_with("mmd", {"a": [1.0]}), floor])[0] is floor


def test_a_figure_that_one_run_lacks_is_not_averaged_over_the_others() -> None:
    runs_ = [run(kl=1.0), {"figures": {"kl": {"undefined": "log Z is not"}}}, {"failed": "NaN"}]
    row = row_of("a", runs_, False)
    assert not row.entries["kl"].defined and row.entries["kl"].why == "log Z is not"
    assert list(row.failed) == ["NaN"]


def test_sides_that_cross_leave_the_upper_one_undefined() -> None:
    lower = {"value": -1.7, "stderr": 0.1, "standing": "bound in expectation"}
    figures = of_density({"lower": lower, "upper": lower | {"value": -6.0}})
    assert figures["log-likelihood"]["value"] == -1.7
    assert "below the lower side" in figures["log-likelihood-upper"]["undefined"]
    figures = of_density({"lower": lower, "upper": lower | {"value": -1.8}})
    assert figures["log-likelihood-upper"]["value"] == -1.8


def test_one_number_is_no_upper_side_unless_it_is_exact() -> None:
    """A Helmholtz machine has a bound from below, and the same number as an estimate of log p."""
    lower = {"value": -1.7, "stderr": 0.1, "standing": "bound in expectation"}
    figures = of_density({"lower": lower, "upper": lower | {"standing": "estimate"}})
    assert "nothing here bounds it" in figures["log-likelihood-upper"]["undefined"]
    nothing = lower | {"value": None}
    figures = of_density({"lower": nothing, "upper": nothing})
    assert figures["log-likelihood-upper"]["undefined"] == "not finite"
    exact = lower | {"standing": "exact"}
    figures = of_density({"lower": exact, "upper": exact})
    assert figures["log-likelihood-upper"]["value"] == -1.7


def test_the_references_are_what_they_say(tmp_path: Path) -> None:
    data = load_dataset("ring8", max_rows=3_000)
    settings = ComparisonSettings("ring8", variants_of("gan"), samples=200)
    judge = judge_of(settings, data, tmp_path)
    floor = reference(FLOOR, 0, settings, data, judge)
    trivial = reference(TRIVIAL, 0, settings, data, judge)
    assert data.density is not None
    truth = data.density.log_prob(data.test[:2_000])
    assert floor["log-likelihood"]["value"] == pytest.approx(float(truth.mean()))
    x, test = data.train.double().numpy(), data.test[:2_000].double().numpy()
    normal = stats.multivariate_normal(x.mean(0), torch.cov(data.train.double().T).numpy())
    expected = normal.logpdf(test).mean()
    assert trivial["log-likelihood"]["value"] == pytest.approx(expected, abs=1e-3)  # the ridge
    gap = trivial["kl"]["value"] - (floor["log-likelihood"]["value"] - expected)
    assert abs(gap) < 1e-3
    assert floor["two-sample"]["value"] < 0.6 < trivial["two-sample"]["value"]
    assert floor["mmd"]["value"] < trivial["mmd"]["value"]


def test_bits_have_a_law_of_independent_bits() -> None:
    data = load_dataset("digits-binary")
    law = fitted(data)
    x = data.test[:50]
    share = (data.train.double().sum(0) + 1) / (len(data.train) + 2)
    expected = stats.bernoulli.logpmf(x.double().numpy(), share.numpy()).sum(1)
    assert torch.allclose(law.log_prob(x), torch.from_numpy(expected), rtol=1e-9, atol=0)
    draws = law.sample(4_000, torch.Generator().manual_seed(0))
    # 64 means of 4000 draws: at 5 standard errors of 1/2 one test in 27 000 fails without a fault.
    assert float((draws.double().mean(0) - share).abs().max()) < 5 * 0.5 / math.sqrt(4_000)


COMMAND = (
    "compare --data ring8 --methods gan --num-seeds 2 --time-per-run 0.2s --num-samples 60 "
    "--max-rows 900"
)


def test_a_comparison_survives_a_kill_and_adds_methods(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, measured, calls = tmp_path / "c", runs.measured, [0]

    def dying(*arguments: Any) -> Any:
        calls[0] += 1
        if calls[0] == 2:
            raise KeyboardInterrupt
        return measured(*arguments)

    monkeypatch.setattr(runs, "measured", dying)
    assert main([*COMMAND.split(), "--out", str(out)]) == 130
    kept = (out / "gan" / "seed-0" / "figures.json").read_bytes()
    model = out / "gan" / "seed-1" / "run" / "model" / "model.safetensors"
    trained = read_tensors(model)[0]
    assert not (out / "gan" / "seed-1" / "figures.json").exists()
    assert "5 of 6 runs are done" in (out / "comparison.md").read_text(), "an early look"
    more = COMMAND.replace("--methods gan", "--methods gan,ebgan")
    assert main([*more.split(), "--out", str(out)]) == 0
    assert calls[0] == 2 + 3, "nothing that was measured is measured again"
    assert (out / "gan" / "seed-0" / "figures.json").read_bytes() == kept
    assert all(torch.equal(trained[name], now) for name, now in read_tensors(model)[0].items())
    table = json.loads((out / "table.json").read_text())
    assert {row["label"] for row in table["rows"]} == {FLOOR, TRIVIAL, "gan", "ebgan"}
    gan = next(row for row in table["rows"] if row["label"] == "gan")
    assert "undefined" in gan["entries"]["log-likelihood"] and gan["entries"]["mmd"]["seeds"] == 2
    assert "# Methods compared on ring8" in capsys.readouterr().out
    page = (out / "comparison.html").read_text()
    assert "not defined" in page and "http://" not in page.replace("http://www.w3.org", "")
    assert main([*COMMAND.replace("0.2s", "0.3s").split(), "--out", str(out)]) == 2
    assert "another budget, 0.2 instead of 0.3" in capsys.readouterr().err
    (out / "comparison.json").write_text('{"format": 1}')
    assert main([*COMMAND.split(), "--report-only", "--out", str(out)]) == 2
    assert "comparison.json is damaged" in capsys.readouterr().err


def test_a_run_that_fails_is_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any, **named: Any) -> Any:
        raise NonFiniteError("player 'energy' in round 3: nan")

    monkeypatch.setattr(runs, "train_config", broken)
    command = COMMAND.replace("gan", "cd").replace("--num-seeds 2", "--num-seeds 1").split()
    assert main([*command, "--out", str(tmp_path / "c")]) == 0
    found = json.loads((tmp_path / "c" / "cd" / "seed-0" / "figures.json").read_text())
    assert found["failed"] == "player 'energy' in round 3: nan"
    assert "player 'energy' in round 3" in (tmp_path / "c" / "comparison.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--methods gan,gann", "unknown method 'gann'; did you mean"),
        ("--methods super-resolution", "samples only given something"),
        ("--methods gan,gan", "two rows are called 'gan'"),
        ("--methods gan --time-per-run soon", "--time-per-run must be a time"),
        ("--methods gan --num-seeds 0", "number of seeds must be at least 1"),
        ("--methods gan --num-samples 3", "at least 20 samples"),
        ("--methods gan --workers 0", "number of workers must be at least 1"),
        ("--methods gan --metric-feature-extractor squeezenet", "sees images"),
        ("--methods gan --extra-methods-file nowhere.json", "there is no file nowhere.json"),
        ("--methods ,", "name at least one method"),
        ("--methods gan --max-rows 60", "a comparison needs at least 10"),
        ("--report-only", "holds no comparison to show"),
    ],
)
def test_what_cannot_be_compared_is_said(
    arguments: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "c"
    command = ["compare", "--data", "ring8", "--max-rows", "400", "--out", str(out)]
    assert main([*command, *arguments.split()]) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error
    assert not out.exists()


def test_rows_of_a_file_are_methods_with_options(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(
        '{"Wasserstein GAN": {"method": "gan", "loss": "wasserstein", "critic_steps": 7}}'
    )
    plain, other = variants_of("gan", path)
    config = ComparisonSettings("ring8", (plain, other)).config(other)
    assert (config.method, config.loss, config.critic_steps) == ("gan", "wasserstein", 7)  # type: ignore[attr-defined]
    path.write_text('{"a": {"loss": "wasserstein"}}')
    with pytest.raises(ValueError, match="must be like"):
        variants_of("gan", path)
    path.write_text('{"a": {"method": "gan", "rounds": 7}}')
    with pytest.raises(ValueError, match="sets rounds, which all rows share or the budget finds"):
        variants_of("gan", path)
    path.write_text('{"simplest distribution": {"method": "gan"}}')
    with pytest.raises(ValueError, match="is a row of every table"):
        variants_of("gan", path)
    path.write_text('{"../a": {"method": "gan"}}')
    with pytest.raises(ValueError, match="row's name is a folder's too"):
        variants_of("gan", path)


@pytest.mark.parametrize(("text", "value"), [("90", 90), ("35s", 35), ("1.5m", 90), ("1h", 3600)])
def test_times(text: str, value: float) -> None:
    assert seconds(text) == value


def test_seeds_begin_where_the_settings_say():
    settings = ComparisonSettings("moons", variants_of("gan", None), 2, first_seed=10)
    assert {cell.seed for cell in cells(settings)} == {10, 11}
    assert ComparisonSettings.from_json(settings.to_json()) == settings
    with pytest.raises(ValueError, match="seeds are whole numbers from 0, not -1"):
        ComparisonSettings("moons", variants_of("gan", None), 2, first_seed=-1)


def test_the_simplest_distribution_beside_categories_is_a_product(tmp_path: Path) -> None:
    """Its log-likelihood against the closed form of the table's own distribution: 4.5 standard errors.

    Two numbers N(0, 1) beside four values as likely: -log 4 - log 2 pi - 1 nats a row, with a standard
    deviation of 1; a Gaussian of the one-hot blocks, which has a density where there is none, is above it.
    """
    rng = torch.Generator().manual_seed(0)
    rows = torch.randn(4000, 2, generator=rng)
    kinds = torch.randint(4, (4000,), generator=rng)
    lines = [f"{'ABCD'[k]},{x:.6f},{y:.6f}" for k, (x, y) in zip(kinds, rows.tolist(), strict=True)]
    path = tmp_path / "known.csv"
    path.write_text("\n".join(["kind,x,y", *lines]))
    data = load_source(str(path), Source())
    law = fitted(data)
    u = data.transform.encode(data.test, rng)
    log_p = law.log_prob(u) + data.transform.log_jacobian
    truth = -math.log(4) - math.log(2 * math.pi) - 1
    assert float(log_p.mean()) == pytest.approx(truth, abs=4.5 / math.sqrt(len(u)) + 0.01)
    drawn = law.sample(8000, rng)
    assert drawn.shape == (8000, 6) and torch.equal(drawn[:, 2:].sum(1), torch.ones(8000))
    assert float(drawn[:, 2:].mean(0).sub(0.25).abs().max()) < 0.05
    codes = data.transform.decode(drawn)
    score = energy_of_rows(law, data, codes)
    assert torch.allclose(score, -law.log_prob(drawn), atol=1e-3)
