"""Energies of one class: p(x|y) is what a joint energy says, and samples of a class come from it."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gibbsian.core import Batch, TrainingMethod
from gibbsian.core.measures import RealSpace
from gibbsian.methods._conditional import Given
from gibbsian.methods.cd import ContrastiveDivergence
from tests.methods.play import check_gradient, descend, with_sampler

WEIGHTS = (0.5, 0.3, 0.2)
MEANS = (-2.5, 0.0, 2.0)
STDS = (0.7, 0.5, 0.8)


class Mixture(nn.Module):
    """f_y(x) = log w_y N(x; m_y, s_y^2) as logits of an energy; ``wide`` moves and widens the classes."""

    def __init__(self, wide: float = 0.0):
        super().__init__()
        w, m, s = (torch.tensor(v) for v in (WEIGHTS, MEANS, STDS))
        self.log_w = nn.Parameter(w.log() * (1 - wide))
        self.m = nn.Parameter(m + wide)
        self.log_s = nn.Parameter(s.log() + wide)

    def logits(self, x: Tensor) -> Tensor:
        scaled = (x - self.m) * torch.exp(-self.log_s)
        return self.log_w - self.log_s - 0.5 * scaled.square()

    def forward(self, x: Tensor) -> Tensor:
        return -self.logits(x).logsumexp(1)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows(n: int, generator: torch.Generator) -> Batch:
    """``n`` labelled draws of the mixture."""
    w, m, s = (torch.tensor(v) for v in (WEIGHTS, MEANS, STDS))
    y = torch.multinomial(w, n, replacement=True, generator=generator)
    x = m[y] + s[y] * torch.randn(n, generator=generator)
    return Batch(x[:, None], torch.arange(n), y)


def stream(n: int) -> Iterator[Batch]:
    generator = rng(9)
    while True:
        yield rows(n, generator)


def cd(energy: nn.Module, **options: object) -> TrainingMethod:
    settings = {
        "kernel": "mala",
        "step_size": 0.05,
        "steps": 2,
        "metropolis_step_std": 3.0,
        "class_loss_weight": 1.0,
    }
    return ContrastiveDivergence(energy, RealSpace((1,)), **with_sampler(**settings | options))


def test_energies_given_a_class_are_its_gaussian() -> None:
    """E(x|y) - E(0|y) = (x^2 - 2 m x) / (2 s^2) of component y."""
    x = torch.linspace(-4, 4, 9)[:, None]
    for y in range(3):
        given = Given(Mixture(), torch.full((9,), y))
        origin = Given(Mixture(), torch.tensor([y]))(torch.zeros(1, 1))
        m, s = MEANS[y], STDS[y]
        expected = (x.squeeze(1).square() - 2 * m * x.squeeze(1)) / (2 * s**2)
        assert torch.allclose(given(x) - origin, expected, atol=1e-4)


def test_rows_have_classes_of_their_own() -> None:
    x = torch.randn(6, 1, generator=rng())
    y = torch.tensor([0, 1, 2, 2, 1, 0])
    together = Given(Mixture(), y)(x)
    alone = torch.cat([Given(Mixture(), y[i : i + 1])(x[i : i + 1]) for i in range(6)])
    assert torch.allclose(together, alone, atol=1e-6)


def test_samples_of_a_class_are_its_gaussian() -> None:
    """400 samples a class, of the true energy: 4.5 standard errors of mean and variance.

    The jump lets the pool find the weights of the modes; the walk on E(x|y) does not leave the distribution.
    """
    method = cd(Mixture(), chains=2000, steps_per_sample=30)
    given = torch.arange(3).repeat(400)
    x = method.sample(1200, rng(1), given).squeeze(1)
    for y in range(3):
        own, s = x[given == y], STDS[y]
        assert abs(own.mean().item() - MEANS[y]) < 4.5 * s / math.sqrt(400)
        assert own.var().item() == pytest.approx(s**2, rel=4.5 * math.sqrt(2 / 400))
    one = method.sample(50, rng(1), torch.tensor(1))
    assert one.shape == (50, 1) and abs(one.mean().item()) < 4.5 * 0.5 / math.sqrt(50)


def test_a_pool_is_drawn_with_the_classes_probabilities() -> None:
    """Chains that hardly move: the picked rows alone have the distribution p(x|y)."""
    method = cd(
        Mixture(),
        chains=4000,
        step_size=1e-12,
        metropolis_step_std=0.0,
        steps=1,
        steps_per_sample=1,
    )
    method.chains.copy_(rows(4000, rng(5)).x)
    x = method.sample(1000, rng(2), torch.tensor(2)).squeeze(1)
    # 1000 draws from about 800 rows: errors add, sqrt(1/1000 + 1/800); bounds of 4.5 of them.
    assert abs(x.mean().item() - 2.0) < 4.5 * 0.8 * math.sqrt(1 / 1000 + 1 / 800)
    assert x.var().item() == pytest.approx(0.64, rel=4.5 * math.sqrt(2 / 1000 + 2 / 800))


def test_loss_adds_the_classes_log_probability() -> None:
    method = cd(Mixture(0.1), class_loss_weight=0.7).double()
    batch = rows(8, rng(1))
    x, x_model = batch.x.double(), rows(5, rng(2)).x.double()

    def truth() -> Tensor:
        log_p = method.energy.logits(x).log_softmax(1)[torch.arange(8), batch.target]
        return method.energy(x).mean() - method.energy(x_model).mean() - 0.7 * log_p.mean()

    def value() -> Tensor:
        return method.energy_loss(x, x_model, batch.target).value

    assert torch.allclose(value(), truth(), rtol=1e-9)
    check_gradient(method, "energy", value, truth)
    cost = method.energy_loss(x, x_model, batch.target).logs["classification"]
    assert torch.allclose(cost, cross_entropy(method.energy.logits(x), batch.target))
    assert "classification" not in method.energy_loss(x, x_model).logs


def test_classes_are_learned_and_sampled() -> None:
    """From classes 0.5 too far to the right and 1.6 times too wide to the components.

    400 samples: errors of at most 0.04 in a mean and 4 % in a standard deviation, and what 60 noisy
    steps leave; bounds of 0.15 and 15 %.
    """
    energy = Mixture(0.5)
    method = cd(energy, chains=400, steps=1, steps_per_sample=20)
    optimizer = torch.optim.Adam(method.parameters(), 0.05)
    generator, data = rng(3), stream(300)
    for index in range(80):
        for move in method.round(index, data, generator):
            optimizer.zero_grad()
            move.loss(*move.inputs).value.backward()
            optimizer.step()
    for y in range(3):
        x = method.sample(400, rng(y), torch.tensor(y))
        assert x.mean().item() == pytest.approx(MEANS[y], abs=0.15)
        assert x.std().item() == pytest.approx(STDS[y], rel=0.15)


def test_what_does_not_fit() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Parameter(torch.ones(()))

        def forward(self, x: Tensor) -> Tensor:
            return self.a * x.square().sum(1)

    with pytest.raises(ValueError, match="energy that classifies"):
        cd(Plain())
    with pytest.raises(ValueError, match="class_loss_weight must be finite"):
        cd(Mixture(), class_loss_weight=-1.0)
    batch = rows(8, rng())
    for wrong, words in (
        (Batch(batch.x, batch.index), "needs data with classes"),
        (batch._replace(target=batch.x.squeeze(1)), "needs data with classes"),
        (batch._replace(target=batch.target + 3), "3 classes apart and the data have at least"),
    ):
        with pytest.raises(ValueError, match=words):
            descend(cd(Mixture()), cd(Mixture()).round(0, iter([wrong]), rng()), 0.0)
    method = cd(Mixture())
    for given, words in (
        (torch.tensor([0, 1]), "one for each of 4 samples"),
        (torch.tensor(0.5), "one class number"),
        (torch.tensor(3), "numbered from 0 to 2"),
        (torch.tensor([0, 1, -1, 0]), "numbered from 0 to 2"),
    ):
        with pytest.raises(ValueError, match=words):
            method.sample(4, rng(), given)
    with pytest.raises(ValueError, match="not taught classes"):
        cd(Mixture(), class_loss_weight=0.0).sample(4, rng(), torch.tensor(0))
