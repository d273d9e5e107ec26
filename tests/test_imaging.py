"""Resizing against Pillow, U as a linear map, total variation and its inverse problem against truth."""

import numpy as np
import pytest
import torch
from PIL import Image

from gibbsian.core.imaging import (
    SQUARED_NORM,
    downscale,
    picture_gradient,
    total_variation,
    upscale,
    variational_inverse,
)
from gibbsian.core.numerics import vjp


def pictures(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_resizing_is_pillow_s(factor):
    """Pillow resizes images of 32-bit floats with kernels computed in double precision."""
    y = pictures(1, 1, 12 * factor, 7 * factor)
    grey = Image.fromarray(y[0, 0].float().numpy())
    small = grey.resize((7, 12), Image.Resampling.BICUBIC)
    np.testing.assert_allclose(downscale(y, factor)[0, 0], np.asarray(small), atol=2e-6)
    large = small.resize((7 * factor, 12 * factor), Image.Resampling.BICUBIC)
    again = upscale(downscale(y, factor), factor)[0, 0]
    np.testing.assert_allclose(again, np.asarray(large), atol=2e-6)


def test_downscaling_is_linear_keeps_constants_and_is_differentiated_rightly():
    a, b = pictures(2, 3, 6, 9), pictures(2, 3, 6, 9, seed=1)
    mixed = downscale(2 * a - 3 * b, 3)
    torch.testing.assert_close(mixed, 2 * downscale(a, 3) - 3 * downscale(b, 3))
    torch.testing.assert_close(downscale(torch.ones_like(a), 3), torch.ones_like(mixed))
    assert torch.autograd.gradcheck(lambda y: downscale(y, 3), a[:1, :1].requires_grad_())


def test_a_factor_that_does_not_divide():
    with pytest.raises(ValueError, match="9x8 cannot be reduced by 2; crop"):
        downscale(torch.zeros(1, 1, 9, 8), 2)


def test_total_variation_in_closed_form():
    y = torch.zeros(2, 1, 5, 6, dtype=torch.float64)
    y[1, 0, 1:3, 2:5] = 0.5  # a rectangle of 2 x 3: its perimeter times its height
    assert total_variation(y).tolist() == [0.0, 0.5 * 10]
    ramp = torch.arange(6.0).expand(1, 2, 4, 6)
    assert total_variation(ramp).tolist() == [2 * 4 * 5.0]


def test_the_step_sizes_of_the_primal_dual_method_are_allowed():
    """The largest singular value of (grad, U), by power iteration, for small and uneven images."""
    for factor, shape in ((2, (1, 1, 8, 12)), (4, (1, 1, 16, 8))):
        y = pictures(*shape)
        for _ in range(100):
            gram = vjp(picture_gradient, y, picture_gradient(y))[1]
            gram = gram + vjp(lambda v, f=factor: downscale(v, f), y, downscale(y, factor))[1]
            norm = gram.norm()
            y = gram / norm
        assert 6.0 < norm < SQUARED_NORM


def objective(y, x, factor, weight):
    return 0.5 * (downscale(y, factor) - x).square().sum() + weight * total_variation(y).sum()


def test_the_variational_inverse_at_its_limits():
    """No weight: U(y) = x. A weight so large that no edge pays: the mean of x everywhere."""
    x = 0.2 + 0.6 * pictures(1, 1, 4, 5)
    free = variational_inverse(x, 2, 0.0, 400)
    torch.testing.assert_close(downscale(free, 2), x, atol=1e-6, rtol=0)
    flat = variational_inverse(x, 2, 10.0, 800)
    torch.testing.assert_close(flat, x.mean().expand_as(flat), atol=1e-4, rtol=0)


def test_the_variational_inverse_is_the_minimum():
    """The objective is convex: no change of y may pay, along 90 directions of three sizes."""
    x, weight = 2 * pictures(1, 1, 3, 4) - 1, 0.05
    y = variational_inverse(x, 2, weight, 800)
    best = objective(y, x, 2, weight)
    rng = torch.Generator().manual_seed(2)
    for size in (0.2, 0.02, 0.002):
        for _ in range(30):
            step = size * torch.randn(y.shape, generator=rng, dtype=y.dtype)
            kept = step * (torch.rand(y.shape, generator=rng) < 0.2)
            assert objective((y + kept).clamp(-1, 1), x, 2, weight) >= best - 1e-8
    assert best < objective(variational_inverse(x, 2, weight, 20), x, 2, weight)
    assert y.abs().max() <= 1
