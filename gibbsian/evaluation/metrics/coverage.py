"""How well samples cover the modes of a mixture of isotropic Gaussians.

Definitions of Srivastava et al. (2017, VEEGAN) and Lin et al. (2018, PacGAN): a sample is of high
quality within 3 standard deviations of its nearest mode; a mode is covered once it receives one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

HIGH_QUALITY_STDS = 3.0
STRICT_SHARE = 0.5
"""A mode is covered strictly if it gets this share of the high-quality samples due to it."""


@dataclass(frozen=True)
class Coverage:
    """What ``mode_coverage`` finds; divergences in nats.

    ``covered``: modes with at least one high-quality sample. ``strictly_covered``: modes with at
    least half of the N / M high-quality samples that a perfect sampler would give them.
    ``high_quality``: share of samples within 3 standard deviations of their nearest mode (a perfect
    sampler reaches 98.9 % in two dimensions). ``histogram_kl``: KL of the histogram of nearest modes
    to uniform; a perfect sampler of N points still has about ``histogram_floor`` = (M - 1) / (2 N).
    ``intra_mode_kl``: KL of a Gaussian fitted to a covered mode's samples to the true component,
    averaged over the covered modes with more than d + 1 high-quality samples (NaN if there are
    none); its own floor from sampling noise is about d (d + 3) M / (4 N).
    """

    modes: int
    samples: int
    covered: int
    strictly_covered: int
    high_quality: float
    histogram_kl: float
    histogram_floor: float
    intra_mode_kl: float

    def __str__(self) -> str:
        return (
            f"{self.covered}/{self.modes} modes covered ({self.strictly_covered} strictly), "
            f"{self.high_quality:.1%} high quality, KL of the mode histogram to uniform "
            f"{self.histogram_kl:.3f} (floor {self.histogram_floor:.3f}), intra-mode KL "
            f"{self.intra_mode_kl:.3f}, N = {self.samples}"
        )


def mode_coverage(x: Tensor, modes: Tensor, std: float) -> Coverage:
    """Coverage of ``modes [M, d]``, each of standard deviation ``std``, by samples ``x [N, d]``.

    Raises ValueError if the shapes do not fit, there is no sample, or one is not finite (a sampler
    that diverged must not be scored on the rest).

    >>> modes = torch.tensor([[-1.0], [0.0], [1.0]])
    >>> found = mode_coverage(torch.tensor([[-1.0], [-0.9], [0.5], [1.1]]), modes, 0.1)
    >>> found.covered, found.high_quality
    (2, 0.75)
    """
    if x.ndim != 2 or modes.ndim != 2 or x.shape[1] != modes.shape[1]:
        raise ValueError(
            f"samples [N, d] and modes [M, d] must share d; got {list(x.shape)} and "
            f"{list(modes.shape)}"
        )
    if len(x) == 0 or not torch.isfinite(x).all():
        raise ValueError("coverage needs at least one sample and all of them finite")
    x, modes = x.double(), modes.to(x.device).double()
    n, m = len(x), len(modes)
    distance, nearest = torch.cdist(x, modes).min(1)
    good = distance <= HIGH_QUALITY_STDS * std
    counts = torch.bincount(nearest[good], minlength=m)
    histogram = torch.bincount(nearest, minlength=m).double() / n
    return Coverage(
        modes=m,
        samples=n,
        covered=int((counts > 0).sum()),
        strictly_covered=int((counts >= STRICT_SHARE * n / m).sum()),
        high_quality=float(good.double().mean()),
        histogram_kl=float(torch.special.xlogy(histogram, m * histogram).sum()),
        histogram_floor=(m - 1) / (2 * n),
        intra_mode_kl=_intra_mode_kl(x[good], nearest[good], modes, std),
    )


@dataclass(frozen=True)
class ClassCoverage:
    """What ``class_coverage`` finds: ``covered`` classes have at least one sample.

    ``histogram_kl``: KL(histogram || uniform) in nats; N uniform labels still have about
    ``histogram_floor`` = (M - 1) / (2 N).
    """

    classes: int
    samples: int
    covered: int
    histogram_kl: float
    histogram_floor: float

    def __str__(self) -> str:
        return (
            f"{self.covered}/{self.classes} classes covered, KL of their histogram to uniform "
            f"{self.histogram_kl:.3f} (floor {self.histogram_floor:.3f}), N = {self.samples}"
        )


def class_coverage(labels: Tensor, classes: int) -> ClassCoverage:
    """Coverage of ``classes`` by ``labels [N]`` (whole numbers from 0) that a classifier gave.

    The protocol of Stacked-MNIST, with 1000 classes and N = 26 000 (Srivastava et al. 2017). Raises
    ValueError without labels or for one that is out of range.

    >>> class_coverage(torch.tensor([0, 0, 1, 1]), 4)  # log 2
    ClassCoverage(classes=4, samples=4, covered=2, histogram_kl=0.693..., histogram_floor=0.375)
    """
    n = len(labels)
    if n == 0 or labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels must be whole numbers from 0 to {classes - 1}, at least one")
    histogram = torch.bincount(labels, minlength=classes).double() / n
    return ClassCoverage(
        classes=classes,
        samples=n,
        covered=int((histogram > 0).sum()),
        histogram_kl=float(torch.special.xlogy(histogram, classes * histogram).sum()),
        histogram_floor=(classes - 1) / (2 * n),
    )


def _intra_mode_kl(x: Tensor, label: Tensor, modes: Tensor, std: float) -> float:
    """Mean over modes of KL( N(m_hat, S_hat) || N(mu, std^2 I) )."""
    d = x.shape[1]
    divergences = []
    for mode in range(len(modes)):
        points = x[label == mode]
        if len(points) <= d + 1:
            continue
        deviation = (points - modes[mode]) / std
        mean, covariance = deviation.mean(0), torch.cov(deviation.T).reshape(d, d)
        sign, log_det = torch.linalg.slogdet(covariance)
        if sign <= 0:
            return math.inf  # the mode's samples lie on a subspace
        divergences.append(0.5 * float(covariance.trace() + mean.square().sum() - d - log_det))
    return sum(divergences) / len(divergences) if divergences else math.nan
