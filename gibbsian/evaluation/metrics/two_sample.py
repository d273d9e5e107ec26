"""Whether a classifier can tell samples from data (Lopez-Paz, Oquab 2017)."""

from __future__ import annotations

import math
import warnings
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Generator, Tensor

from gibbsian.core import Estimate
from gibbsian.evaluation.metrics.resampling import checked_pair, wilson_interval

Judge = Literal["knn", "logistic", "mlp"]

FEW = 100
MLP_WIDTH, MLP_ITERATIONS = 20, 200


@runtime_checkable
class _Classifier(Protocol):
    def fit(self, x: object, y: object) -> object: ...
    def predict(self, x: object) -> object: ...


def classifier_two_sample(
    x: Tensor, x_model: Tensor, rng: Generator, judge: Judge = "knn"
) -> Estimate:
    """Accuracy on held-out rows of a classifier of data ``x [N, d]`` against samples ``x_model [M, d]``.

    0.5 where it finds no difference, 1 where it tells all apart. Of the longer table as many rows as
    of the shorter are used, drawn from ``rng``; half of each trains, half is held out; columns are
    standardised by the training half. ``judge``: ``knn`` votes of the nearest sqrt(training rows),
    ``logistic`` regression, which sees means only, or ``mlp``, one hidden layer of 20. In
    ``diagnostics``: ``p_value``, the exact binomial probability under equal distributions of at least so many
    right, which is then at most a in a share a of cases; ``interval``, 95 % (Wilson) for the accuracy
    of this trained classifier; ``held_out``; ``few``, fewer than 100 of them. A weak classifier finds
    nothing: 0.5 says "not told apart by this one". Raises ValueError for tables that do not match,
    fewer than ten rows a side, values that are not finite, or another judge.
    """
    x, x_model = checked_pair(x, x_model, 10)
    n = min(len(x), len(x_model))
    half = n // 2
    x, x_model = _shuffled(x, n, rng), _shuffled(x_model, n, rng)
    train = torch.cat([x[:half], x_model[:half]])
    test = torch.cat([x[half:], x_model[half:]])
    mean, std = train.mean(0), train.std(0)
    std = torch.where(std > 0, std, 1.0)
    classifier = _judge(judge, len(train), rng)
    label = torch.arange(2)
    train, test = (train - mean) / std, (test - mean) / std
    with warnings.catch_warnings():  # a network that could train for longer is a judge all the same
        warnings.filterwarnings("ignore", "Stochastic Optimizer: Maximum iterations")
        classifier.fit(train.cpu().numpy(), label.repeat_interleave(half).numpy())
    guess = torch.as_tensor(classifier.predict(test.cpu().numpy()))
    right = int((guess == label.repeat_interleave(n - half)).sum())
    held_out = len(test)
    share = right / held_out
    diagnostics = {
        "p_value": binomial_tail(right, held_out),
        "interval": wilson_interval(right, held_out),
        "held_out": held_out,
        "few": held_out < FEW,
    }
    error = math.sqrt(share * (1 - share) / held_out)
    how = f"held-out accuracy of a classifier ({judge})"
    return Estimate(share, error, "both", "estimate", how, diagnostics)


def binomial_tail(successes: int, trials: int) -> float:
    """P(at least ``successes`` heads in ``trials`` throws of a fair coin).

    >>> binomial_tail(9, 10)  # 11 / 1024
    0.010742...
    """
    k = torch.arange(successes, trials + 1).double()
    n = torch.tensor(float(trials)).double()
    log_choose = torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)
    return min(1.0, float(torch.exp(log_choose - n * math.log(2.0)).sum()))


def _shuffled(x: Tensor, n: int, rng: Generator) -> Tensor:
    return x[torch.randperm(len(x), generator=rng, device=rng.device)[:n]]


def _judge(judge: Judge, rows: int, rng: Generator) -> _Classifier:
    """An untrained classifier; scikit-learn is imported here, for it takes a second."""
    seed = int(torch.randint(2**31 - 1, (), generator=rng, device=rng.device))
    found: _Classifier
    if judge == "knn":
        from sklearn.neighbors import KNeighborsClassifier

        votes = math.isqrt(rows)
        found = KNeighborsClassifier(votes if votes % 2 else votes + 1)
    elif judge == "logistic":
        from sklearn.linear_model import LogisticRegression

        found = LogisticRegression(max_iter=1000)
    elif judge == "mlp":
        from sklearn.neural_network import MLPClassifier

        found = MLPClassifier((MLP_WIDTH,), max_iter=MLP_ITERATIONS, random_state=seed)
    else:
        raise ValueError(f"the judge must be knn, logistic or mlp, not {judge!r}")
    return found
