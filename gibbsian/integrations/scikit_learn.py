"""Estimators with scikit-learn's conventions over any method: a density and an outlier detector.

Rows in, as NumPy arrays or data frames ``[n, d]``, whose texts are categories; all numbers in nats. All
rows given to ``fit`` are for training: hold rows out with scikit-learn's own tools. Columns are
standardised and columns on a grid (counts, roundings) dequantised, both undone in samples and accounted
for in log-densities; rows of 0 and 1 alone are bits. A value on a grid is scored at the value itself,
without noise.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn import get_config
from sklearn.base import BaseEstimator, DensityMixin, OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from gibbsian.config import recipes
from gibbsian.config.config import Config, method_class, replace
from gibbsian.core import DataSpace, Interval, NotDefined
from gibbsian.core.measures import Undefined
from gibbsian.core.numerics import widest_float
from gibbsian.core.protocols import HasEnergy, HasLogWeights
from gibbsian.data import Dataset
from gibbsian.data.dataset import space_seen
from gibbsian.data.frames import called, holds_texts, rows_of
from gibbsian.data.rows import counted
from gibbsian.data.table_schema import TableSchema
from gibbsian.data.transforms import binary, columnwise
from gibbsian.models.detector import Detector
from gibbsian.models.log_columns import LogColumns
from gibbsian.models.log_density import log_weights
from gibbsian.models.model import Model
from gibbsian.models.train import train_config, untrained
from gibbsian.models.whitening import rows_to_learn_from

RandomState = int | np.random.RandomState | None
ROUNDS_PER_ROW = 1


def few_rounds_of_cd(share: float) -> dict[str, Any]:
    """Contrastive divergence in a ``share`` of its usual rounds: a rate larger by as much, up to tenfold.

    The wide Metropolis step keeps it stable at that rate.
    """
    return {
        "sampler": {"metropolis_step_std": 1.0},
        "energy_optimizer": {"lr": 1e-3 / max(share, 0.1)},
    }


FEW_ROUNDS: Mapping[str, Callable[[float], dict[str, Any]]] = {"cd": few_rounds_of_cd}
"""Method -> its settings for tables of few rows, by the share of its usual rounds; others keep theirs."""


class DensityEstimator(DensityMixin, BaseEstimator):
    """A log-density fitted by any method that has one.

    Log-densities are lower sides: -E(x) + log b(x) minus the upper side of log Z, exact up to three
    columns (quadrature) and with the standing that ``log_z_`` states beyond; for directed models
    (``vae``, ``bihm``) the importance bound, a bound in expectation. They are in the units of X.

    Args:
        method: name of the method, see ``gibbsian list methods``.
        rounds: rounds of training; None takes one per row, at most the method's default.
        options: further settings as for ``gibbsian.train``, ``{"energy": {"width": 64}}`` say.
        device: cpu, cuda, cuda:1, mps, or auto for the best one present.
        random_state: seed, generator or None, by scikit-learn's conventions.

    After ``fit``: ``model_`` (the ``gibbsian.Model``), ``log_z_`` (an ``Interval``, None of directed
    models), ``n_features_in_`` and, of data frames, ``feature_names_in_``; ``table_``: of frames with
    texts the values of their categories. Methods for such rows are ``cd`` and ``nce``.
    """

    def __init__(
        self,
        method: str = "cd",
        *,
        rounds: int | None = None,
        options: dict[str, Any] | None = None,
        device: str = "cpu",
        random_state: RandomState = None,
    ):
        self.method = method
        self.rounds = rounds
        self.options = options
        self.device = device
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: object = None) -> DensityEstimator:
        """Train on rows ``X [n, d]``, n at least 2; ``y`` is ignored.

        Raises ValueError for unusable rows or settings, for a method without a density, and where log
        Z of what was trained is not defined.
        """
        self.model_ = fitted(self, X, "density")
        self.log_z_: Interval | None = None
        if not isinstance(self.model_.method, HasLogWeights):
            found = self.model_.log_z(seed=self.model_.config.training.seed)
            if isinstance(found, NotDefined):
                raise ValueError(
                    f"{self.method} has no log-density here: log Z is {found}; OutlierDetector does without"
                )
            self.log_z_ = found
        return self

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:
        """Log-densities ``[n]`` of rows ``X [n, d]`` from below, in nats; -inf outside a box."""
        x, model = rows_to_score(self, X), self.model_
        if self.log_z_ is None:
            return scores_of_directed(model, x)
        precise = in_double_precision(model)
        return precise.log_prob_bounds(x, z=self.log_z_, dequantise=False)[0].double().numpy()

    def score(self, X: ArrayLike, y: object = None) -> float:
        """Mean log-density of the rows of X, in nats; ``y`` is ignored."""
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1, random_state: RandomState = None) -> Any:
        """``[n_samples, d]`` draws of the model, as ``set_output`` says.

        In an array a category is the place of its text among the values in ``table_``.
        """
        check_is_fitted(self)
        x = self.model_.sample(n_samples, seed_of(random_state)).double()
        chosen = getattr(self, "_sklearn_output_config", {})
        kind = chosen.get("transform", get_config()["transform_output"])
        return x.numpy() if kind == "default" else self.model_.as_frame(x, kind)

    def set_output(
        self, *, transform: Literal["default", "pandas", "polars"] | None = None
    ) -> DensityEstimator:
        """Samples as arrays (``default``) or as data frames with the columns that were fitted.

        None changes nothing. ``sklearn.set_config(transform_output="pandas")`` says the same for all.
        ValueError for another kind.
        """
        if transform not in (None, "default", "pandas", "polars"):
            raise ValueError(f"transform must be default, pandas or polars, not {transform!r}")
        if transform is not None:
            self._sklearn_output_config = {
                "transform": transform
            }  # under this name clone() keeps it
        return self


class OutlierDetector(OutlierMixin, BaseEstimator):
    """Rows that a fitted model finds strange: low log-density up to a constant.

    Scores are -E(x) + log b(x), without log Z, which no ranking needs; so any method with an energy
    serves, a critic's among them. For directed models they are the importance bound.

    Args:
        method: name of the method, see ``gibbsian list methods``; None takes the default detector, that of
            ``gibbsian detect``, whose ``model_`` is of whitened rows of numbers, None where there are none.
        contamination: share of the training rows to call outliers, in (0, 0.5].
        rounds: rounds of training; None takes one per row, at most the method's default, and the default
            detector's own number.
        options: further settings as for ``gibbsian.train``.
        device: cpu, cuda, cuda:1, mps, or auto for the best one present.
        random_state: seed, generator or None, by scikit-learn's conventions.

    After ``fit``: ``model_``, ``offset_`` (the score at which rows become outliers),
    ``n_features_in_`` and, of data frames, ``feature_names_in_``; ``table_``: of frames with texts the
    values of their categories. A text that is none of them makes a row an outlier of the default detector,
    and is refused by other methods.
    """

    def __init__(
        self,
        method: str | None = None,
        *,
        contamination: float = 0.1,
        rounds: int | None = None,
        options: dict[str, Any] | None = None,
        device: str = "cpu",
        random_state: RandomState = None,
    ):
        self.method = method
        self.contamination = contamination
        self.rounds = rounds
        self.options = options
        self.device = device
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: object = None) -> OutlierDetector:
        """Train on rows ``X [n, d]``, n at least 2, and place the threshold; ``y`` is ignored.

        Raises ValueError for unusable rows or settings, and for a method without an energy.
        """
        if not 0 < self.contamination <= 0.5:
            raise ValueError(f"contamination must lie in (0, 0.5], not {self.contamination}")
        self.detector_: Detector | None = None
        if self.method is None:
            self.detector_ = default_detector(self, X)
            self.model_ = self.detector_.model
        else:
            self.model_ = fitted(self, X, "energy")
        self.offset_ = float(np.percentile(self.score_samples(X), 100 * self.contamination))
        return self

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:
        """How normal each row of ``X [n, d]`` is, ``[n]`` in nats; low is strange."""
        check_is_fitted(self)
        if self.detector_ is not None:
            x, _ = checked_rows(self, X, fit=False, unseen=True)
            return -self.detector_.energy(self.logs_(torch.from_numpy(x))).numpy()
        return self._scores_of_method(X)

    def _scores_of_method(self, X: ArrayLike) -> NDArray[np.float64]:
        x, model = rows_to_score(self, X), self.model_
        assert model is not None  # only the default detector can do without
        if isinstance(model.method, HasLogWeights):
            return scores_of_directed(model, x)
        precise = in_double_precision(model)
        u = precise.to_network_units(x, dequantise=False)
        return log_weights(precise, u, precise.energy_of_network_inputs(u)).double().numpy()

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """``score_samples(X) - offset_``: negative for outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """``[n]``: 1 for inliers, -1 for outliers."""
        return np.where(self.decision_function(X) < 0, -1, 1)


Estimator = DensityEstimator | OutlierDetector


def fitted(estimator: Estimator, X: ArrayLike, needed: Literal["density", "energy"]) -> Model:
    """Train the estimator's method on all rows, if it can give what is ``needed``."""
    x, estimator.table_ = checked_rows(estimator, X, fit=True)
    names = getattr(estimator, "feature_names_in_", ())
    data = whole_for_training(x, names, estimator.table_)
    config = config_for(estimator, len(x))
    check_able(config, data, needed)
    return train_config(config, None, data)


def checked_rows(
    estimator: Estimator, X: Any, *, fit: bool, unseen: bool = False
) -> tuple[NDArray[Any], TableSchema | None]:
    """Rows ``[n, d]`` by scikit-learn's conventions, with their table where X is a frame with texts.

    ``unseen``: texts that were not fitted are -1. ValueError for other columns than those of ``fit``.
    """
    table = None if fit else estimator.table_
    if table is None and not (fit and holds_texts(X)):
        least = 2 if fit else 1
        x = validate_data(
            estimator, X, dtype=(np.float64, np.float32), ensure_min_samples=least, reset=fit
        )
        return np.array(x), None
    validate_data(estimator, X, skip_check_array=True, reset=fit)
    if called(X) != "the data frame":
        raise ValueError("X is no data frame; give one with the texts of the categories, as to fit")
    rows = rows_of(X, "X", table, unseen=unseen)
    if len(rows.x) < 1 + fit:
        raise ValueError(f"X has {counted(len(rows.x), 'row')}; it needs at least {1 + fit}")
    return rows.x, rows.table if fit else table


def default_detector(estimator: OutlierDetector, X: ArrayLike) -> Detector:
    """The detector of ``gibbsian detect``, fitted to all rows but those that are far out."""
    x, estimator.table_ = checked_rows(estimator, X, fit=True, unseen=True)
    rows, categories = torch.from_numpy(x), estimator.table_.categories if estimator.table_ else ()
    none = torch.zeros(rows.shape, dtype=torch.bool)
    estimator.logs_ = LogColumns.fit(rows, none, categories)
    rows, near = rows_to_learn_from(estimator.logs_(rows), none, categories)
    return Detector.fit(
        rows[near],
        categories=categories,
        every=rows,
        seed=seed_of(estimator.random_state),
        rounds=estimator.rounds,
        options=estimator.options,
        device=estimator.device,
    )


def config_for(estimator: Estimator, n: int) -> Config:
    """The method's defaults with the estimator's settings; rounds by the number ``n`` of rows."""
    assert estimator.method is not None
    config = recipes.default_config(estimator.method, "array")
    rounds = estimator.rounds
    if rounds is None:
        rounds = min(ROUNDS_PER_ROW * n, config.training.rounds)
    seed = seed_of(estimator.random_state)
    training = {"rounds": rounds, "seed": seed, "device": estimator.device}
    if estimator.method in FEW_ROUNDS:
        share = min(1.0, rounds / config.training.rounds)
        config = replace(config, **FEW_ROUNDS[estimator.method](share))
    return replace(replace(config, training=training), **(estimator.options or {}))


def whole_for_training(
    x: NDArray[Any], columns: tuple[str, ...], table: TableSchema | None = None
) -> Dataset:
    """A data set of rows ``x [n, d]`` of which none is held out; ``table``: of rows with categories."""
    rows, names = torch.from_numpy(np.array(x)), tuple(columns)
    shape = (x.shape[1],)
    if table is not None and table.categories:
        transform = columnwise(rows, names, categories=table.categories)
        space = space_seen(transform, "mixed")
    elif ((x == 0) | (x == 1)).all():
        transform, space = binary(shape, names), DataSpace(shape, "binary", (0.0, 1.0))
    else:
        transform, space = columnwise(rows, names), DataSpace(shape, "vector")
    rows = rows.to(transform.dtype)
    return Dataset("array", rows, rows[:0], rows[:0], transform, space, table=table)


def check_able(config: Config, data: Dataset, needed: Literal["density", "energy"]) -> None:
    """ValueError naming the reason unless the method gives what is ``needed`` on these data."""
    if method_class(config.method).conditional:
        raise ValueError(f"{config.method} is a model of images given others, not of rows")
    with torch.random.fork_rng(devices=[]):
        method = untrained(config, data)[1]
    if isinstance(method, HasLogWeights):
        return
    if not isinstance(method, HasEnergy):
        raise ValueError(
            f"{config.method} has neither an energy nor a density: it only samples; use cd, vgan or vae, say"
        )
    if needed == "density" and isinstance(method.measure, Undefined):
        raise ValueError(
            f"{config.method} has no density ({method.measure.why}); OutlierDetector needs only its energy"
        )


def rows_to_score(estimator: Estimator, X: ArrayLike) -> Tensor:
    """Rows ``[n, d]`` checked against what was fitted; ValueError for other columns or values."""
    check_is_fitted(estimator)
    x, _ = checked_rows(estimator, X, fit=False)
    assert estimator.model_ is not None
    transform = estimator.model_.transform
    rows = torch.from_numpy(x).to(transform.dtype)
    transform.check_values(rows, "X")
    return rows


def in_double_precision(model: Model) -> Model:
    """A copy in double precision, if the device has it, so that a row's score is its own in any batch."""
    method = copy.deepcopy(model.method).to(widest_float(model.device))
    return Model(method, model.config, model.space, model.transform)


def scores_of_directed(model: Model, x: Tensor) -> NDArray[np.float64]:
    """log p of each row from below, ``[n]``, by importance weights of the model's own seed."""
    below, _ = model.log_prob_bounds(x, seed=model.config.training.seed)
    return below.double().cpu().numpy()


def seed_of(random_state: RandomState) -> int:
    """A seed by scikit-learn's conventions: of an integer always the same one."""
    return int(check_random_state(random_state).randint(2**31 - 1))
