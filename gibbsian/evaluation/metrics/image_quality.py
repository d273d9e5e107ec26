"""How near enlarged images are to the truth: in pixels, in structure, to a network, in texture.

``y`` the truth and ``y_model``, both ``[B, C, H, W]`` in [-1, 1]; one number per image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn.functional import conv2d, normalize

from gibbsian.core.imaging import picture_gradient

PEAK = 2.0
"""From black to white."""
WINDOW, SIGMA = 11, 1.5
"""Of SSIM: its window's side and standard deviation, in pixels."""


def psnr(y: Tensor, y_model: Tensor) -> Tensor:
    """10 log10(peak^2 / mean squared error) in dB, ``[B]``; +inf for equal images."""
    error = (y - y_model).square().mean((1, 2, 3))
    return 10 * torch.log10(PEAK**2 / error)


def ssim(y: Tensor, y_model: Tensor) -> Tensor:
    """Structural similarity, ``[B]``, 1 for equal images (Wang et al. 2004, equation 13).

    The paper's Gaussian window of 11 pixels and constants (0.01 peak)^2 and (0.03 peak)^2; the mean
    is over the windows that lie inside the image, and over channels.
    """
    batch, channels, height, width = y.shape
    if min(height, width) < WINDOW:
        raise ValueError(f"SSIM needs at least {WINDOW}x{WINDOW} pixels, not {height}x{width}")
    u = torch.arange(WINDOW, dtype=y.dtype, device=y.device) - WINDOW // 2
    g = torch.exp(-u.square() / (2 * SIGMA**2))
    kernel = (g[:, None] * g / g.sum() ** 2)[None, None]

    def local_mean(x: Tensor) -> Tensor:
        return conv2d(x.reshape(-1, 1, height, width), kernel).reshape(batch, channels, -1)

    a, b = local_mean(y), local_mean(y_model)
    aa, bb, ab = (local_mean(p * q) for p, q in ((y, y), (y_model, y_model), (y, y_model)))
    c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    alike = (2 * a * b + c1) * (2 * (ab - a * b) + c2)
    scale = (a.square() + b.square() + c1) * (aa - a.square() + bb - b.square() + c2)
    return (alike / scale).mean((1, 2))


@torch.no_grad()
def perceptual_distance(
    features: Callable[[Tensor], Sequence[Tensor]], y: Tensor, y_model: Tensor
) -> Tensor:
    """Squared distance of a network's unit-length features, ``[B]``: mean over places, sum over layers.

    ``features`` gives one ``[B, K, h, w]`` per layer. Zhang, Isola, Efros, Shechtman, Wang (2018), equation
    1 with all weights 1: comparable between models, not with published figures.
    """
    total = y.new_zeros(len(y))
    for one, other in zip(features(y), features(y_model), strict=True):
        total += (normalize(one) - normalize(other)).square().sum(1).mean((1, 2))
    return total


def texture_distance(y: Tensor, y_model: Tensor) -> Tensor:
    """Wasserstein-1 distance of neighbouring pixels' differences, ``[B]``, in grey levels of 256.

    All differences down and to the right of an image are one sample. A blurred image's are too
    near 0; where they are in the image does not matter (statistics of natural images: Huang,
    Mumford 1999).
    """
    one, other = (
        picture_gradient(p)[..., :-1, :-1].movedim(1, 0).flatten(1).sort(1).values
        for p in (y, y_model)
    )
    return (one - other).abs().mean(1) * 255 / PEAK


class Bootstrap(NamedTuple):
    """A mean and the interval it lies in with 95 % confidence, and its standard error."""

    mean: float
    low: float
    high: float
    stderr: float


def bootstrap(values: Tensor, rng: Generator, draws: int = 4_000) -> Bootstrap:
    """The mean of ``values [N]`` by resampling them (Efron 1979, percentile intervals).

    ValueError for fewer than two values.
    """
    n = len(values)
    if n < 2:
        raise ValueError("an interval by resampling needs at least two values")
    pick = torch.randint(n, (draws, n), generator=rng, device=rng.device)
    means = values.double()[pick].mean(1)
    low, high = torch.quantile(means, means.new_tensor([0.025, 0.975])).tolist()
    spread = float(values.double().std()) / math.sqrt(n)
    return Bootstrap(float(values.double().mean()), low, high, spread)
