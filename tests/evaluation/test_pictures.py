"""Measures of images against scikit-image, closed forms and quantiles."""

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from gibbsian.evaluation import perceptual_distance, psnr, ssim, texture_distance
from gibbsian.evaluation.metrics.image_quality import bootstrap


def pair(seed=0, channels=1):
    """Two images and noisy copies, ``[2, C, 24, 31]`` in [-1, 1], float64."""
    rng = torch.Generator().manual_seed(seed)
    y = 2 * torch.rand(2, channels, 24, 31, generator=rng, dtype=torch.float64).cumsum(3) / 31 - 1
    noise = torch.randn(y.shape, generator=rng, dtype=y.dtype)
    return y, (y + torch.tensor([0.02, 0.2]).view(2, 1, 1, 1) * noise).clamp(-1, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_psnr_and_ssim_are_scikit_image_s(channels):
    y, y_model = pair(channels=channels)
    for number in range(2):
        a, b = (p[number].numpy() for p in (y, y_model))
        found = psnr(y, y_model)[number].item()
        assert math.isclose(found, peak_signal_noise_ratio(a, b, data_range=2), rel_tol=1e-12)
        settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        maps = [
            structural_similarity(p, q, data_range=2, full=True, **settings)[1]
            for p, q in zip(a, b, strict=True)
        ]
        inner = np.mean([m[5:-5, 5:-5] for m in maps])
        assert math.isclose(ssim(y, y_model)[number].item(), inner, rel_tol=1e-6)
    assert torch.isinf(psnr(y, y)).all()
    torch.testing.assert_close(ssim(y, y), torch.ones(2, dtype=y.dtype))
    with pytest.raises(ValueError, match="at least 11x11 pixels, not 10x31"):
        ssim(y[:, :, :10], y[:, :, :10])


def test_psnr_in_closed_form():
    y = torch.zeros(1, 1, 4, 4)
    assert math.isclose(psnr(y, y + 0.02).item(), 40, rel_tol=1e-5)  # a hundredth of black to white


def test_texture_distance_in_closed_form():
    """A ramp of slope a against one of b: half of the differences (down) are 0, half differ by |a - b|."""
    ramp = torch.arange(9, dtype=torch.float64).expand(1, 1, 7, 9)
    found = texture_distance(0.1 * ramp, 0.04 * ramp)
    assert math.isclose(found.item(), 0.5 * 0.06 * 127.5, rel_tol=1e-9)
    y, y_model = pair()
    assert (texture_distance(y, y) == 0).all()
    moved = y.roll(7, dims=2)  # all differences are there still, but for those at one seam
    assert (texture_distance(y, moved) < 2).all() and texture_distance(y, y_model)[1] > 5


def test_blur_and_noise_are_both_far_in_texture():
    y, _ = pair()
    rough = y + 0.1 * torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).double()
    blurred = torch.nn.functional.avg_pool2d(rough, 3, 1, 1)
    noisier = (
        rough + 0.1 * torch.randn(y.shape, generator=torch.Generator().manual_seed(2)).double()
    )
    assert (texture_distance(rough, blurred) > 5).all()
    assert (texture_distance(rough, noisier) > 3).all()


def test_perceptual_distance_is_that_of_directions():
    def features(y):
        return [torch.cat([y, 1 + 0 * y], 1), torch.cat([y, 0 * y], 1)]

    y = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 3, 3)
    other = torch.tensor([1.0, 0.5]).view(2, 1, 1, 1).expand(2, 1, 3, 3)
    found = perceptual_distance(features, y, other)
    angle = math.atan(0.5)
    expected = [2 - 2 * math.cos(math.pi / 4) + 1, 2 - 2 * math.cos(math.pi / 4 - angle)]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_bootstrap_intervals_of_a_normal_sample():
    """For 400 normal values of spread 2 the interval is the mean -+ 1.96 of its standard error, to 10 %."""
    values = 5 + 2 * torch.randn(400, generator=torch.Generator().manual_seed(0))
    found = bootstrap(values, torch.Generator().manual_seed(1))
    assert math.isclose(found.mean, values.mean().item(), rel_tol=1e-5)
    assert math.isclose(found.stderr, values.std().item() / 20, rel_tol=1e-5)
    assert math.isclose(found.mean - found.low, 1.96 * found.stderr, rel_tol=0.1)
    assert math.isclose(found.high - found.mean, 1.96 * found.stderr, rel_tol=0.1)
    with pytest.raises(ValueError, match="at least two values"):
        bootstrap(values[:1], torch.Generator())
