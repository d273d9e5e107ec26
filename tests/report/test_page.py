"""One HTML page about runs: what it says, that all can read it, and that it asks for nothing outside."""

import base64
import hashlib
import json
import math
import os
import re
import subprocess
import sys
import warnings
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

import gibbsian
from gibbsian import report
from gibbsian.cli import main
from gibbsian.config.config import to_json
from gibbsian.config.recipes import default_config
from gibbsian.core.records import line, read_record as read_sealed, write_record
from gibbsian.report import ImageStrip, Page, PageImage, Section, Table, TextBlock, run_report_page
from gibbsian.report.blocks import Curves, Fold
from gibbsian.report.drawn_curves import curves_image
from gibbsian.report.logged_curves import PARTS, compared, losses, thinned
from gibbsian.report.record import read_record
from tests.cli.conftest import contents
from tests.report.folders import RUN, seal_again, write_run
from tests.report.reading import Reading

TEMPLATES = Path(report.__file__).parent / "templates"
STYLE = (TEMPLATES / "style.css").read_text()


DOT = PageImage("dot", b"<svg/>", "svg", 10, 10, "a dot")


def page_of(*runs) -> str:
    return report.page_as_html(run_report_page([read_record(run) for run in runs]))


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """``plane``, ``digits`` and ``raw``, the last one not evaluated; read only."""
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder / "plane")
    write_run(folder / "digits", data="digits")
    write_run(folder / "raw", evaluated=False)
    return folder


@pytest.fixture(scope="module")
def plane(runs) -> Reading:
    return Reading(page_of(runs / "plane"))


@pytest.fixture(scope="module")
def plane_record(runs):
    return read_record(runs / "plane")


@pytest.fixture(scope="module")
def three(runs, tmp_path_factory) -> Reading:
    """The three side by side, by the command, which leaves run folders alone."""
    before, out = contents(runs), tmp_path_factory.mktemp("page") / "page.html"
    names = ("plane", "digits", "raw")
    assert main(["report", *(str(runs / name) for name in names), "--output", str(out)]) == 0
    assert contents(runs) == before
    return Reading(out.read_text())


@pytest.mark.parametrize("name", ["plane", "three"])
def test_structure(name, request):
    page = request.getfixturevalue(name)
    assert page.all("html")[0][1]["lang"] == "en"
    metas = [attributes for _, attributes in page.all("meta")]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in metas
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids)) > 5
    links = [attributes["href"] for _, attributes in page.all("a")]
    labelled = [a["aria-labelledby"] for _, a in page.tags if "aria-labelledby" in a]
    assert links and {link.removeprefix("#") for link in links} <= set(ids) >= set(labelled)
    levels = [int(tag[1]) for tag, _ in page.all("h1", "h2", "h3", "h4", "h5", "h6")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    tables = [parents for tag, parents in page.parents if tag == "table"]
    assert tables and all(parents[-1] == "div" for parents in tables)
    boxes = [a for _, a in page.all("div") if a.get("class") == "scroll"]
    assert len(boxes) == len(tables)
    assert all(a["tabindex"] == "0" and a["aria-label"] for a in boxes), "keyboards scroll too"
    assert {attributes["scope"] for _, attributes in page.all("th")} == {"col", "row"}


@pytest.mark.parametrize("name", ["plane", "three"])
def test_nothing_outside_is_asked_for(name, request):
    page = request.getfixturevalue(name)
    asked = [
        a[k] for _, a in page.tags for k in ("src", "href", "action", "data", "srcset") if k in a
    ]
    assert asked and all(address.startswith(("data:", "#")) for address in asked)
    assert not page.all("iframe", "object", "embed", "base", "form")
    assert not re.search(r"url\(|@import|https?:|//", STYLE)
    assert not re.search(r"url\(|@import", (TEMPLATES / "uPlot.min.css").read_text())
    policy = next(a["content"] for _, a in page.all("meta") if "http-equiv" in a)
    scripts = [a for _, a in page.all("script")]
    assert all(a in ({}, {"type": "application/json"}) for a in scripts), "no source, no module"
    code = [text for text in page.scripts if not text.startswith("{")]
    assert len(code) == scripts.count({}) == 2
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in code]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {allowed}"
    )


def test_the_vendored_library_is_the_released_one():
    """uPlot 1.6.32: the files that the npm package of that version holds."""
    for name, digest in (
        ("uPlot.iife.min.js", "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f"),
        ("uPlot.min.css", "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04"),
    ):
        assert hashlib.sha256((TEMPLATES / name).read_bytes()).hexdigest() == digest
    licence = (TEMPLATES / "uPlot.LICENSE").read_text()
    assert (
        "The MIT License" in licence
        and "(v1.6.32)" in (TEMPLATES / "uPlot.iife.min.js").read_text()
    )
    assert "uPlot 1.6.32" in (Path(__file__).parents[2] / "docs" / "dependencies.md").read_text()


def test_a_page_without_curves_needs_no_script():
    page = Reading(report.page_as_html(Page("A page", "On nothing.", ())))
    assert not page.all("script")
    policy = next(a["content"] for _, a in page.all("meta") if "http-equiv" in a)
    assert "script-src" not in policy


def test_the_licence_travels_with_the_library(plane):
    licence = (TEMPLATES / "uPlot.LICENSE").read_text()
    assert sum(licence in text for text in plane.scripts) == 1


def test_curves_are_there_as_numbers(plane):
    """The page holds what its charts draw; values of one kind share an axis."""
    data = [json.loads(text) for text in plane.scripts if text.startswith("{")]
    assert [one["title"] for one in data] == ["player energy: loss", "log Z, as training saw it"]
    assert data[0]["series"] == [{"label": "loss", "x": [10.0, 20.0], "y": [2.0, 0.5]}]
    below, above = data[1]["series"]
    assert below == {"label": "log Z from below", "x": [10.0, 20.0, 30.0], "y": [0.5, 0.75, 1.0]}
    assert above["y"] == [1.75, 1.625, 1.5]
    assert {one["told"] for one in data} <= set(plane.alts), "the picture's text, word for word"


def logged(**series):
    return [
        {"round": k, **{f"player/{name}": values[k] for name, values in series.items()}}
        for k in range(len(next(iter(series.values()))))
    ]


def test_loss_and_energies_have_axes_of_their_own(plane_record):
    rows = logged(
        loss=[0.1, 0.2], energy_data=[-6.0, -7.0], energy_model=[-6.5, -7.5], penalty=[0, 1]
    )
    found = losses(replace(plane_record, metrics=tuple(rows)))
    assert [list(curves.series) for curves in found] == [
        ["loss"],
        ["energy_data", "energy_model"],
        ["penalty"],
    ]
    nothing = logged(loss=[math.nan, math.inf], energy_data=[math.nan, 1.0])
    found = losses(replace(plane_record, metrics=tuple(nothing)))
    assert [dict(curves.series) for curves in found] == [{"energy_data": ((1, 1.0),)}]


def test_no_peak_of_a_long_curve_is_lost():
    points = [(k, math.sin(k / 900)) for k in range(50_000)]
    points[31_234], points[777] = (31_234, 50.0), (777, -60.0)
    kept = thinned(points)
    assert len(kept) <= 2 * PARTS + 2 and set(kept) <= set(points)
    assert {points[0], points[-1], points[31_234], points[777]} <= set(kept)
    assert [x for x, _ in kept] == sorted({x for x, _ in kept})
    assert thinned(points[:500]) == tuple(points[:500])


def test_runs_share_charts_of_what_both_logged(plane_record):
    other = replace(plane_record, metrics=tuple(logged(loss=[1.0, 2.0])))
    same = replace(plane_record, metrics=tuple(logged(loss=[3.0, 4.0], more=[1.0, 1.0])))
    (curves,) = compared([plane_record, other, same], ["a", "b", "c"])
    assert curves.title == "player player: loss"
    assert curves.series == {"b": ((0, 1.0), (1, 2.0)), "c": ((0, 3.0), (1, 4.0))}


def test_formulas_and_underscores_of_names_are_drawn_as_they_are():
    names = {"a$x": ((0, 1.0),), "_b": ((0, 2.0), (1, 3.0))}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = curves_image(Curves("x", "t $y$", "round", "value", names))
    assert image.content.count(b"<!-- ") > 4 and b"<!-- a$x -->" in image.content
    with pytest.raises(ValueError, match="need points"):
        Curves("x", "t", "round", "value", {})


def test_a_page_of_a_long_run_is_small(plane_record):
    """Under 3 MB with ten curves of 20 000 logged rounds, as noisy as curves come."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(20_000, 10))
    rows = (
        {"round": k, **{f"p/{j}": v for j, v in enumerate(row)}} for k, row in enumerate(values)
    )
    page = report.page_as_html(run_report_page([replace(plane_record, metrics=tuple(rows))]))
    assert len(page) < 3_000_000


def test_every_picture_is_there_and_says_what_it_shows(plane):
    starts = [content[:4] for content in plane.pictures]
    assert set(starts) == {b"\x89PNG", b"<?xm"} and len(starts) == 11
    assert not any(re.search(b'(?:href|src)="(?!#)', content) for content in plane.pictures)
    assert len(set(plane.alts)) == len(plane.alts)
    assert all(int(a["width"]) > 300 and int(a["height"]) > 100 for _, a in plane.all("img"))
    told = "\n".join(plane.alts)
    for fact in (
        "log Z: 1.25 ± 0.02 (bound in expectation) to 1.5 (estimate).",
        "the model: \N{MINUS SIGN}1.5 (exact).",  # one side; the entropy is not finite and left out
        "held-out data: 2 rows; column 1 has mean 2 and standard deviation 1; column 2 has mean 2",
        "samples of the model: 3 rows; column 1 has mean 3 and standard deviation 2.449",
        "Medians: held-out data 2, noise 1 8.",
        "density of the model: exp(-E) over the plane: largest, 0.5, at (\N{MINUS SIGN}1, 2); 11% of",
        "true density over the plane: largest, 0.5, at (1, \N{MINUS SIGN}2)",
        "the latent plane, 3 by 3 points: 9 rows; column 1 has mean 8",
        "loss goes from 2 at round 10 to 0.5 at round 20, between 0.5 and 2.",  # NaN at 30
        "x[1], the coordinate with the largest R-hat, along 2 chains of mala: between "
        "\N{MINUS SIGN}0.5 and 1. not converged",
    ):
        assert fact in told


def test_axes_have_the_names_of_the_columns(plane_record):
    figures = {**plane_record.evaluation, "columns": ["weight", "a" * 90]}
    record = replace(plane_record, evaluation=figures)
    page = Reading(report.page_as_html(run_report_page([record])))
    told = "\n".join(page.alts)
    assert "held-out data: 2 rows; weight has mean 2 and standard deviation 1; ... aaa" in told
    assert "column 1" not in told


def test_a_single_round_is_a_table(plane_record):
    record = replace(plane_record, metrics=plane_record.metrics[:1])
    page = report.page_as_html(run_report_page([record]))
    assert "Logged once, in round 10" in page and "at round" not in page


def test_bounds_of_log_z_are_drawn_together(plane):
    alt = next(alt for alt in plane.alts if alt.startswith("log Z, as training saw it"))
    assert "log Z from below goes from 0.5 at round 10 to 1 at round 30, between 0.5 and 1;" in alt
    assert "log Z from above goes from 1.75 at round 10 to 1.5 at round 30" in alt


def test_pictures_of_data(three):
    told = "\n".join(three.alts)
    deviation = "standard deviation 0.433"  # a quarter is white: sqrt(3) / 4
    assert f"held-out data: 4 images of 4 by 4 pixels; mean value 0.25, {deviation}." in told
    assert f"samples of the model: 4 images of 4 by 4 pixels; mean value 0.25, {deviation}." in told
    assert "the latent plane, 2 by 2 points: 4 images" in told


def test_what_a_page_says(plane):
    cells = plane.said("td", "th")
    assert "0.844\u00a0±\u00a00.006" in cells, "a number and its error stay on one line"
    assert {"2.489", "65.25", "not finite"} <= set(cells), "diagnostics of the chains"
    assert {"0.1.0", "2", "2026-01-02T03:04:05+00:00", "500 samples, seed 3"} <= set(cells)
    assert {"20 rounds per second", "1.5 seconds"} <= set(cells), "30 rounds at 20 in a second"
    warned = [a for _, a in plane.all("p") if a.get("class") == "warning"]
    assert len(warned) == 3, "one of the evaluation, one of the chains and that in the verdict"
    assert "Warning: few <effective> samples" in plane.said("p")
    assert plane.said("h1") == ["cd on moons: plane"]


def test_settings_that_differ_stand_in_the_open(tmp_path):
    usual = to_json(default_config("cd", "moons"))
    config = write_run(tmp_path / "run", evaluated=False) / "config.json"
    write_record(config, read_sealed(config) | {"defaults": usual})
    page = Reading(page_of(tmp_path / "run"))
    inside = [parents for tag, parents in page.parents if tag == "th" and "details" in parents]
    assert len(inside) == 2 + sum(1 for _ in report.settings_section.flat(usual)), (
        "all of them, and the head"
    )
    config = [text for text in page.said("th") if text.startswith("training.")]
    everything = [f"training.{name}" for name in usual["training"]]
    assert config == ["training.rounds", "training.seed", *everything]


def test_what_the_data_fill_in_was_chosen_by_nobody(tmp_path):
    """An automatic box, or a batch of all rows, is a setting only where somebody asked for another."""
    data = torch.zeros(40, 2).normal_(generator=torch.Generator().manual_seed(0))
    options = {"training": {"rounds": 1, "log_every": 1}}
    for name, chosen, more in (
        ("plain", ["training.rounds", "training.log_every"], {}),
        (
            "boxed",
            ["training.rounds", "training.log_every", "domain_half_width"],
            {"domain_half_width": "4"},
        ),
    ):
        run = tmp_path / name
        gibbsian.train("cd", data.numpy(), out=run, chains=4, **options, **more)
        gibbsian.models.train.resume(run, rounds=2, dataset=gibbsian.data.from_array(data.numpy()))
        record = read_record(run)
        table = report.settings_section.settings(record).blocks[0]
        assert [row[0] for row in table.rows] == [*chosen, "chains"]


def test_a_title_says_nothing_twice(tmp_path):
    for name, title in (
        ("moons", "cd on moons"),
        ("cd-moons", "cd on moons"),
        ("moons-1", "cd on moons: moons-1"),
    ):
        run = write_run(tmp_path / name, evaluated=False)
        assert run_report_page([read_record(run)]).title == title


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, two: str) -> float:
    """WCAG 2.2's ratio."""
    low, high = sorted((luminance(one), luminance(two)))
    return (high + 0.05) / (low + 0.05)


def test_contrast():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    schemes = [dict(re.findall(r"--(\w+): (#\w{6})", part)) for part in STYLE.split("@media")]
    schemes = [scheme for scheme in schemes if scheme]
    assert len(schemes) == 3 and all(len(scheme) == 13 for scheme in schemes), "light, dark, print"
    for scheme in schemes:
        for ink in ("ink", "muted", "link", "alarm", *(f"curve{k}" for k in range(1, 7))):
            for ground in ("paper", "shade"):
                assert contrast(scheme[ink], scheme[ground]) >= 4.5, (ink, ground, scheme)
    colours = {
        report.drawn_curves.DATA,
        report.drawn_curves.MODEL,
        report.drawn_curves.GREY,
        *report.drawn_curves.COLOURS,
    }
    assert all(contrast(colour, "#ffffff") >= 4.5 for colour in colours), (
        "figures are drawn on white"
    )
    light = [schemes[0][f"curve{k}"] for k in range(1, 7)]
    assert light == list(report.drawn_curves.COLOURS), "charts have the colours of the pictures"


def test_markup_in_names_is_text(tmp_path):
    evil = "<script>alert(1)</script>\"'&"
    run = write_run(tmp_path / "a <script>x<", arrays=False)
    for file in ("config.json", "evaluation.json", "samples/chains-mala.json"):
        path = run / file
        path.write_text(path.read_text().replace("moons", json.dumps(evil)[1:-1]))
        seal_again(path)
    figures = json.loads((run / "evaluation.json").read_text())
    figures["rows"][evil] = figures["anomaly"]["rows"][evil] = [evil, evil]
    figures["rows"][evil] = evil
    figures["anomaly"]["columns"][0] = evil
    (run / "evaluation.json").write_text(json.dumps(figures))
    seal_again(run / "evaluation.json")
    logged = [line({"round": k, f"{evil}/{evil}": 1.0}, RUN) for k in (1, 2)]
    (run / "metrics.jsonl").write_bytes(b"".join(logged))
    page = Reading(page_of(run))
    assert [a for _, a in page.all("script")] == [{"type": "application/json"}, {}, {}]
    assert not any(evil in text for text in page.scripts)
    assert json.loads(page.scripts[0])["series"][0]["label"] == f"{evil}/{evil}".partition("/")[2]
    assert page.said("h1") == [f"cd on {evil}: a <script>x<"]
    assert page.said("td").count(evil) >= 3 and any(evil in alt for alt in page.alts)


def test_several_runs_side_by_side(three):
    assert three.said("h2") == [
        "Side by side",
        "plane: cd on moons",
        "digits: cd on digits",
        "raw: cd on moons",
    ]
    cells = three.said("td", "th")
    assert cells[cells.index("method") :][:4] == ["method", "cd", "cd", "cd"]
    kl = cells.index("KL(data || model) (nats)")
    assert cells[kl + 1 : kl + 4] == ["0.3352 (exact)", "0.3352 (exact)", "not evaluated"]
    auroc = cells.index("AUROC of the energy, noise 1")
    assert cells[auroc + 1] == "0.844\u00a0±\u00a00.006"
    assert any("do not compare" in text for text in three.said("p"))
    assert not any(
        alt.startswith("held-out log-likelihood") and "digits" in alt for alt in three.alts
    )


def test_pictures_do_not_grow_with_the_runs(tmp_path, monkeypatch):
    """Of many runs what is drawn is the comparison: pictures of two hundred took minutes."""
    drawn = []
    monkeypatch.setattr(
        report.drawn_curves, "figure_image", lambda figure, name, alt: drawn.append(name) or DOT
    )
    records = [read_record(write_run(tmp_path / f"run-{i}", arrays=False)) for i in range(20)]
    page = run_report_page(records)
    assert drawn == ["compared"]
    assert len(page.sections) == 21


def test_runs_on_the_same_data_are_drawn_on_one_scale(runs, tmp_path):
    one, two = (write_run(tmp_path / name / "plane", arrays=False) for name in ("a", "b" * 80))
    page = Reading(page_of(one, two))
    assert not any("do not compare" in text for text in page.said("p"))
    alt = next(alt for alt in page.alts if alt.startswith("held-out log-likelihood"))
    names = ("a/plane", f"{'b' * 80}/plane")
    assert all(f"{name}: \N{MINUS SIGN}1.5 (exact)" in alt for name in names)
    with pytest.raises(ValueError, match="given more than once"):
        page_of(runs / "plane", runs / "digits" / ".." / "plane")
    with pytest.raises(ValueError, match="at least one run"):
        page_of()


def test_a_run_that_was_not_evaluated(runs):
    page = Reading(page_of(runs / "raw"))
    sample = f"gibbsian sample {runs / 'raw'} -n 64 --output samples.png"
    assert f"gibbsian evaluate {runs / 'raw'}" in page.said("code") and sample in page.said("code")
    assert page.said("h2") == ["Results", "Training", "Chains", "Configuration", "Environment"]
    assert any(alt.startswith("player energy") for alt in page.alts)


def test_a_run_without_a_logged_round(tmp_path):
    run = write_run(tmp_path / "new run", evaluated=False)
    (run / "metrics.jsonl").unlink()
    page = Reading(page_of(run))
    assert f"gibbsian train --resume '{run}'" in page.said("code") and not page.all("img")


def cut(path):
    path.write_bytes(path.read_bytes()[:-60])


def rewrite(old, new):
    def damage(path):
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        if path.suffix == ".json":
            seal_again(path)

    return damage


@pytest.mark.parametrize(
    ("file", "damage", "said"),
    [
        ("config.json", cut, "config.json is not valid JSON"),
        ("config.json", rewrite('"cd"', "7"), "not written by gibbsian"),
        ("config.json", rewrite('"config"', '"other"'), "not written by gibbsian"),
        ("evaluation.json", cut, "evaluation.json is not valid JSON .* writes it again"),
        ("evaluation.json", rewrite('"rows"', '"lines"'), "lacks figures .* writes it again"),
        ("evaluation.npz", cut, "evaluation.npz is damaged, .* writes it again"),
        ("metrics.jsonl", rewrite('{"round": 20,', '{"round": '), "line 2 is not a logged round"),
        ("metrics.jsonl", rewrite('"round": 20', '"round": "20"'), "line 2 is not a logged round"),
        ("samples/chains-mala.json", rewrite('"trace"', '"path"'), "chains-mala.json is damaged"),
    ],
)
def test_damage_is_one_sentence(file, damage, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = write_run(tmp_path / "run")
    damage(run / file)
    assert main(["report", "run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(said, line) and not [*tmp_path.rglob("report.html")]


def test_half_an_evaluation_is_not_taken_for_none(tmp_path):
    run = write_run(tmp_path / "run")
    figures = (run / "evaluation.json").read_bytes()
    (run / "evaluation.json").unlink()
    with pytest.warns(
        UserWarning, match=r"evaluation\.json is missing beside evaluation\.npz; .* again"
    ):
        assert read_record(run).evaluation is None
    (run / "evaluation.json").write_bytes(figures)
    (run / "evaluation.npz").unlink()
    with pytest.raises(ValueError, match=r"evaluation\.npz is missing; .* writes it again"):
        read_record(run)


def test_lost_curves_are_said_to_be_lost(tmp_path):
    run = write_run(tmp_path / "run")
    whole = read_record(run).metrics  # the last line is cut off: a run that goes on
    (run / "model").mkdir()
    with pytest.warns(UserWarning, match=r"last line of .*metrics\.jsonl is cut off"):
        assert len(read_record(run).metrics) == len(whole)
    (run / "metrics.jsonl").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"metrics\.jsonl holds no logged round: the curves are"):
        assert read_record(run).metrics == ()
    (run / "metrics.jsonl").unlink()
    with pytest.warns(UserWarning, match=r"metrics\.jsonl is missing: the curves are lost"):
        assert read_record(run).metrics == ()


def test_a_run_that_stopped_at_its_start_has_lost_no_curves(tmp_path, recwarn):
    run = write_run(tmp_path / "run")
    (run / "model").mkdir()
    (run / "state").mkdir(exist_ok=True)
    (run / "state" / "round-00000000.rank0.safetensors").write_bytes(b"")
    (run / "metrics.jsonl").unlink()
    assert read_record(run).metrics == () and not recwarn.list


@pytest.mark.parametrize(
    "file", ["evaluation.json", "evaluation.npz", "metrics.jsonl", "samples/chains-mala.json"]
)
@pytest.mark.parametrize("kind", ["folder", "link", "pipe"])
def test_what_is_no_file_is_not_taken_for_nothing(file, kind, tmp_path):
    """A folder, a link to nothing or a pipe under the name of a record is refused, not passed over."""
    run = write_run(tmp_path / "run")
    place = run / file
    place.unlink()
    if kind == "folder":
        place.mkdir()
    elif kind == "link":
        place.symlink_to("nowhere")
    else:
        os.mkfifo(place)
    with pytest.raises(ValueError, match=re.escape(f"{place} is no file; take it away")):
        read_record(run)


def places(value, here=()):
    """The paths of all entries of nested JSON."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for name, inner in items:
        yield (*here, name)
        if isinstance(inner, (dict, list)):
            yield from places(inner, (*here, name))


@pytest.mark.parametrize("file", ["config.json", "evaluation.json", "samples/chains-mala.json"])
def test_whatever_is_damaged_no_other_error_comes(file, tmp_path, monkeypatch):
    """Each entry in turn is another thing, or gone: there is a page, or a ValueError that names the file."""
    monkeypatch.setattr(report.drawn_curves, "figure_image", lambda figure, name, alt: DOT)
    run = write_run(tmp_path / "run", arrays=False)
    whole = read_sealed(run / file)
    refused = 0
    for place in places(whole):
        for wrong in (True, "x", None):
            damaged = json.loads(json.dumps(whole))
            at = damaged
            for name in place[:-1]:
                at = at[name]
            if wrong is None:
                del at[place[-1]]
            else:
                at[place[-1]] = wrong
            write_record(run / file, damaged)
            try:
                run_report_page([read_record(run)])
            except ValueError as error:
                refused += 1
                assert str(run) in str(error)
    assert refused > 5


def test_where_the_page_goes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = write_run(tmp_path / "run", evaluated=False)
    write_run(tmp_path / "other", evaluated=False)
    before = contents(run)
    assert main(["report", "run"]) == 0
    assert capsys.readouterr().err.endswith("gibbsian: report in run/report.html\n")
    after = contents(run)
    assert after.pop("report.html") and after == before, "the rest of the run is only read"
    monkeypatch.chdir(run)
    assert main(["report", "."]) == 0 and main(["report", ".", "--output", "../x.html"]) == 0
    monkeypatch.chdir(tmp_path)
    assert main(["report", "run", "other"]) == 0 and (tmp_path / "report.html").is_file()
    assert not (tmp_path / "other" / "report.html").exists() and (tmp_path / "x.html").is_file()
    monkeypatch.setattr("os.access", lambda path, mode: path != Path("other"))
    capsys.readouterr()
    assert main(["report", "other"]) == 2
    assert "other is not writable; --output FILE names another" in capsys.readouterr().err
    assert main(["report"]) == 2 and "at least one run" in capsys.readouterr().err
    with pytest.raises(ValueError, match="gone does not exist"):
        read_record(tmp_path / "gone")
    with pytest.raises(ValueError, match="is not a run folder"):
        read_record(tmp_path)


@pytest.mark.parametrize("backend", ["nonsense", "module://no_such_module", "tkagg", ""])
def test_pictures_are_drawn_whatever_backend_is_named(backend, runs, tmp_path):
    """Without a window; what else is drawn in the process has the backend that was named."""
    code = (
        "import os, sys\n"
        "from gibbsian.cli import main\n"
        "status = main(['report', sys.argv[1], '--output', 'page.html'])\n"
        "import matplotlib\n"
        "print('matplotlib.pyplot' in sys.modules, end=' ')\n"
        "print(os.environ['MPLBACKEND'], matplotlib.rcParams['backend'])\n"
        "sys.exit(status)\n"
    )
    words = [sys.executable, "-c", code, str((runs / "plane").resolve())]
    environment = os.environ | {"MPLBACKEND": backend, "PYTHONPATH": os.getcwd()}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "page.html").read_text().count("<img") > 5
    pyplot, kept, used = done.stdout.rstrip("\n").split(" ")
    assert (pyplot, kept) == ("False", backend)
    assert used == backend or backend in ("nonsense", "")


def test_pages_of_anything_else():
    table = Table("who won", ("name", "score"), (("a", "1"), ("b", "2")))
    inner = Section("Inner", (ImageStrip((DOT,), "one dot"), Fold("more", (TextBlock("hidden"),))))
    page = Page("A page", "On nothing.", (Section("First", (table,), (inner,)),))
    read = Reading(report.page_as_html(page))
    assert (read.said("h2"), read.said("h3")) == (["First"], ["Inner"])
    assert read.pictures == [b"<svg/>"] and read.said("td") == ["1", "2"]
    assert ("p", "hidden") in read.texts and read.said("summary") == ["more"]
    with pytest.raises(ValueError, match="has 1 cells; its 2 columns need as many"):
        Table("t", ("a", "b"), (("c",),))
    with pytest.raises(ValueError, match="needs a text"):
        PageImage("dot", b"", "png", 1, 1, " ")
