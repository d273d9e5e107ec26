"""Images ``[B, C, H, W]``: antialiased bicubic resizing, total variation and its inverse problem.

x is the small image, y the large one, U the downscaling: x = U(y).
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from gibbsian.core.numerics import vjp

SQUARED_NORM = 9.0
"""At least |grad|^2 + |U|^2: forward differences have 8 at most, antialiased downscaling less than 1."""


def downscale(y: Tensor, factor: int) -> Tensor:
    """U(y), ``[B, C, f h, f w] -> [B, C, h, w]``: bicubic with a kernel as wide as the pixels it makes.

    Keys' kernel (a = -1/2), renormalised at the borders: what Pillow's ``resize`` computes. Linear
    in y. Raises ValueError where the factor does not divide height and width.
    """
    height, width = y.shape[2:]
    if factor < 1 or height % factor or width % factor:
        raise ValueError(
            f"an image of {height}x{width} cannot be reduced by {factor}; crop it to multiples "
            f"of {factor}"
        )
    size = (height // factor, width // factor)
    return interpolate(y, size, mode="bicubic", antialias=True)


def upscale(x: Tensor, factor: int) -> Tensor:
    """Bicubic interpolation, ``[B, C, h, w] -> [B, C, f h, f w]``, with the kernel of ``downscale``."""
    size = (factor * x.shape[2], factor * x.shape[3])
    return interpolate(x, size, mode="bicubic", antialias=True)


def picture_gradient(y: Tensor) -> Tensor:
    """Forward differences down and to the right, 0 beyond the border: ``[2, B, C, H, W]``."""
    return torch.stack([pad(y.diff(dim=2), (0, 0, 0, 1)), pad(y.diff(dim=3), (0, 1))])


def total_variation(y: Tensor) -> Tensor:
    """|grad y|_1, the sum of all absolute forward differences, ``[B]`` (Rudin, Osher, Fatemi 1992).

    The anisotropic form: each image's differences down and to the right count apart.

    >>> total_variation(torch.tensor([[[[0.0, 1.0], [0.0, 3.0]]]]))
    tensor([6.])
    """
    return picture_gradient(y).abs().sum((0, 2, 3, 4))


def variational_inverse(
    x: Tensor,
    factor: int,
    weight: float,
    steps: int,
    box: tuple[float, float] = (-1.0, 1.0),
) -> Tensor:
    """argmin over y in the box of 1/2 |U(y) - x|^2 + weight |grad y|_1, ``[B, C, f h, f w]``.

    ``steps`` of the primal-dual method of Chambolle and Pock (2011, Algorithm 1, theta = 1) on both
    terms, started at the bicubic interpolation; it converges to a minimum for any number of steps
    that is large enough, whatever the weight.
    """
    U = partial(downscale, factor=factor)
    y = upscale(x, factor).clamp(*box)
    tau = sigma = SQUARED_NORM**-0.5
    p, q, ahead = torch.zeros_like(picture_gradient(y)), torch.zeros_like(x), y
    for _ in range(steps):
        p = (p + sigma * picture_gradient(ahead)).clamp(-weight, weight)
        q = (q + sigma * (U(ahead) - x)) / (1.0 + sigma)
        back = vjp(picture_gradient, y, p)[1] + vjp(U, y, q)[1]
        last, y = y, (y - tau * back).clamp(*box)
        ahead = 2.0 * y - last
    return y
