"""Auto-encoders: energies as norms of residuals, codes, sizes, batch statistics, the role."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gibbsian.config.config import replace
from gibbsian.config.recipes import default_config
from gibbsian.core import DataSpace
from gibbsian.models.build import assemble, resolve
from gibbsian.networks import AUTOENCODERS, DenseTrunk
from tests.nets import build_autoencoder, build_energy

SMALL = dict(width=12, channels=4, code_dim=5)
IMAGE = DataSpace((1, 14, 14), "image", (-1.0, 1.0))
PLANE = DataSpace((2,), "vector")


@pytest.mark.parametrize("name", ["autoencoder", "conv-autoencoder"])
def test_the_energy_is_the_plain_norm_of_the_residual(name: str) -> None:
    energy = build_energy(name, IMAGE, SMALL).double()
    x = torch.rand(4, 1, 14, 14, dtype=torch.float64)
    back = energy.decoder(energy.features(x))
    assert back.shape == x.shape
    truth = torch.stack([(a - b).square().sum().sqrt() for a, b in zip(back, x, strict=True)])
    assert torch.allclose(energy(x), truth, rtol=1e-9, atol=1e-12)
    noisy = x + 0.3
    other = energy.decoder(energy.features(noisy))
    truth = torch.stack([(a - b).square().sum().sqrt() for a, b in zip(other, x, strict=True)])
    assert torch.allclose(energy.denoise(x, noisy), truth, rtol=1e-9, atol=1e-12)
    assert energy.features(x).ndim == 2


def test_published_convolutions() -> None:
    """64 px: (64)-(128)-(256) 4c2s and (128)-(64)-(3) back, no normalisation at either end."""
    options = dict(channels=64, depth=3, batch_norm=True, activation="leaky-relu")
    energy = build_energy("conv-autoencoder", DataSpace((3, 64, 64), "image"), options)
    layers = [m for m in energy.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    assert [m.out_channels for m in layers] == [64, 128, 256, 128, 64, 3]
    assert all(m.kernel_size == (4, 4) and m.stride == (2, 2) for m in layers)
    norms = [m.num_features for m in energy.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms == [128, 256, 128, 64]
    assert energy.features(torch.zeros(2, 3, 64, 64)).shape == (2, 256 * 8 * 8)


def test_too_many_halvings() -> None:
    with pytest.raises(ValueError, match="cannot be halved 4 times"):
        build_energy("conv-autoencoder", IMAGE, dict(depth=4))


def test_dense_layers_normalise_all_but_the_first_and_drop_out() -> None:
    options = dict(width=12, depth=3, batch_norm=True, dropout=0.5)
    energy = build_energy("autoencoder", PLANE, options)
    kinds = [type(layer) for layer in energy.encoder.layers]
    hidden = [nn.SiLU, nn.Dropout, nn.Linear, nn.BatchNorm1d] * 2
    assert kinds == [nn.Flatten, nn.Linear, *hidden, nn.SiLU, nn.Dropout]
    x = torch.randn(6, 2)
    assert not torch.equal(energy(x), energy(x))
    energy.eval()
    one = torch.cat([energy(row[None]) for row in x])
    assert torch.allclose(energy(x), one, atol=1e-6)


def test_dropout_leaves_the_weights_as_they_were_drawn() -> None:
    networks = []
    for dropout in (0.0, 0.5):
        torch.manual_seed(3)
        networks.append(DenseTrunk(PLANE, width=7, depth=2, dropout=dropout))
    for one, two in zip(*(network.parameters() for network in networks), strict=True):
        assert torch.equal(one, two)
    with pytest.raises(ValueError, match="dropout is a share"):
        DenseTrunk(PLANE, dropout=1.0)


@pytest.mark.parametrize("name", AUTOENCODERS)
@pytest.mark.parametrize("batch_norm", [False, True])
def test_codes_lie_in_the_cube_and_reconstructions_in_the_box(name: str, batch_norm: bool) -> None:
    options = dict(width=12, channels=4, code_dim=5, batch_norm=batch_norm)
    network = build_autoencoder(name, IMAGE, options)
    x = 20 * torch.randn(4, *IMAGE.shape)
    h = network.encoder(x)
    assert h.shape == (4, 5) and h.abs().max() <= 1
    assert network(x).shape == x.shape and network(x).abs().max() <= 1
    network.eval()
    assert torch.allclose(network(x), network.decoder(network.encoder(x)))


def test_images_get_convolutions() -> None:
    config = replace(default_config("ebgan", "digits"), latent_dim=3)
    image = resolve(config, IMAGE, torch.zeros(4, *IMAGE.shape))
    assert (image.energy.name, image.generator.name) == ("conv-autoencoder", "conv")
    assert type(assemble(image, IMAGE).energy.encoder).__name__ == "ConvCode"
    assert default_config("ebgan", "moons").energy.name == "autoencoder"
