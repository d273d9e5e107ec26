"""Decoders: the shapes of their parameters, means in the box, variances free, rows apart."""

from __future__ import annotations

import pytest
import torch

from gibbsian.config.config import plain, replace
from gibbsian.core import DataSpace
from gibbsian.core.measures import Counting, RealSpace
from gibbsian.models.build import assemble
from gibbsian.networks import DECODERS
from tests.nets import build_decoder, build_encoder

SMALL = dict(width=12, channels=4)
IMAGE = DataSpace((1, 8, 8), "image", (-1.0, 1.0))


@pytest.mark.parametrize("name", DECODERS)
def test_means_lie_in_the_box_and_log_variances_anywhere(name: str) -> None:
    decoder = build_decoder(name, IMAGE, 3, SMALL)
    z = 200 * torch.randn(16, 3)
    a = decoder(z)
    assert a.shape == (16, 2, 1, 8, 8)
    assert a[:, 0].abs().max() <= 1 < a[:, 1].abs().max()
    one = torch.cat([decoder(row[None]) for row in z])
    assert torch.allclose(a, one, rtol=1e-4, atol=1e-4)


def test_bits_have_logits() -> None:
    decoder = build_decoder("mlp", DataSpace((5,), "binary", (0.0, 1.0)), 3, SMALL)
    a = decoder(200 * torch.randn(16, 3))
    assert a.shape == (16, 5) and a.min() < 0 and a.max() > 1
    with pytest.raises(ValueError, match="a decoder needs a latent dimension"):
        build_decoder("mlp", IMAGE, 0, SMALL)


@pytest.mark.parametrize("kind", ["binary", "vector"])
def test_a_directed_model_is_built_on_the_whole_space(kind: str) -> None:
    config = replace(plain("vae", "none"), latent_dim=3, domain_half_width="none")
    box = (0.0, 1.0) if kind == "binary" else None
    method = assemble(config, DataSpace((5,), kind, box))  # type: ignore[arg-type]
    assert method.measure == (Counting((5,)) if kind == "binary" else RealSpace((5,)))
    with pytest.raises(ValueError, match=r"decoder returns \[5\] per row, but the parameters"):
        wrong = {"decoder": torch.nn.Linear(3, 5)}
        assemble(config, DataSpace((5,), "vector"), wrong)


@pytest.mark.parametrize("name", DECODERS)
def test_all_weights_start_with_the_spread_asked_for(name: str) -> None:
    """Standard deviation within 5 standard errors, s / sqrt(2 n), of 0.1, biases and heads included."""
    options = dict(width=40, channels=8, init_std=0.1)
    for net in (build_decoder(name, IMAGE, 3, options), build_encoder(name, IMAGE, 3, options)):
        every = torch.cat([p.detach().flatten() for p in net.parameters()])
        assert abs(every.std() - 0.1) < 5 * 0.1 / (2 * len(every)) ** 0.5
        # none is left at 0; of two numbers both are that small in 6e-7 of cases
        assert all(p.abs().max() > 1e-4 for p in net.parameters())
    with pytest.raises(ValueError, match="init_std must be 0"):
        build_decoder(name, IMAGE, 3, {"init_std": -1.0})
