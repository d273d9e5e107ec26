"""Features carry their extractor's name; numbers of two extractors are not compared."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gibbsian.evaluation import FeatureExtractor, kernel_distance
from gibbsian.evaluation.features.feature_protocols import FeatureEstimate, on_features


def doubled(x: Tensor) -> Tensor:
    return 2 * x.flatten(1)


def summed(x: Tensor) -> Tensor:
    return x.flatten(1).sum(1)


def logarithm(x: Tensor) -> Tensor:
    return x.flatten(1).log()


DOUBLED = FeatureExtractor("doubled", doubled, 4, "0123456789")
OTHER = FeatureExtractor("other", doubled, 4, "9876543210")


def pictures(n: int) -> Tensor:
    return torch.randn(n, 1, 2, 2, generator=torch.Generator().manual_seed(n))


def test_the_distance_is_that_of_the_features() -> None:
    x, y = pictures(300), pictures(20)
    found = on_features(DOUBLED, kernel_distance, x, y)
    direct = kernel_distance(2 * x.flatten(1), 2 * y.flatten(1))
    assert (found.value, found.stderr) == (direct.value, direct.stderr)
    assert str(found) == f"{direct}, features of doubled (01234567)"


def test_one_extractor_compares_and_two_do_not() -> None:
    x = pictures(30)
    one, two = (on_features(DOUBLED, kernel_distance, x, pictures(n)) for n in (20, 40))
    assert (one < two, one > two) == (one.value < two.value, one.value > two.value)
    assert (one <= two, one >= two) == (one < two, one > two) and one <= one and one >= one
    gap = one - two
    assert gap.value == one.value - two.value
    assert gap.stderr == pytest.approx(math.hypot(one.stderr, two.stderr))
    foreign = on_features(OTHER, kernel_distance, x, pictures(40))
    for compare in ("__lt__", "__gt__", "__le__", "__ge__", "__sub__"):
        with pytest.raises(ValueError, match=r"doubled \(01234567\).*other \(98765432\)"):
            getattr(one, compare)(foreign)
    assert one != foreign


def test_two_kinds_of_numbers_are_not_compared_either() -> None:
    x = pictures(30)
    one = on_features(DOUBLED, kernel_distance, x, pictures(20))
    renamed = FeatureEstimate(
        type(one.estimate)(1.0, 0.1, "both", "estimate", "Frechet distance"), "doubled", one.digest
    )
    with pytest.raises(ValueError, match="Frechet distance"):
        assert one < renamed


def test_features_that_are_not_what_was_promised() -> None:
    with pytest.raises(ValueError, match=r"shape \[3, 4\]; it returned \[3\]"):
        FeatureExtractor("summed", summed, 4, "00")(pictures(3))
    with pytest.raises(ValueError, match="not finite"):
        FeatureExtractor("log", logarithm, 4, "00")(pictures(3))
