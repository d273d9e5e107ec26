"""Rows go to a tracker as they go to ``metrics.jsonl``, and a resumed run goes on in the same log."""

import json

import pytest

import gibbsian
from gibbsian.cli import main
from gibbsian.config.config import plain, to_json
from gibbsian.training.loggers import TensorBoard, watching
from tests.cli.conftest import SMALL

CONFIG = to_json(plain("cd", "moons"))


def curves(folder):
    """Curve -> [(step, value)] as TensorBoard reads them."""
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    found = event_accumulator.EventAccumulator(str(folder))
    found.Reload()
    return {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def rows_of(run):
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "checksum"} for row in rows]


def test_tensorboard_shows_the_metrics_of_a_run_and_of_its_continuation(tmp_path):
    pytest.importorskip("tensorboard")
    run = tmp_path / "run"
    words = ["train", "cd", "--data", "moons", *SMALL, "--log-every", "1", "--out", str(run)]
    assert main([*words, "--log-with", "tensorboard"]) == 0
    resumed = ["train", "--resume", str(run), "--rounds", "6", "--log-with", "tensorboard"]
    assert main(resumed) == 0
    rows, shown = rows_of(run), curves(run / "tensorboard")
    assert [row["round"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert set(shown) == set(rows[0]) - {"round"}
    for name, points in shown.items():
        assert points == [(row["round"], pytest.approx(row[name], rel=1e-6)) for row in rows]


def test_rounds_that_are_played_again_replace_the_old_ones(tmp_path):
    pytest.importorskip("tensorboard")
    for rounds, value in ((range(1, 5), 1.0), (range(3, 7), 2.0)):
        board = TensorBoard(tmp_path, {})
        for number in rounds:
            board({"round": number, "loss": value})
        board.close()
    expected = [(1, 1.0), (2, 1.0), (3, 2.0), (4, 2.0), (5, 2.0), (6, 2.0)]
    assert curves(tmp_path / "tensorboard") == {"loss": expected}


OWN = """
import json

class Tracker:
    def __init__(self, run, config):
        self.file = (run.parent / "own.txt").open("a")
        self.file.write(config["method"] + "\\n")

    def __call__(self, row):
        self.file.write(json.dumps(row) + "\\n")

    def close(self):
        self.file.write("closed\\n")
        self.file.close()

number = 3
"""


def test_a_tracker_of_ones_own_sees_every_row_and_is_closed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_tracker.py").write_text(OWN)
    run = tmp_path / "run"
    words = ["train", "cd", "--data", "moons", *SMALL, "--log-every", "2", "--out", str(run)]
    assert main([*words, "--log-with", "own_tracker:Tracker"]) == 0
    first, *lines, last = (tmp_path / "own.txt").read_text().splitlines()
    assert (first, last) == ("cd", "closed")
    assert [json.loads(line) for line in lines] == rows_of(run)


def test_a_tracker_is_closed_when_the_run_fails(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "failing_tracker.py").write_text(OWN)
    with (
        pytest.raises(RuntimeError),
        watching("failing_tracker:Tracker", tmp_path / "run", CONFIG),
    ):
        raise RuntimeError
    assert (tmp_path / "own.txt").read_text().endswith("closed\n")


def test_python_is_told_the_rows_without_a_run_folder():
    rows = []
    gibbsian.train(
        *("cd", "moons"),
        training={"rounds": 5, "log_every": 2, "batch": 16, "device": "cpu"},
        source={"max_rows": 200},
        chains=16,
        watch=rows.append,
    )
    assert [row["round"] for row in rows] == [2, 4, 5]
    assert {"energy/loss", "rounds_per_second"} <= set(rows[0])


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("tensorbord", "unknown tracker 'tensorbord'; did you mean tensorboard"),
        ("no_such_module_here:track", "cannot import 'no_such_module_here'"),
        ("json:track", "module 'json' has no 'track'"),
        ("json:", "a tracker of your own is named package.module:function, not 'json:'"),
    ],
)
def test_unknown_trackers_are_named_before_anything_is_trained(tmp_path, capsys, name, sentence):
    run = tmp_path / "run"
    words = ["train", "cd", "--data", "moons", *SMALL, "--out", str(run), "--log-with", name]
    assert main(words) == 2
    assert sentence in capsys.readouterr().err
    assert not run.exists()
