"""Metrics that see data and samples piece by piece: ``update``, ``compute``, ``reset``, ``merge``.

The conventions of torchmetrics, with an error on every number. ``real`` says whether the rows of an update
are data (normal points, for a detector's scores) or samples (anomalous points).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar, final

import torch
from torch import Generator, Tensor

from gibbsian.core import Estimate
from gibbsian.evaluation.features.feature_protocols import FeatureEstimate, FeatureExtractor
from gibbsian.evaluation.metrics.moments import Moments, frechet_of_moments

Number = TypeVar("Number", Estimate, FeatureEstimate)
Distance = Callable[[Tensor, Tensor, Generator], Estimate]
"""Of data ``x [N, ...]`` and samples ``x_model [M, ...]``."""


class Metric(ABC, Generic[Number]):
    """What is accumulated is in ``state``: plain tensors, to be saved, moved or gathered as they are."""

    state: dict[str, Tensor]

    @abstractmethod
    def update(self, x: Tensor, real: bool) -> None:
        """Take in the rows ``x [B, ...]`` of data or, if not ``real``, of samples."""

    @abstractmethod
    def compute(self) -> Number:
        """The number of all rows so far, the same however often it is asked for."""

    @abstractmethod
    def reset(self) -> None:
        """Forget all rows."""

    @abstractmethod
    def merge(self, other: Metric[Number]) -> None:
        """Take in what ``other``, of the same kind and options, has seen: another process, for instance."""


@final
class Rows(Metric[Estimate]):
    """Any function of two tables, on all rows seen: memory grows with them.

    ``compute`` seeds a fresh generator with ``seed``. ``one_sided``: a function of the samples alone,
    which is given them twice; data are then passed over.
    """

    def __init__(self, distance: Distance, seed: int = 0, *, one_sided: bool = False):
        self.distance, self.seed, self.one_sided = distance, seed, one_sided
        self.reset()

    def reset(self) -> None:
        self.state: dict[str, Tensor] = {}

    def update(self, x: Tensor, real: bool) -> None:
        if real and self.one_sided:
            return
        for rows in self.state.values():
            if rows.shape[1:] != x.shape[1:]:
                raise ValueError(
                    f"rows of shape {list(x.shape[1:])} do not go with those before, of shape "
                    f"{list(rows.shape[1:])}; reset the metric first"
                )
        name = "real" if real else "model"
        before = [self.state[name]] if name in self.state else []
        self.state[name] = torch.cat([*before, x.detach()])

    def compute(self) -> Estimate:
        x_model = _seen(self.state.get("model"), "samples (real=False)")
        x = x_model if self.one_sided else _seen(self.state.get("real"), "data (real=True)")
        return self.distance(x, x_model, Generator(x.device).manual_seed(self.seed))

    def merge(self, other: Metric[Estimate]) -> None:
        if not isinstance(other, Rows) or other.one_sided != self.one_sided:
            raise ValueError("only metrics of the same kind can be merged")
        for name, rows in other.state.items():
            self.update(rows, name == "real")


@final
class Frechet(Metric[Estimate]):
    """The Frechet distance from running moments: memory 20 d^2 numbers a side, whatever the rows.

    Its value is that of ``frechet_distance``. The error is a jackknife's over 20 groups, to which rows
    are dealt in turn; it therefore needs 40 rows a side, and rows in random order.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.state: dict[str, Tensor] = {}

    def update(self, x: Tensor, real: bool) -> None:
        if x.ndim != 2 or not torch.isfinite(x).all():
            raise ValueError(f"moments need finite rows [B, d]; these have shape {list(x.shape)}")
        moments = self._moments(real)
        moments = Moments.none(x) if moments is None else moments
        self._keep(moments.updated(x.detach()), real)

    def compute(self) -> Estimate:
        x = _seen(self._moments(True), "data (real=True)")
        return frechet_of_moments(x, _seen(self._moments(False), "samples (real=False)"))

    def merge(self, other: Metric[Estimate]) -> None:
        if not isinstance(other, Frechet):
            raise ValueError("only metrics of the same kind can be merged")
        for real in (True, False):
            own, new = self._moments(real), other._moments(real)
            if new is not None:
                self._keep(new if own is None else own.merged(new), real)

    def _moments(self, real: bool) -> Moments | None:
        names = [f"{'real' if real else 'model'}/{part}" for part in ("count", "mean", "scatter")]
        if names[0] not in self.state:
            return None
        return Moments(*(self.state[name] for name in names))

    def _keep(self, moments: Moments, real: bool) -> None:
        side = "real" if real else "model"
        self.state[f"{side}/count"] = moments.count
        self.state[f"{side}/mean"] = moments.mean
        self.state[f"{side}/scatter"] = moments.scatter


@final
class FeatureMetric(Metric[FeatureEstimate]):
    """``metric`` on the features that ``extractor`` finds in images; the result says whose they are."""

    def __init__(self, extractor: FeatureExtractor, metric: Metric[Estimate]):
        self.extractor, self.metric = extractor, metric

    @property
    def state(self) -> dict[str, Tensor]:  # type: ignore[override]  # the inner metric's
        """What ``metric`` has accumulated."""
        return self.metric.state

    def update(self, x: Tensor, real: bool) -> None:
        self.metric.update(self.extractor(x), real)

    def compute(self) -> FeatureEstimate:
        return FeatureEstimate(self.metric.compute(), self.extractor.name, self.extractor.digest)

    def reset(self) -> None:
        self.metric.reset()

    def merge(self, other: Metric[FeatureEstimate]) -> None:
        if not isinstance(other, FeatureMetric) or other.extractor.digest != self.extractor.digest:
            raise ValueError("only metrics on the features of one extractor can be merged")
        self.metric.merge(other.metric)


Part = TypeVar("Part")


def _seen(part: Part | None, what: str) -> Part:
    if part is None:
        raise ValueError(f"the metric has seen no {what}; call update first")
    return part
