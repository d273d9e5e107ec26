"""The scattering transform as a convolutional network: multiscale wavelets whose filters can learn."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from gibbsian.core import DataSpace, limits
from gibbsian.networks.options import check_counts
from gibbsian.networks.trunks import image_shape

WIDTH, FREQUENCY = 0.8, 0.75 * math.pi
"""Of the wavelet of the finest scale: standard deviation in pixels, radians per pixel."""
REACH = 3.0
"""Standard deviations at which filters are cut off."""
FLOOR = 1e-10
"""Added to squared moduli: the modulus has no derivative at 0."""


def grid(radius: int) -> tuple[Tensor, Tensor]:
    """Rows and columns of a square of pixels around 0, ``[2 radius + 1, 2 radius + 1]`` each."""
    u = torch.arange(-radius, radius + 1, dtype=torch.float64)
    rows, columns = torch.meshgrid(u, u, indexing="ij")
    return rows, columns


def gaussian(sigma: float) -> Tensor:
    """A Gaussian of standard deviation ``sigma`` pixels and sum 1, ``[k, k]``, float64."""
    rows, columns = grid(math.ceil(REACH * sigma))
    values = torch.exp(-(rows.square() + columns.square()) / (2 * sigma**2))
    return values / values.sum()


def morlet(scale: int, angle: float, slant: float) -> Tensor:
    """psi of ``scale`` j (0 the finest), a plane wave in a Gaussian, ``[k, k]`` complex, float64.

    Standard deviation 0.8 2^j pixels along the wave, divided by ``slant`` across it; frequency
    3 pi / (4 2^j). Of mean exactly 0, for which a multiple of the Gaussian is taken off, and scaled
    so that the Gaussian's integral is 1 (Bruna, Mallat 2013, and the constants customary since).
    """
    sigma, frequency = WIDTH * 2**scale, FREQUENCY / 2**scale
    rows, columns = grid(math.ceil(REACH * sigma / min(slant, 1.0)))
    along = math.cos(angle) * rows + math.sin(angle) * columns
    across = math.cos(angle) * columns - math.sin(angle) * rows
    envelope = torch.exp(-(along.square() + (slant * across).square()) / (2 * sigma**2))
    wave = torch.polar(envelope, frequency * along)
    wave = wave - envelope * (wave.sum() / envelope.sum())
    return wave * slant / (2 * math.pi * sigma**2)


def filtered(x: Tensor, kernel: Tensor, stride: int) -> Tensor:
    """Every channel of ``x [B, C, h, w]`` by every filter ``[F, 1, k, k]``: ``[B, C F, h', w']``.

    Borders are continued by their last pixel; h' = ceil(h / stride).
    """
    batch, channels, height, width = x.shape
    radius = kernel.shape[-1] // 2
    rows = pad(x.reshape(-1, 1, height, width), [radius] * 4, mode="replicate")
    found = conv2d(rows, kernel, stride=stride)
    return found.reshape(batch, channels * len(kernel), *found.shape[2:])


class ScatteringStatistics(nn.Module):
    """S y = [y*phi, |y*psi_j,l|*phi, ||y*psi_j,l|*psi_j',l'|*phi with j' > j], subsampled by 2^J.

    ``scales`` J, ``orientations`` L, ``scattering_order`` 1 or 2; for each of C channels 1 + J L maps, and
    L^2 J (J - 1) / 2 more at order 2 (Mallat 2012; Bruna, Mallat 2013). Correlations rather than
    convolutions: an image's wavelets and their mirror images have the same moduli. The wavelets
    psi are parameters and start as Morlet's; the low-pass phi is fixed. Any size of image will do.
    ``[B, C, H, W] -> [B, K, ceil(H / 2^J), ceil(W / 2^J)]``.

    Args:
        scales: octaves J; the maps are 2^J times smaller.
        orientations: directions L of the wavelets.
        scattering_order: 1 or 2.
    """

    def __init__(
        self, space: DataSpace, *, scales: int = 2, orientations: int = 8, scattering_order: int = 1
    ):
        super().__init__()
        image_shape(space)
        check_counts(scales=scales, orientations=orientations)
        if scattering_order not in (1, 2):
            raise ValueError(
                f"the order of a scattering transform is 1 or 2, not {scattering_order}"
            )
        self.scales, self.orientations = scales, orientations
        self.scattering_order = scattering_order
        angles = [math.pi * turn / self.orientations for turn in range(self.orientations)]
        slant = 4 / self.orientations
        side = 2 * math.ceil(REACH * WIDTH * 2 ** (self.scales - 1) / min(slant, 1.0)) + 1
        limits.check("PARAMETERS", 2 * self.orientations * side**2, "these wavelets have")
        self.psi = nn.ParameterList()
        for j in range(self.scales):
            waves = torch.stack([morlet(j, angle, slant) for angle in angles])
            both = torch.view_as_real(waves).permute(3, 0, 1, 2).flatten(0, 1)
            self.psi.append(nn.Parameter(both[:, None].float()))
        for halvings in range(1, self.scales + 1):
            low_pass = gaussian(WIDTH * 2 ** (halvings - 1))
            self.register_buffer(f"phi_{halvings}", low_pass[None, None].float())

    def modulus(self, x: Tensor, scale: int) -> Tensor:
        """|x * psi| at ``scale`` for every orientation, subsampled by 2^scale, ``[B, C L, h, w]``."""
        channels = x.shape[1]
        found = filtered(x, self.psi[scale], 2**scale)
        parts = found.unflatten(1, (channels, 2, self.orientations)).square().sum(2)
        return (parts + FLOOR).sqrt().flatten(1, 2)

    def averaged(self, x: Tensor, scale: int) -> Tensor:
        """x * phi subsampled by 2^J, from maps that are subsampled by 2^scale already, scale < J."""
        halvings = self.scales - scale
        return filtered(x, getattr(self, f"phi_{halvings}"), 2**halvings)

    def forward(self, y: Tensor) -> Tensor:
        """``[B, C, H, W] -> [B, K, h, w]``, K = C (1 + J L [+ L^2 J (J - 1) / 2])."""
        found = [self.averaged(y, 0)]
        for j in range(self.scales):
            first = self.modulus(y, j)
            found.append(self.averaged(first, j))
            if self.scattering_order == 2:
                for later in range(1, self.scales - j):
                    found.append(self.averaged(self.modulus(first, later), j + later))
        return torch.cat(found, 1)
