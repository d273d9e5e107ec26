"""Encoders: shapes, the role in configuration and assembly, and errors in a sentence."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Generator, Tensor, nn

from gibbsian.config.config import plain, replace
from gibbsian.core import Batch, DataSpace, PlayerUpdate, TrainingMethod
from gibbsian.core.measures import Gaussian, Measure, Undefined
from gibbsian.core.roles import ENCODER, GENERATOR
from gibbsian.methods import TRAINING_METHODS
from gibbsian.models.build import assemble, known_networks
from gibbsian.networks import ENCODERS
from tests.nets import build_encoder

SMALL = dict(width=12, channels=4, time=True)
IMAGE = DataSpace((1, 8, 8), "image", (-1.0, 1.0))
PLANE = DataSpace((2,), "vector")


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_return_means_and_log_variances(name: str) -> None:
    encoder = build_encoder(name, IMAGE, 3, SMALL)
    x = torch.rand(4, 1, 8, 8)
    assert encoder(x).shape == (4, 6)
    assert not any("time" in key for key in encoder.state_dict()), "that option is for energies"
    one = torch.cat([encoder(row[None]) for row in x])
    assert torch.allclose(encoder(x), one, atol=1e-6)


class Toy(TrainingMethod):
    """A method that has an encoder."""

    players = {"encoder": ("encoder",)}
    roles = {"generator": GENERATOR, "encoder": ENCODER}

    def __init__(
        self,
        generator: nn.Module,
        encoder: nn.Module,
        prior: Gaussian,
        measure: Measure | Undefined,
    ):
        super().__init__(measure)
        self.generator, self.encoder = generator, encoder

    def round(self, index: int, data: Iterator[Batch], rng: Generator) -> Iterator[PlayerUpdate]:
        yield from ()

    def sample(self, n: int, rng: Generator, given: Tensor | None = None) -> Tensor:
        return torch.zeros(n, 2)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setitem(TRAINING_METHODS, "toy", Toy)
    yield "toy"


def test_an_encoder_is_built_from_a_configuration(toy: str) -> None:
    image = replace(plain(toy, "digits"), latent_dim=3, encoder={"width": 7})
    assert (image.encoder.name, image.generator.name) == ("conv", "conv")
    assert assemble(image, IMAGE).encoder(torch.zeros(5, 1, 8, 8)).shape == (5, 6)
    plane = replace(image, data="moons", domain_half_width="none")
    assert plane.encoder.name == "mlp"
    assert assemble(plane, PLANE).encoder.head.in_features == 7
    assert known_networks()["encoder"] == ("mlp", "conv", "resnet")


def test_a_wrong_encoder_is_refused(toy: str) -> None:
    config = replace(plain(toy, "moons"), latent_dim=3, domain_half_width="none")
    words = r"the encoder returns \[4\] per row, but means and log-variances are \[6\]"
    with pytest.raises(ValueError, match=words):
        assemble(config, PLANE, {"encoder": nn.Linear(2, 4)})
    with pytest.raises(ValueError, match=r"the encoder network, given \[2, 2\], fails"):
        assemble(config, PLANE, {"encoder": nn.Linear(3, 6)})
    with pytest.raises(ValueError, match=r"returns \[5\] per row, but one observation is \[2\]"):
        assemble(config, PLANE, {"generator": nn.Linear(3, 5)})


def test_unknown_and_unfit_names() -> None:
    with pytest.raises(ValueError, match="unknown encoder network 'convv'; did you mean conv"):
        build_encoder("convv", PLANE, 2, SMALL)
    with pytest.raises(ValueError, match="use mlp"):
        build_encoder("conv", PLANE, 2, SMALL)
    with pytest.raises(ValueError, match="an encoder needs a latent dimension of at least 1"):
        build_encoder("mlp", PLANE, 0, SMALL)
