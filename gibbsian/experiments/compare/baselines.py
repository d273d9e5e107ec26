"""Rows that are no method: real rows against real rows, and distributions in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Generator, Tensor
from torch.nn.functional import one_hot

from gibbsian.core.numerics import log_normal_dense
from gibbsian.data import Dataset, corrupted_copies
from gibbsian.evaluation import gaussian_anomaly_score
from gibbsian.evaluation.metrics.out_of_distribution import auroc_table
from gibbsian.experiments.compare.measuring import Figures, Judge, mean_auroc, of_samples
from gibbsian.experiments.compare.settings import FLOOR, ComparisonSettings

RIDGE = 1e-4
"""Of the mean variance, added to each: pixels that never change have none."""
HELD_OUT = 2_000


def reference(
    label: str, seed: int, settings: ComparisonSettings, data: Dataset, judge: Judge
) -> Figures:
    """Figures of a reference row for one seed, which draws its samples."""
    rng = Generator().manual_seed(seed)
    if label == FLOOR:
        return floor(seed, settings, data, judge, rng)
    law = fitted(data)
    u = law.sample(settings.samples, rng)
    x_model = data.transform.decode(u.view(-1, *data.space.shape))
    figures = of_samples(x_model, data, settings, seed, judge)
    test = data.test[:HELD_OUT]
    log_p = law.log_prob(data.transform.encode(test, rng).flatten(1))
    log_p = log_p + data.transform.log_jacobian
    figures |= exact(log_p)
    figures["auroc"] = {"undefined": "bits have no Gaussian"}
    if data.density is not None:
        figures["kl"] = mean_figure(data.density.log_prob(test) - log_p)
    if data.space.kind != "binary":
        categories = data.transform.categories
        corrupted = corrupted_copies(test, data.space, rng, data.train.std(0), categories)
        score = gaussian_anomaly_score(data.train)
        if categories:  # whose codes are no numbers
            score = partial(energy_of_rows, law, data)
        cells = auroc_table({"simplest": score}, test, corrupted).cells
        figures["auroc"] = mean_auroc(
            {name: (a.value, a.stderr) for name, a in cells["simplest"].items()}
        )
    return figures


def energy_of_rows(law: Normal | Bits | Columns, data: Dataset, x: Tensor) -> Tensor:
    """Minus the log-density of rows ``[N, *event]`` in the data's units, up to a constant, ``[N]``."""
    u = data.transform.encode(x, Generator().manual_seed(0)).flatten(1)
    return -law.log_prob(u)


def floor(
    seed: int, settings: ComparisonSettings, data: Dataset, judge: Judge, rng: Generator
) -> Figures:
    """Training rows against test rows; the true density's own likelihood where it is known."""
    rows = torch.randperm(len(data.train), generator=rng)[: settings.samples]
    figures = of_samples(data.train[rows], data, settings, seed, judge)
    why = {"undefined": "rows are no density"}
    figures |= {"log-likelihood": why, "log-likelihood-upper": why, "auroc": why}
    if data.density is not None:
        figures |= exact(data.density.log_prob(data.test[:HELD_OUT]))
        figures["kl"] = {"value": 0.0, "stderr": 0.0, "standing": "exact"}
    return figures


@dataclass(frozen=True)
class Normal:
    """A normal distribution of flattened rows (networks' units): ``mean [d]``, Cholesky ``factor [d, d]``."""

    mean: Tensor
    factor: Tensor

    def log_prob(self, u: Tensor) -> Tensor:
        """Of rows ``[N, d]``, ``[N]``."""
        return log_normal_dense(u.double(), self.mean, self.factor)

    def sample(self, n: int, rng: Generator) -> Tensor:
        """``[n, d]``, float32."""
        noise = torch.randn(n, len(self.mean), generator=rng, dtype=torch.float64)
        return (self.mean + noise @ self.factor.T).float()


@dataclass(frozen=True)
class Bits:
    """Independent bits that are 1 with probability ``p [d]``."""

    p: Tensor

    def log_prob(self, u: Tensor) -> Tensor:
        """Of rows ``[N, d]`` of zeros and ones, ``[N]``."""
        return (u.double() * self.p.log() + (1 - u.double()) * (-self.p).log1p()).sum(1)

    def sample(self, n: int, rng: Generator) -> Tensor:
        """``[n, d]``, float32."""
        return (torch.rand(n, len(self.p), generator=rng, dtype=torch.float64) < self.p).float()


@dataclass(frozen=True)
class Columns:
    """A normal distribution of the numbers, if there are any, times independent categories beside them.

    ``p``: of each category the probabilities of its values, whose one-hot blocks follow the numbers.
    """

    numbers: Normal | None
    p: tuple[Tensor, ...]

    def log_prob(self, u: Tensor) -> Tensor:
        """Of rows ``[N, d]``, ``[N]``: relative to Lebesgue times counting measure."""
        hot = sum(map(len, self.p))
        log_p = u[:, u.shape[1] - hot :].double() @ torch.cat(self.p).log()
        return log_p if self.numbers is None else log_p + self.numbers.log_prob(u[:, :-hot])

    def sample(self, n: int, rng: Generator) -> Tensor:
        """``[n, d]``, float32."""
        blocks = [] if self.numbers is None else [self.numbers.sample(n, rng)]
        for p in self.p:
            code = torch.multinomial(p, n, replacement=True, generator=rng)
            blocks.append(one_hot(code, len(p)).float())
        return torch.cat(blocks, 1)


def fitted(data: Dataset) -> Normal | Bits | Columns:
    """The normal distribution of the training rows; independent bits and categories (Laplace's rule)."""
    u = data.transform.encode(data.train, Generator().manual_seed(0)).flatten(1).double()
    if data.space.kind == "binary":
        return Bits((u.sum(0) + 1) / (len(u) + 2))
    if data.space.categories:
        hot = sum(data.space.categories)
        numbers, blocks = u.tensor_split([u.shape[1] - hot], 1)
        p = tuple(
            (b.sum(0) + 1) / (len(b) + b.shape[1]) for b in blocks.split(data.space.categories, 1)
        )
        return Columns(normal(numbers) if numbers.shape[1] else None, p)
    return normal(u)


def normal(u: Tensor) -> Normal:
    """The normal distribution with the moments of rows ``[N, d]``."""
    covariance = torch.cov(u.T).reshape(u.shape[1], -1)
    ridge = RIDGE * covariance.diagonal().mean() * torch.eye(len(covariance), dtype=u.dtype)
    return Normal(u.mean(0), torch.linalg.cholesky(covariance + ridge))


def exact(log_p: Tensor) -> Figures:
    """Both sides of a log-likelihood that is known."""
    figure = mean_figure(log_p) | {"standing": "exact"}
    return {"log-likelihood": figure, "log-likelihood-upper": figure}


def mean_figure(values: Tensor) -> dict[str, object]:
    """Mean and standard error of ``values [N]``."""
    return {"value": float(values.mean()), "stderr": float(values.std()) / math.sqrt(len(values))}
