"""The page of claims is what the command makes of the results, complete, and its links lead somewhere."""

import ast
import math
import re
from pathlib import Path

import pytest

from studies import claims
from studies.papers.claim import (
    FAILS,
    HOLDS,
    MEMORY,
    OUTSIDE,
    UNTESTED,
    WEAK,
    Claim,
    Effect,
    finding,
    paired,
    power,
    series,
    shares,
    verdict,
)

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "claims.md"
LISTED = {
    "VGAN": "bound scale loose entropy experts unbounded surrogate k table-1-k1 table-1-k3 table-1-vgan-k "
    "transition-entropy table-2-gain table-2-autoencoder table-2-rho table-2-free table-2-svhn chains",
    "Bidirectional bounds, NeurIPS": "stability density lower upper estimator rank fid modes ood",
    "Bidirectional bounds, journal": "stability mutual-information diffusion penalty tables",
    "LBT": "likelihood modes-plane even-plane grid100 modes-stacks stability quality images",
    "KALE": "bound rate rough likelihood table dv cd constant dcgan",
    "GEBM": "gradient optima weak model-nearer chain explicit curve surface kinetic fid plane base langevin "
    "transport cold ebm",
    "AEVB": "bound variance higher-mnist higher-frey faster overfit-mnist overfit-frey variance-bound "
    "marginal-wake-sleep marginal-mcem marginal-50000 estimator 100-nats full figures",
    "Bidirectional Helmholtz machines": "bounds gradient distance ess ess-alike few-samples mnist deep "
    "tables pictures",
    "EBGAN": "lemma-1 theorem-1 theorem-2 grid pulling-away pulling-away-stacks margin "
    "ladder-100 ladder-200 ladder-1000 decay images",
    "Super-resolution by statistics": "mean psnr fine-tuning gradient stable tables",
}
"""What the specification sheets of the seed papers list."""
ALL = [claim for paper in claims.PAPERS for claim in paper.claims]


def a_claim(**settings):
    return Claim("id", "text", "source", "published", "test", "vgan", needs="more", **settings)


def test_the_page_is_what_the_command_makes_of_the_results(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    claims.main(["--out", str(tmp_path / "claims.md")])
    capsys.readouterr()
    assert (tmp_path / "claims.md").read_text() == PAGE.read_text(), "run make study NAME=claims"


def test_every_listed_claim_has_one_row_and_no_other_has():
    found = {paper.title: [c.id.partition("-")[2] for c in paper.claims] for paper in claims.PAPERS}
    assert found == {title: ids.split() for title, ids in LISTED.items()}
    assert re.findall(r"^\| \*\*([\w-]+)\*\* ", PAGE.read_text(), re.MULTILINE) == [
        c.id for c in ALL
    ]
    assert len({claim.id for claim in ALL}) == len(ALL)


def test_every_link_leads_to_a_page():
    targets = re.findall(r"\]\(([^)]+)\)", PAGE.read_text())
    assert len(targets) == len(ALL)
    assert all((PAGE.parent / target).is_file() for target in targets), targets


def test_every_test_that_a_row_names_exists():
    for file, _, name in (proof.partition("::") for claim in ALL for proof in claim.proofs):
        tree = ast.parse((ROOT / file).read_text())
        assert any(isinstance(n, ast.FunctionDef) and n.name == name for n in tree.body), name


def test_without_results_nothing_is_said_that_needs_them(tmp_path):
    for claim in ALL:
        words = verdict(claim, claims.measured(claim, tmp_path))
        assert words.startswith((UNTESTED, OUTSIDE, MEMORY)) or not claim.measure, claim.id
        if claim.measure is not None:
            assert claim.measure({}) is None, claim.id


def test_what_is_from_memory_decides_nothing():
    assert all(c.remembered for c in ALL if c.source.startswith("from memory"))
    found = finding("", Effect("gap", 9.0, 0.1, 5))
    assert verdict(a_claim(remembered=True), found).startswith(MEMORY)


@pytest.mark.parametrize(
    ("value", "error", "published", "weakness", "words"),
    [
        (2.1, 1.0, None, "", HOLDS),
        (1.9, 1.0, None, "", WEAK),
        (1.9, 1.0, 3.0, "", WEAK),
        (1.9, 1.0, 4.0, "", FAILS),
        (-2.1, 1.0, None, "", FAILS),
        (-2.1, 1.0, None, "too short", WEAK),
        (2.1, 1.0, 9.0, "too short", HOLDS),
        (5.0, math.nan, None, "", WEAK),
        (0.0, 0.0, None, "", WEAK),
    ],
)
def test_the_verdict_follows_from_the_numbers(value, error, published, weakness, words):
    found = finding("", Effect("gap", value, error, 3, published))
    told = verdict(a_claim(weakness=weakness), found)
    assert told.startswith(words)
    assert claims.kind(told) == words
    if words == WEAK and weakness:
        assert weakness in told


def test_one_training_a_side_is_said_and_power_is_two_standard_errors():
    found = finding("", Effect("gap", 5.0, 1.0, 1, over="rows"))
    assert verdict(a_claim(), found) == "holds in one training a side"
    assert power(found) == "1 training a side; standard error over rows 1.00; could have seen 2.00"


def test_figures_come_from_the_runs():
    results = {
        "a / 0": {"x": [1.0, 9]},
        "a / 2": {"x": [4.0, 9]},
        "a / 1": {"lost": "why"},
        "b / 0": {},
    }
    assert series(results, "a", "x", 0) == [1.0, 4.0]
    effect = paired("gap", [3.0, 5.0, 4.0], [1.0, 1.0, 1.0])
    assert (
        effect.value == 3 and effect.stderr == pytest.approx(1 / math.sqrt(3)) and effect.runs == 3
    )
    share = shares("gap", (10, 10), (0, 10))
    assert share.value == 1 and share.stderr == pytest.approx(math.sqrt(2 * 11 / 12 / 12 / 12))
