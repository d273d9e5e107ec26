"""Anomaly scores that any detector should be set beside: scikit-learn's, and ECOD.

Each is fitted to rows ``[n, d]`` and gives functions ``[m, d] -> [m]``, larger where a row is stranger.
Columns are standardised by the fitted rows first. Settings are the usual ones and are not tuned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

Rows = np.ndarray
RowScore = Callable[[Rows], np.ndarray]
NEIGHBOURS = 20
COMPONENTS = (1, 2, 4, 8)
ROWS_PER_COMPONENT = 10


def isolation_forest(train: Rows, seed: int) -> RowScore:
    """Isolation forest (Liu, Ting, Zhou 2008), 100 trees."""
    from sklearn.ensemble import IsolationForest

    return partial(_negated, IsolationForest(random_state=seed).fit(train))


def local_outlier_factor(train: Rows, seed: int) -> RowScore:
    """Local outlier factor (Breunig et al. 2000) among 20 neighbours of the fitted rows."""
    from sklearn.neighbors import LocalOutlierFactor

    neighbours = min(NEIGHBOURS, len(train) - 1)
    return partial(
        _negated, LocalOutlierFactor(n_neighbors=neighbours, novelty=True, n_jobs=1).fit(train)
    )


def one_class_svm(train: Rows, seed: int) -> RowScore:
    """One-class SVM (Schoelkopf et al. 2001), a Gaussian kernel, nu 0.1."""
    from sklearn.svm import OneClassSVM

    return partial(_negated, OneClassSVM(nu=0.1).fit(train))


def gaussian_mixture(train: Rows, seed: int) -> RowScore:
    """-log p of full-covariance Gaussians, 1, 2, 4 or 8 of them as BIC prefers."""
    from sklearn.mixture import GaussianMixture

    fits = [
        GaussianMixture(count, reg_covar=1e-3, random_state=seed).fit(train)
        for count in COMPONENTS
        if count == 1 or len(train) > ROWS_PER_COMPONENT * count
    ]
    criteria = [fit.bic(train) for fit in fits]
    return partial(_negated, fits[int(np.argmin(criteria))])


def ecod(train: Rows, seed: int) -> RowScore:
    """ECOD (Li et al. 2022): sums over columns of -log tail probabilities, the largest of three.

    Tails by the empirical distribution of ``train``: left ones, right ones, and of each column the one
    its skewness points to.
    """
    return partial(_tail_sums, np.sort(train, axis=0), ((train - train.mean(0)) ** 3).mean(0))


def _negated(fitted: Any, x: Rows) -> np.ndarray:
    return -np.asarray(fitted.score_samples(x))


def _tail_sums(ordered: Rows, skewness: np.ndarray, x: Rows) -> np.ndarray:
    n = len(ordered)
    left, right = np.empty(x.shape), np.empty(x.shape)
    for j in range(x.shape[1]):
        at_most = np.searchsorted(ordered[:, j], x[:, j], "right")
        below = np.searchsorted(ordered[:, j], x[:, j], "left")
        left[:, j] = -np.log((at_most + 1) / (n + 1))
        right[:, j] = -np.log((n - below + 1) / (n + 1))
    by_skewness = np.where(skewness < 0, left, right).sum(1)
    return np.maximum(np.maximum(left.sum(1), right.sum(1)), by_skewness)


BASELINE_DETECTORS: Mapping[str, Callable[[Rows, int], RowScore]] = {
    "isolation forest": isolation_forest,
    "local outlier factor": local_outlier_factor,
    "Gaussian mixture": gaussian_mixture,
    "ECOD": ecod,
}


def baseline_scores(
    fit: Callable[[Rows, int], RowScore], train: Rows, x: Rows, seed: int
) -> np.ndarray:
    """Scores ``[m]`` of rows ``x [m, d]`` by a baseline fitted to ``train [n, d]``, both standardised."""
    mean, std = train.mean(0), train.std(0)
    std = np.where(std > 0, std, 1.0)
    return fit((train - mean) / std, seed)((x - mean) / std)
