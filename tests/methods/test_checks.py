"""Checks of options: what is refused, in which words (the tests of each method say who asks)."""

from __future__ import annotations

import math

import pytest
import torch

from gibbsian.methods import checks


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="k must be a whole number of at least 1, not 0"):
        checks.check_at_least("k", 0, 1)
    for value in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="w must be finite and not negative"):
            checks.check_weight("w", value)
    for value in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="h must be finite and positive"):
            checks.check_positive("h", value)
    for value in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="p is a probability"):
            checks.check_probability("p", value)
    with pytest.raises(ValueError, match="loss must be one of a, b, not 'c'"):
        checks.check_choice("loss", "c", ("a", "b"))
    with pytest.raises(ValueError, match="unconditionally"):
        checks.refuse_given(torch.zeros(1))


def test_what_is_not() -> None:
    checks.check_at_least("k", 1, 1)
    checks.check_weight("w", 0.0)
    checks.check_positive("h", 1e-9)
    checks.check_probability("p", 0.0)
    checks.check_probability("p", 1.0)
    checks.check_choice("loss", "a", ("a", "b"))
    checks.refuse_given(None)
