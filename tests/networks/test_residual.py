"""Residual networks: sizes, parameters and products counted by hand, derivatives, images of any size."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gibbsian.config import recipes
from gibbsian.config.config import replace
from gibbsian.core import DataSpace
from gibbsian.core.tensor_files import read_tensors
from gibbsian.methods import TRAINING_METHODS
from gibbsian.models.build import network_costs
from gibbsian.models.model import load_model
from gibbsian.models.train import notes_on_networks, resume, train
from gibbsian.networks import ResidualTrunk, build_network
from gibbsian.networks.options import ACTIVATIONS
from gibbsian.networks.residual import (
    SIZES,
    ResidualBlock,
    SelfAttention,
    counts_and_blocks,
    doubled,
    halved,
    unchanged,
)

OPTIONS = [{}, {"size": "medium"}, {"attention": True}, {"group_norm": True}]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def image(channels: int, height: int, width: int) -> DataSpace:
    return DataSpace((channels, height, width), "image", (-1.0, 1.0))


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("size", [(8, 8), (9, 9), (28, 20), (33, 8), (11, 64)])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_role_takes_images_of_any_size(
    options: dict, size: tuple[int, int], channels: int, rng: torch.Generator
) -> None:
    space = image(channels, *size)
    x = torch.rand(2, *space.shape, generator=rng)
    z = 30 * torch.randn(2, 5, generator=rng)

    def build(role: str, **known: int) -> nn.Module:
        return build_network(role, "resnet", options, space=space, **known)

    assert build("energy")(x).shape == (2,)
    samples = build("generator", latent_dim=5)(z)
    assert samples.shape == x.shape and samples.abs().max() <= 1
    assert build("encoder", latent_dim=5)(x).shape == (2, 10)
    assert build("decoder", latent_dim=5)(z).shape == (2, 2, *space.shape)
    assert build("autoencoder")(x).shape == x.shape


def test_an_odd_image_is_halved_to_means_over_the_pixels_that_there_are() -> None:
    x = torch.arange(9.0).view(1, 1, 3, 3)
    assert halved(x).flatten().tolist() == [2.0, 3.5, 6.5, 8.0]
    assert torch.equal(halved(doubled(x)), x)


@pytest.mark.parametrize("options", OPTIONS)
def test_derivatives_of_both_orders_are_the_finite_differences(
    options: dict, rng: torch.Generator
) -> None:
    """In double precision, at random images; attention with a gamma that is not 0."""
    energy = build_network("energy", "resnet", options, space=image(1, 9, 8)).double()
    for module in energy.modules():
        if isinstance(module, SelfAttention):
            nn.init.constant_(module.gamma, 0.7)
    x = torch.randn(2, 1, 9, 8, generator=rng, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(energy, x, fast_mode=True)
    assert torch.autograd.gradgradcheck(energy, x, fast_mode=True)
    (slope,) = torch.autograd.grad(energy(x).sum(), x, create_graph=True)
    curved = torch.autograd.grad(slope.square().sum(), list(energy.parameters()), allow_unused=True)
    reached = [value is not None and bool(value.any()) for value in curved]
    # the gradient knows all but the head's constant
    assert reached.count(False) == 1 and not reached[-1]


def test_derivatives_by_functional_transforms_are_those_of_autograd(rng: torch.Generator) -> None:
    """Forward and reverse, row by row, as bounds by Jacobians and score matching take them."""
    energy = build_network("energy", "resnet", {}, space=image(1, 9, 8)).double()
    generator = build_network("generator", "resnet", {}, space=image(1, 9, 8), latent_dim=3)
    x = torch.randn(3, 1, 9, 8, generator=rng, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(energy(x).sum(), x)
    rows = torch.func.vmap(torch.func.grad(lambda row: energy(row[None]).squeeze(0)))(x.detach())
    assert torch.allclose(rows, slope, rtol=1e-9, atol=1e-12)
    z, v = torch.randn(2, 2, 3, generator=rng, dtype=torch.float64)
    _, along = torch.func.jvp(generator.double(), (z,), (v,))
    with torch.no_grad():  # h = 1e-5 leaves an error of about 1e-10 of the third derivative
        difference = (generator(z + 1e-5 * v) - generator(z - 1e-5 * v)) / 2e-5
    assert torch.allclose(along, difference, atol=1e-8)


def count_by_hand(size: str, pixels: int) -> tuple[int, int]:
    """Parameters and multiply-adds of the energy on grey images of ``pixels``, a power of two."""
    channels, blocks = SIZES[size]
    parameters, products = 10 * channels, 9 * channels * pixels**2
    before, side = channels, pixels
    while side > 4:
        after, side = min(2 * before, 4 * channels), side // 2
        for n in range(blocks):
            into = before if n == 0 else after
            weights = 9 * into * after + 9 * after * after
            weights += into * after if into != after else 0
            parameters, products = parameters + weights + 2 * after, products + weights * side**2
        before = after
    return parameters + before + 1, products + before


@pytest.mark.parametrize("size", SIZES)
def test_what_is_printed_are_the_counts_by_hand(size: str) -> None:
    """16 pixels: every halving is exact, and blocks halve before their first convolution."""
    config = replace(
        recipes.default_config("cd", "digits"), energy={"name": "resnet", "size": size}
    )
    space = image(1, 16, 16)
    parameters, products = count_by_hand(size, 16)
    assert network_costs(config, space) == {"energy": (parameters, products)}
    assert notes_on_networks(config, space) == [
        f"energy resnet: {parameters:,} parameters, {products / 1e6:,.2f} million multiply-adds a row"
    ]


@pytest.mark.parametrize("resample", [unchanged, halved, doubled])
def test_a_block_is_the_sum_of_its_branches(resample, rng: torch.Generator) -> None:
    """With the last convolution at 0 the block is its skip / sqrt(2), and the identity where it can be."""
    block = ResidualBlock(4, 4, resample, "silu", group_norm=False)
    x = torch.randn(2, 4, 6, 6, generator=rng)
    with torch.no_grad():
        block.conv2.weight.zero_()
    assert torch.allclose(block(x) * math.sqrt(2), resample(x), atol=1e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("size", [8, 28, 64])
def test_signals_neither_fade_nor_explode(activation: str, size: int) -> None:
    """At the start images differ in features and latents differ in images (standard deviations).

    Images of 4x4 squares: of noise on single pixels means over pixels leave less, the larger the image.
    """
    space, options = image(1, size, size), {"activation": activation}
    x = nn.functional.interpolate(torch.rand(32, 1, 4, 4) * 2 - 1, size=(size, size))
    assert 0.1 < ResidualTrunk(space, **options)(x).std(0).mean() < 5
    generator = build_network("generator", "resnet", options, space=space, latent_dim=8)
    assert 0.05 < generator(torch.randn(32, 8)).std(0).mean() < 0.95


def test_attention_lets_a_corner_see_the_other_and_starts_as_nothing(rng: torch.Generator) -> None:
    """Written out equals PyTorch's, which has no second derivatives."""
    attention = SelfAttention(6).double()
    x = torch.randn(2, 6, 3, 5, generator=rng, dtype=torch.float64)
    assert torch.equal(attention(x), x)
    nn.init.constant_(attention.gamma, 0.5)
    q, k, v = (part.transpose(1, 2) for part in attention.qkv(x).flatten(2).chunk(3, dim=1))
    fused = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).view_as(x)
    assert torch.allclose(attention(x), x + 0.5 * fused, rtol=1e-9, atol=1e-12)
    moved = x.clone()
    moved[:, :, -1, -1] += 1.0
    assert (attention(moved)[:, :, 0, 0] != attention(x)[:, :, 0, 0]).all()


def test_an_unknown_size_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="size is small, medium, large, not 'huge'"):
        counts_and_blocks("huge", 2)
    with pytest.raises(ValueError, match="energy size"):
        replace(recipes.default_config("cd", "digits"), energy={"name": "resnet", "size": "huge"})
    with pytest.raises(ValueError, match="use mlp"):
        build_network("energy", "resnet", {}, space=DataSpace((2,), "vector"))


NETWORKS_OF = {
    "gan": {"critic": "resnet", "generator": "resnet"},
    "vgan": {"energy": "resnet-bounded", "generator": "resnet"},
    "vae": {"encoder": "resnet", "decoder": "resnet"},
    "cd": {"energy": "resnet"},
    "energy-matching": {"energy": "resnet"},
    "score-matching": {"energy": "resnet"},
    "noise-levels": {"energy": "resnet"},
    "gebm": {"energy": "resnet", "generator": "resnet"},
    "bidirectional": {"energy": "resnet", "generator": "resnet", "encoder": "resnet"},
    "transition-vgan": {"energy": "resnet-bounded", "autoencoder": "resnet"},
}
"""The methods tried on 8x8 digits, each with all of its networks residual."""


@pytest.mark.parametrize("method", NETWORKS_OF)
def test_a_method_trains_is_loaded_and_resumes_to_the_same_bits(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = recipes.default_config(method, "digits").options
    quick = {"steps": 1, "steps_per_sample": 1}
    changes: dict[str, Any] = {"sampler": quick} if "sampler" in known else {}
    changes |= {"warmup_rounds": 1} if "warmup_rounds" in known else {}
    changes |= {"chains": 16} if "chains" in known else {}
    changes |= {"energy_burst_steps": 1} if "energy_burst_steps" in known else {}
    training = {"rounds": 3, "batch": 8, "log_every": 1, "save_every": 1, "device": "cpu"}
    changes |= {"training": training, "source": {"max_rows": 200}, **NETWORKS_OF[method]}
    model = train(method, "digits", out=tmp_path / "whole", **changes)
    assert torch.equal(model.sample(2, 0), load_model(tmp_path / "whole").sample(2, 0))

    class Killed(Exception):
        pass

    original = TRAINING_METHODS[method].round

    def dies(self, index, data, rng):
        if index == 2:
            raise Killed
        return original(self, index, data, rng)

    monkeypatch.setattr(TRAINING_METHODS[method], "round", dies)
    with pytest.raises(Killed):
        train(method, "digits", out=tmp_path / "cut", **changes)
    monkeypatch.undo()
    resume(tmp_path / "cut")
    whole, cut = (
        read_tensors(tmp_path / run / "state/round-00000003.rank0.safetensors")[0]
        for run in ("whole", "cut")
    )
    assert whole.keys() == cut.keys()
    assert [key for key in whole if not torch.equal(whole[key], cut[key])] == []


def test_the_energy_compiles_to_one_graph(rng: torch.Generator) -> None:
    energy = build_network("energy", "resnet", {"attention": True}, space=image(1, 9, 8))
    x = torch.randn(2, 1, 9, 8, generator=rng)

    def values(points: Tensor) -> Tensor:
        value: Tensor = energy(points)
        return value

    traced = torch.compile(values, backend="eager", fullgraph=True)
    assert torch.equal(traced(x), energy(x))
