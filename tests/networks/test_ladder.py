"""The ladder energy written out, its noise, its batch statistics, what its classes are read from."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from gibbsian.core import DataSpace
from gibbsian.core.protocols import HasFeatures, HasLogits
from gibbsian.networks import LadderNetwork
from gibbsian.networks.ladder import Combinator
from tests.nets import build_energy

SPACE = DataSpace((3,), "vector")
OPTIONS = dict(layer_sizes="4", classes=2, noise=0.5)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def stirred(options: dict = OPTIONS) -> LadderNetwork:
    """A ladder of which no parameter or running average is at its start, in float64."""
    ladder = build_energy("ladder", SPACE, options)
    assert isinstance(ladder, LadderNetwork)
    rng = torch.Generator().manual_seed(1)
    ladder = ladder.double()
    with torch.no_grad():
        for tensor in (*ladder.parameters(), *ladder.buffers()):
            if tensor.is_floating_point():
                tensor += 0.3 * torch.rand(tensor.shape, generator=rng, dtype=torch.float64)
    return ladder


def points(n: int) -> Tensor:
    rng = torch.Generator().manual_seed(2)
    return torch.randn(n, 3, generator=rng, dtype=torch.float64)


def test_the_combinator_unit_by_unit() -> None:
    """(z - mu) v + mu, mu and v of the form a1 sigmoid(a2 u + a3) + a4 u + a5; at first it is 0."""
    g = Combinator(2).double()
    z, u = points(5)[:, :2], points(5)[:, 1:]
    assert g(z, u).abs().max().item() == 0
    with torch.no_grad():
        g.a.copy_(torch.arange(20.0, dtype=torch.float64).view(2, 5, 2) / 10)
    a = g.a.detach()
    for i in range(5):
        for j in range(2):
            mu, v = (
                a[k, 0, j] * torch.sigmoid(a[k, 1, j] * u[i, j] + a[k, 2, j])
                + a[k, 3, j] * u[i, j]
                + a[k, 4, j]
                for k in range(2)
            )
            assert g(z, u)[i, j].item() == pytest.approx(((z[i, j] - mu) * v + mu).item())


def test_the_energy_written_out() -> None:
    """One hidden layer, running averages, no noise: up, softmax, down, |x^ - x|^2."""
    ladder, x = stirred().eval(), points(5)

    def norm(layer: torch.nn.Module, h: Tensor) -> Tensor:
        return (h - layer.running_mean) / (layer.running_var + layer.eps).sqrt()

    z1 = norm(ladder.norm_up[0], x @ ladder.up[0].weight.T)
    h1 = (z1 + ladder.shift[0]).clamp(min=0)
    z2 = norm(ladder.norm_up[1], h1 @ ladder.up[1].weight.T)
    logits = ladder.gain * (z2 + ladder.shift[1])
    top = ladder.combine[2](z2, norm(ladder.norm_down[2], logits.exp() / logits.exp().sum(1, True)))
    middle = ladder.combine[1](z1, norm(ladder.norm_down[1], top @ ladder.down[1].weight.T))
    back = ladder.combine[0](x, norm(ladder.norm_down[0], middle @ ladder.down[0].weight.T))
    torch.testing.assert_close(ladder(x), (back - x).square().sum(1))
    torch.testing.assert_close(ladder.logits(x), logits)
    torch.testing.assert_close(ladder.features(x), h1)
    assert isinstance(ladder, HasFeatures) and isinstance(ladder, HasLogits)


def test_noise_in_training_only() -> None:
    ladder, x = stirred(), points(6)
    assert not torch.equal(ladder.logits(x), ladder.logits(x))
    ladder.eval()
    assert torch.equal(ladder(x), ladder(x))
    one_by_one = torch.cat([ladder(row[None]) for row in x])
    torch.testing.assert_close(ladder(x), one_by_one)
    silent = stirred(dict(layer_sizes="4", classes=2, noise=0.0))
    assert torch.equal(silent.logits(x), silent.logits(x))


def test_the_noise_at_each_layer_has_the_asked_deviation() -> None:
    """10 000 draws of z~_0 - x and, the layer above being normalised, of z~_1: 4.5 sd of each figure."""
    ladder = stirred()
    x = torch.zeros(10_000, 3, dtype=torch.float64)
    with torch.no_grad():
        z, _, _ = ladder.climb(x)
    assert abs(z[0].std().item() - 0.5) < 4.5 * 0.5 / (2 * 30_000) ** 0.5
    # A normalised layer has variance 1, plus 0.25.
    assert abs(z[1].var(0).mean().item() - 1.25) < 4.5 * 1.25 * (2 / 10_000) ** 0.5


def test_a_box_is_brought_to_the_unit_interval() -> None:
    """On [-1, 1] the energy, classes and averages are those of the same network on (x + 1) / 2."""
    boxed = build_energy("ladder", DataSpace((3,), "vector", (-1.0, 1.0)), dict(layer_sizes="4"))
    plain = build_energy("ladder", SPACE, dict(layer_sizes="4"))
    plain.load_state_dict(boxed.state_dict())
    x = points(6).float().tanh()
    for ladder, rows in ((boxed, x), (plain, (x + 1) / 2)):
        torch.manual_seed(3)
        ladder(rows)
    torch.testing.assert_close(boxed.state_dict(), plain.state_dict())
    torch.testing.assert_close(boxed.eval()(x), plain.eval()((x + 1) / 2))
    torch.testing.assert_close(boxed.logits(x), plain.logits((x + 1) / 2))


def test_averages_are_those_of_a_pass_without_noise() -> None:
    """With momentum 1 evaluation on the batch is training on it without noise; logits move none."""
    ladder, x = stirred(), points(50)
    for norm in (*ladder.norm_up, *ladder.norm_down):
        norm.momentum = 1.0
    ladder(x)
    before = {name: buffer.clone() for name, buffer in ladder.named_buffers()}
    ladder.logits(2 * x + 1)
    for name, buffer in ladder.named_buffers():
        assert torch.equal(buffer, before[name]), name
    silent = copy.deepcopy(ladder)
    silent.noise = 0.0
    # A running variance is that of n - 1, a batch's that of n: a hundredth apart for 50 rows.
    torch.testing.assert_close(ladder.eval()(x), silent(x), rtol=0.1, atol=0.05)
    torch.testing.assert_close(ladder.logits(x), silent.logits(x), rtol=0.03, atol=0.03)


@pytest.mark.parametrize(
    ("wrong", "words"), [({"layer_sizes": "4,2g"}, "Gaussian"), ({"noise": -0.1}, "noise")]
)
def test_unusable_options(wrong: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build_energy("ladder", SPACE, dict(**wrong))
