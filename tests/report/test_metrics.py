"""Long logs: every curve keeps its peaks, damage is named by its line, memory stays small."""

from __future__ import annotations

import math
import random
import tracemalloc
from pathlib import Path

import pytest

from gibbsian.core.records import line
from gibbsian.report import metrics_log
from gibbsian.report.metrics_log import FEWEST, PARTS, read_metrics

RUN = "abc"


def write(path: Path, rows: list[dict[str, float]]) -> Path:
    path.write_bytes(b"".join(line(row, RUN) for row in rows))
    return path


def noise(n: int) -> list[dict[str, float]]:
    rng = random.Random(0)
    return [
        {
            "round": i + 1,
            "rounds_per_second": 9.5,
            "a/loss": rng.gauss(0, 1),
            "b/x": rng.gauss(5, 1),
        }
        for i in range(n)
    ]


@pytest.mark.parametrize("n", [1, 5, PARTS * FEWEST // 2])
def test_a_short_log_is_kept_as_it_is(n, tmp_path):
    rows = noise(n)
    assert list(read_metrics(write(tmp_path / "m.jsonl", rows), RUN)) == rows


def test_peaks_of_every_curve_are_kept(tmp_path):
    rows = noise(40_000)
    for place, name, value in (
        (12_345, "a/loss", 1e6),
        (12_346, "a/loss", -1e6),
        (7, "b/x", 77.0),
        (39_998, "b/x", -77.0),
        (20_000, "c/rare", 3.0),
    ):
        rows[place][name] = value
    found = read_metrics(write(tmp_path / "m.jsonl", rows), RUN)
    assert len(found) < 10 * PARTS and all(row in rows for row in found[:50])
    assert [row["round"] for row in found] == sorted({row["round"] for row in found})
    assert found[0] == rows[0] and found[-1] == rows[-1]
    for name in ("a/loss", "b/x", "c/rare"):
        for end in (min, max):
            values, kept = ([r[name] for r in x if name in r] for x in (rows, found))
            assert end(kept) == end(values)


def test_extremes_of_every_stretch_are_kept(tmp_path):
    """Not only those of the whole: in each of the parts, both ends of each curve."""
    n = 30_000
    rows = noise(n)
    found = read_metrics(write(tmp_path / "m.jsonl", rows), RUN)
    stretch = n // 100
    for first in range(0, n - 2 * stretch, stretch):
        values = [row["a/loss"] for row in rows[first : first + 2 * stretch]]
        kept = [r["a/loss"] for r in found if first < r["round"] <= first + 2 * stretch]
        # Two whole parts lie within: their extremes are those of 200 of 600 values at least.
        assert max(kept) >= sorted(values)[-20] and min(kept) <= sorted(values)[20]


def test_values_that_are_not_finite_hide_no_peak(tmp_path):
    rows = noise(20_000)
    rows[5000]["a/loss"], rows[5001]["a/loss"] = math.nan, math.inf
    rows[5002]["a/loss"] = 50.0
    found = read_metrics(write(tmp_path / "m.jsonl", rows), RUN)
    assert max(r["a/loss"] for r in found if math.isfinite(r["a/loss"])) == 50.0


@pytest.mark.parametrize("place", [1, 15_000])
@pytest.mark.parametrize("text", [b"{}\n", b"not JSON\n", line({"a/loss": 1.0}, RUN), b"\n"])
def test_a_damaged_line_is_named(place, text, tmp_path):
    lines = [line(row, RUN) for row in noise(20_000)]
    lines[place - 1] = text
    (tmp_path / "m.jsonl").write_bytes(b"".join(lines))
    with pytest.raises(ValueError, match=f"line {place} is not a logged round"):
        read_metrics(tmp_path / "m.jsonl", RUN)


@pytest.mark.parametrize("value", ["text", None, True, [1.0]])
def test_a_line_of_another_type_is_named(value, tmp_path):
    path = write(tmp_path / "m.jsonl", [*noise(3), {"round": 4, "a/loss": value}])
    with pytest.raises(ValueError, match="line 4 is not a logged round"):
        read_metrics(path, RUN)


@pytest.mark.parametrize("n", [5, 40_000])
@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_a_line_that_stands_twice_is_named(n, place, tmp_path):
    rows, at = noise(n), int(place * (n - 1))
    path = write(tmp_path / "m.jsonl", rows[: at + 1] + rows[at:])
    with pytest.raises(ValueError, match=rf"line {at + 2} is no later round"):
        read_metrics(path, RUN)


def test_a_line_that_is_being_written_is_left_out(tmp_path):
    for n in (5, 20_000):
        path = write(tmp_path / "m.jsonl", noise(n))
        path.write_bytes(path.read_bytes() + b'{"round": 9')
        assert read_metrics(path, RUN)[-1]["round"] == n


def test_memory_does_not_grow_with_the_log(tmp_path):
    path = write(tmp_path / "m.jsonl", noise(60_000))
    tracemalloc.start()
    read_metrics(path, RUN)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6  # the file alone has 7 MB, its rows as mappings 25


def test_other_names_in_some_lines_hide_no_peak(tmp_path):
    """Lines that are not like the first are read as well, though not as fast."""
    rows = noise(20_000)
    for place in range(0, 20_000, 7):
        del rows[place]["b/x"]
    rows[9_003]["b/x"] = 99.0
    found = read_metrics(write(tmp_path / "m.jsonl", rows), RUN)
    assert max(row.get("b/x", 0) for row in found) == 99.0 and found[-1] == rows[-1]


def test_a_name_that_no_type_can_have(tmp_path):
    rows = [{"round": i + 1, 'a"/\\loss': float(i)} for i in range(5_000)]
    found = read_metrics(write(tmp_path / "m.jsonl", rows), RUN)
    assert found[0] == rows[0] and found[-1] == rows[-1]


def test_a_flipped_bit_in_the_middle_is_named(tmp_path):
    """Also where the line is whole JSON with the right names, and would not have been drawn."""
    lines = [line(row, RUN) for row in noise(20_000)]
    lines[9_999] = lines[9_999].replace(b"9.5", b"9.4")
    (tmp_path / "m.jsonl").write_bytes(b"".join(lines))
    with pytest.raises(ValueError, match="line 10000 is not a logged round"):
        read_metrics(tmp_path / "m.jsonl", RUN)


def test_few_lines_are_read_one_by_one(tmp_path, monkeypatch):
    """What makes a million lines a second's work: only what is drawn becomes a mapping."""
    read = []
    row = metrics_log._row
    monkeypatch.setattr(metrics_log, "_row", lambda *where: read.append(where) or row(*where))
    read_metrics(write(tmp_path / "m.jsonl", noise(20_000)), RUN)
    assert (
        len(read) <= 6 * PARTS + 10
    )  # two ends of two curves in each part, its first and last lines
