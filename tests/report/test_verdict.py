"""What a report says in words before anything else, and the rules behind the words."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from gibbsian.core.records import write_record
from gibbsian.report import page_as_html, page_as_markdown, run_report_page
from gibbsian.report.record import read_record
from gibbsian.report.verdict import BOTH_SIDES, ERRORS, MIXING, both_sides, verdict
from gibbsian.samplers.summary import BIASED, ONE_PLACE
from tests.report.folders import RUN, write_run
from tests.report.reading import Reading

DOCS = Path(__file__).parents[2] / "docs"


def side(value, stderr=0.0, standing="estimate"):
    return {"value": value, "stderr": stderr, "standing": standing}


def interval(lower, upper, **both):
    return {"lower": side(lower, **both), "upper": side(upper, **both)}


def said(value, warned=False, errors=ERRORS):
    return both_sides("log Z", "log Z and log p", value, warned, errors).text


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    return read_record(write_run(tmp_path_factory.mktemp("runs") / "run", arrays=False))


def evaluated(record, values, warnings=()):
    figures = {**record.evaluation, "values": values, "warnings": list(warnings)}
    return replace(record, evaluation=figures)


def first_words(record):
    return [block.text for block in verdict(record)]


def test_the_distance_between_the_sides_decides():
    """By hand: ends are 1.96 standard errors beyond the sides; the limits are 0.5 and 3 nats."""
    assert said(interval(1.0, 1.02)) == "log Z: agrees from both sides (0.02 nats apart)."
    assert said(interval(1.0, 1.49)).startswith("log Z: agrees")
    assert said(interval(1.0, 1.51)).startswith("log Z: roughly agrees")
    assert said(interval(1.0, 3.99)).startswith("log Z: roughly agrees")
    far = "Do not trust log Z and log p: the two sides are {} nats apart."
    assert said(interval(1.0, 4.01)) == far.format(3)
    assert said(interval(-5.0, 5.0)) == said(interval(5.0, -5.0)) == far.format(10)
    assert said(interval(1e4, 0.0)) == far.format(10000)
    # 0.1 + 2 * 1.96 * 0.2 = 0.884, and 0.1 + 2 * 1.96 * 2 = 7.94
    assert "roughly agrees from both sides (0.1 nats apart, 0.88 with errors)." in said(
        interval(0.0, 0.1, stderr=0.2)
    )
    assert (
        said(interval(0.0, 0.1, stderr=2.0))
        == "Do not trust log Z and log p: the two sides are 0.1 nats apart, 7.9 with errors."
    )
    assert said(interval(0.0, 0.1, stderr=2.0), errors=0.0).startswith("log Z: agrees")
    assert both_sides("", "", interval(0.0, 9.0), False, 0.0).warning
    assert not both_sides("", "", interval(0.0, 2.0), False, 0.0).warning


def test_what_is_no_agreement_of_two_sides():
    exact = interval(2.0, 2.0, standing="exact")
    assert said(exact) == said(exact["lower"]) == "log Z: exact."
    assert said(exact, warned=True) == "log Z: exact; see the warnings."
    one = "log Z: known from one side only"
    assert said(interval(2.0, 2.0)) == f"{one} (estimate)."
    assert said({"lower": side(2.0, standing="bound"), "upper": side(2.0)}) == f"{one} (bound)."
    assert said({"lower": side(2.0, standing="bound"), "upper": side(None)}) == f"{one} (bound)."
    assert said({"lower": side(None), "upper": side(None)}) == f"{one} (no finite number)."
    assert said(side(2.0)) == f"{one} (estimate)."
    unknown = "log Z: roughly agrees from both sides (0.1 nats apart; an error is not known)."
    assert said(interval(1.0, 1.1, stderr=None)) == unknown
    warned = "log Z: roughly agrees from both sides (0.1 nats apart; see the warnings)."
    assert said(interval(1.0, 1.1), warned=True) == warned


def test_log_p_is_judged_where_it_does_not_rest_on_log_z(record):
    near, far, none = interval(0.0, 0.1), interval(0.0, 9.0), {"undefined": "no energy"}
    directed = {"log-z": none, "log-likelihood": interval(0.0, 0.1, stderr=5.0)}
    for values, expected in (
        ({"log-z": near, "log-likelihood": far}, ["log Z: agrees from both sides (0.1"]),
        ({"log-z": far, "log-likelihood": far}, ["Do not trust log Z and log p: the"]),
        (directed, ["log p: agrees from both sides (0.1"]),  # the error is that of the rows
        (
            {"log-z": far, "log-likelihood": near, "between": far},
            ["Do not trust log Z and log p*: the", "log p: agrees"],
        ),
        ({"log-z": none, "log-likelihood": none}, ["log p: not defined: no energy."]),
        ({"log-z": None}, ["log p: not defined: this evaluation does not tell it."]),
    ):
        found = first_words(evaluated(record, values))[:-2]
        assert len(found) == len(expected), values
        assert all(text.startswith(start) for text, start in zip(found, expected, strict=True))


def test_recoveries_are_counted_here_and_told_once(record):
    values, sentence = {"log-z": interval(0.0, 0.1)}, "in round 9 training left what is healthy"
    back = replace(evaluated(record, values), recoveries=(sentence,))
    assert first_words(back)[0] == "log Z: agrees from both sides (0.1 nats apart)."
    assert first_words(back)[-1] == "Training left what is healthy and went back once."
    assert list(verdict(back))[-1].warning
    twice = replace(back, recoveries=(sentence, "again"))
    assert first_words(twice)[-1] == "Training left what is healthy and went back 2 times."
    assert page_as_html(run_report_page([back])).count("n round 9 training") == 1
    assert (
        first_words(record)[-1]
        == "Training stayed healthy: it never went back to an earlier round."
    )
    # Curves that were lost change nothing of it.
    assert first_words(replace(back, metrics=()))[-1] == first_words(back)[-1]
    assert first_words(replace(record, evaluation=None, metrics=()))[-1] == (
        "Training has not logged a round yet."
    )


def test_what_is_said_of_chains(record):
    """The verdicts that the summary of chains can give are told apart."""
    for given, expected, alarm in (
        ("converged", "Chains mixed (mala).", False),
        (BIASED, "Chains agree, but not on the model itself (mala): to what steps", False),
        (ONE_PLACE, "Chains are not shown to have mixed (mala): the chains agree, but", True),
        ("not converged: R-hat 2", "Chains did not mix (mala): R-hat 2.", True),
    ):
        chains = {**record.chains[0], "verdict": given}
        block = list(verdict(replace(record, chains=(chains, chains))))[1]
        assert block.text.startswith(expected) and block.warning == alarm
    none = "Whether chains mix is not known: none were run."
    assert none in first_words(replace(record, chains=()))


def test_it_comes_first(tmp_path):
    done = write_run(tmp_path / "done", arrays=False)
    raw = write_run(tmp_path / "my raw", evaluated=False)
    page = run_report_page([read_record(done)])
    texts = [text for tag, text in Reading(page_as_html(page)).texts if tag in ("h1", "p")]
    # 1.5 - (1.25 - 1.96 * 0.02) = 0.289 nats; a standard error is missing, and there is a warning
    assert texts[:4] == [
        "cd on moons: done",
        "log Z: roughly agrees from both sides (0.25 nats apart, 0.29 with errors; "
        "an error is not known; see the warnings).",
        "Chains did not mix (mala): R-hat 2.489 of x[1] is above 1.01.",
        "Training stayed healthy: it never went back to an earlier round.",
    ]
    markdown = page_as_markdown(page, "figures")[0].split("\n\n")
    assert markdown[0].startswith("# cd") and markdown[1].startswith("log Z: roughly agrees")
    new = run_report_page([read_record(raw)])
    assert new.verdict[0].text == "Not evaluated yet:"
    assert new.verdict[0].command == f"gibbsian evaluate '{raw}'"
    both = run_report_page([read_record(done), read_record(raw)])
    leads = [section.blocks[0].text for section in both.sections[1:]]
    assert leads == [page.verdict[0].text, "Not evaluated yet:"]


def test_a_recorded_recovery_is_told(tmp_path):
    run = write_run(tmp_path / "run", arrays=False)
    write_record(run / "recoveries.json", {"run": RUN, "recoveries": [{"said": "in round 2"}]})
    assert first_words(read_record(run))[-1].endswith("went back once.")


def test_rules_in_the_documentation_are_those_of_the_code():
    text = (DOCS / "report.md").read_text().partition("## The verdict")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", text, re.MULTILINE)
    for verdicts in (BOTH_SIDES, MIXING):
        (_, head), *told = rows[: len(verdicts) + 1]
        assert head == "rule: the first that holds"
        assert told == [(word, v.rule.format(nats=v.nats)) for word, v in verdicts.items()]
        rows = rows[len(verdicts) + 1 :]
    assert not rows and f"counts {ERRORS} standard errors" in text
