"""Linear probe: how well a linear classifier tells classes apart from given features."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from gibbsian.core import Estimate

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""scikit-learn's C, the inverse weight of |w|^2 / 2 against the summed log-loss."""
ITERATIONS = 300


class Labelled(NamedTuple):
    """Features ``[N, width]`` and class numbers ``[N]``."""

    features: Tensor
    labels: Tensor


def linear_probe(train: Labelled, valid: Labelled, test: Labelled) -> Estimate:
    """Share of ``test`` rows that multinomial logistic regression on features gets wrong.

    Fitted to ``train``; how strongly it is regularised is chosen by the error on ``valid``, the least of
    what does equally well. Columns are standardised by their moments in ``train``. The error is the
    binomial one of the test rows; diagnostics hold the validation error and the chosen ``strength``.
    What an energy's features are good for is measured so by Zhai et al. (2016, table 1). Raises
    ValueError where features are not ``[N, width]`` with a label each, are not finite, or hold fewer
    than two classes to learn.
    """
    from sklearn.linear_model import LogisticRegression

    for rows in (train, valid, test):
        _check(rows)
    if len(train.labels.unique()) < 2:
        raise ValueError("a linear probe needs at least two classes among the training rows")
    train, valid, test = (
        Labelled(rows.features.cpu(), rows.labels.cpu()) for rows in (train, valid, test)
    )
    mean, scale = train.features.double().mean(0), train.features.double().std(0, correction=0)
    scale = torch.where(scale > 0, scale, 1.0)
    x, x_valid, x_test = (
        ((rows.features.double() - mean) / scale).numpy() for rows in (train, valid, test)
    )
    y = train.labels.numpy()
    best, fewest, chosen = None, math.inf, 0.0
    model = LogisticRegression(max_iter=ITERATIONS, warm_start=True)
    for strength in STRENGTHS:
        model.set_params(C=strength).fit(x, y)
        wrong = float((torch.from_numpy(model.predict(x_valid)) != valid.labels).double().mean())
        if wrong <= fewest:
            best, fewest, chosen = torch.from_numpy(model.predict(x_test)), wrong, strength
    assert best is not None
    error = float((best != test.labels).double().mean())
    stderr = math.sqrt(error * (1 - error) / len(test.labels))
    found = {"validation": fewest, "strength": chosen}
    return Estimate(error, stderr, "both", "estimate", "logistic regression on features", found)


def _check(rows: Labelled) -> None:
    if rows.features.ndim != 2 or rows.features.shape[:1] != rows.labels.shape or not len(rows[1]):
        raise ValueError(
            f"a linear probe needs features [N, width] and a label for each row, not "
            f"{list(rows.features.shape)} and {list(rows.labels.shape)}"
        )
    if not bool(torch.isfinite(rows.features).all()):
        raise ValueError("features must be finite to be classified")
