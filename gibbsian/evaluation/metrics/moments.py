"""Running means and covariances in groups, and the Frechet distance with an error from them alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gibbsian.core import Estimate
from gibbsian.evaluation.metrics.frechet import FEW_PER_FEATURE, gaussian_frechet

GROUPS = 20


@dataclass(frozen=True)
class Moments:
    """Of 20 groups of rows, to which rows are dealt in turn, in float64.

    ``count [G]``; ``mean [G, d]``; ``scatter [G, d, d]``, sums of products of deviations from the mean.
    """

    count: Tensor
    mean: Tensor
    scatter: Tensor

    @classmethod
    def none(cls, x: Tensor) -> Moments:
        """Of no rows of the width of ``x [B, d]``."""
        d, zeros = x.shape[1], x.new_zeros(GROUPS, dtype=torch.float64)
        return cls(zeros, zeros.new_zeros(GROUPS, d), zeros.new_zeros(GROUPS, d, d))

    def updated(self, x: Tensor) -> Moments:
        """With the rows ``x [B, d]``; ValueError for another width."""
        if x.shape[1] != self.mean.shape[1]:
            raise ValueError(
                f"rows of {x.shape[1]} columns do not go with those before, of {self.mean.shape[1]}; "
                "reset the metric first"
            )
        group = (int(self.count.sum()) + torch.arange(len(x), device=x.device)) % GROUPS
        parts = [x[group == g].double() for g in range(GROUPS)]
        count = torch.tensor([len(part) for part in parts]).to(self.count)
        mean = torch.stack([part.sum(0) / max(1, len(part)) for part in parts])
        deviations = [part - centre for part, centre in zip(parts, mean, strict=True)]
        return self.merged(Moments(count, mean, torch.stack([r.T @ r for r in deviations])))

    def merged(self, other: Moments) -> Moments:
        """Of the rows of both, group by group (Chan, Golub, LeVeque 1979)."""
        count = self.count + other.count
        share = (other.count / count.clamp_min(1.0))[:, None]
        between = other.mean - self.mean
        weight = (self.count * share[:, 0])[:, None, None]
        scatter = self.scatter + other.scatter + weight * between[:, :, None] * between[:, None, :]
        return Moments(count, self.mean + share * between, scatter)

    def law(self, without: int | None = None) -> tuple[Tensor, Tensor]:
        """Mean ``[d]`` and covariance ``[d, d]`` of all rows, or of those outside one group."""
        kept = self.count.clone()
        if without is not None:
            kept[without] = 0.0
        n = kept.sum()
        mean = kept @ self.mean / n
        deviation = self.mean - mean
        scatter = torch.tensordot((kept > 0).to(kept), self.scatter, 1)
        scatter = scatter + (kept[:, None] * deviation).T @ deviation
        return mean, scatter / (n - 1)


def frechet_of_moments(x: Moments, x_model: Moments) -> Estimate:
    """The Frechet distance of data and samples, as ``frechet_distance`` computes it from rows.

    The error is a jackknife's over the groups. Raises ValueError for different widths or fewer than
    40 rows a side; ``diagnostics["few"]`` says whether a side has fewer than ten rows per feature.
    """
    if x.mean.shape != x_model.mean.shape:
        raise ValueError(
            f"data have {x.mean.shape[1]} columns and samples {x_model.mean.shape[1]}; both sides need "
            "the same features"
        )
    least = min(float(x.count.sum()), float(x_model.count.sum()))
    if least < 2 * GROUPS:
        raise ValueError(f"an error over {GROUPS} groups needs {2 * GROUPS} rows a side")
    value = gaussian_frechet(*x.law(), *x_model.law())
    without = torch.stack([gaussian_frechet(*x.law(g), *x_model.law(g)) for g in range(GROUPS)])
    stderr = ((GROUPS - 1) * without.var(correction=0)).sqrt()
    few = {"few": least < FEW_PER_FEATURE * x.mean.shape[1]}
    return Estimate(float(value), float(stderr), "both", "estimate", "Frechet distance", few)
