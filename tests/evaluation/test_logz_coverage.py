"""The study of coverage, in its quick form: it runs, its verdict follows its numbers."""

from __future__ import annotations

import pytest

from studies.logz_coverage import (
    ESTIMATORS,
    TARGETS,
    below,
    covered,
    measure_target,
    render,
    unbiased,
    verdict,
)


def cell(**changes: object) -> dict[str, object]:
    sound = {
        "named": "easy", "seeds": 1000, "coverage": 0.95, "warned": 0.0, "rms": 0.1,
        "bias_in_errors": -1.0, "stderr": 0.1,
    }  # fmt: skip
    return sound | changes


@pytest.mark.parametrize("name", ["Gaussian, d = 2", "RBM 16 x 12, joint"])
def test_quick_form(name: str):
    result = measure_target(name, quick=True)
    assert set(result["cells"]) == set(TARGETS[name].estimators) <= set(ESTIMATORS)
    for figures in result["cells"].values():
        assert figures["seeds"] == 10
        if not below(figures):
            assert figures["rms"] < 0.2
            assert figures["coverage"] >= 0.6  # of 10: missed with probability 6e-5 at 95 %
    assert name in render({name: result})


def test_the_list_is_what_the_study_promises():
    assert len(TARGETS) >= 12
    assert any("d = 100" in name for name in TARGETS)
    assert any(target.easy for target in TARGETS.values())


def test_verdict():
    sound = {"Gaussian, d = 2": {"cells": {"ais": cell(), "reverse-ais": cell(bias_in_errors=1.0)}}}
    assert all(value for value in verdict(sound).values())
    assert not covered(cell(coverage=0.98)) and not covered(cell(coverage=0.92))
    assert covered(cell(named="hard", coverage=0.99))
    assert below(cell(warned=0.6)) and below(cell(rms=0.7)) and not below(cell())
    assert not unbiased("ais", cell(bias_in_errors=3.5))
    assert unbiased("ais", cell(bias_in_errors=-9.0))
    assert not unbiased("reverse-ais", cell(bias_in_errors=-3.5))
    silent = {"x": {"cells": {"ais": cell(rms=2.0, warned=0.1)}}}
    assert verdict(silent)["enough warnings below"] is False
    assert verdict(silent)["enough cells above"] is False
