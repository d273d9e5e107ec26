"""The LBT-shaped method itself: its Adam is Adam, its unroll has the right gradient."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gibbsian.core.measures import Gaussian, RealSpace
from tests.methods.lbt_shaped import LBTShaped
from tests.methods.play import Stream, check_gradient, descend, gradients


def lbt(**options: float) -> LBTShaped:
    generator = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    return LBTShaped(generator, Gaussian((3,)), RealSpace((2,)), **options)


def test_committed_steps_are_those_of_adam() -> None:
    """K student moves through the transform equal torch's Adam at three times the rate."""
    method = lbt(unroll=6, rate=0.02).double()
    rng = torch.Generator().manual_seed(1)
    moves = method.round(0, Stream(16), rng)
    twin = [nn.Parameter(p.detach().clone()) for p in (method.mean, method.log_std)]
    adam = torch.optim.Adam(twin, lr=0.06, betas=(0.5, 0.999), eps=1e-8)
    for move in moves:
        if move.player == "teacher":
            break
        z = move.inputs[0].double()
        x = method.model(z).detach()
        loss = method.nll({"mean": twin[0], "log_std": twin[1]}, x)
        for p, g in zip(twin, torch.autograd.grad(loss, twin), strict=True):
            p.grad = g
        adam.step()
        descend(method, iter([move._replace(inputs=(z,))]), rate=1.0)
    assert torch.allclose(twin[0], method.mean, rtol=1e-9, atol=1e-12)
    assert torch.allclose(twin[1], method.log_std, rtol=1e-9, atol=1e-12)
    assert method.t == 6


def test_teacher_gradient_goes_through_the_unroll() -> None:
    """Against finite differences where v hardly changes, so that stopping its gradient is no loss."""
    method = lbt(unroll=3, rate=300.0).double()
    rng = torch.Generator().manual_seed(1)
    method.t.fill_(1e6)
    for name in method.players["student"]:
        getattr(method, f"v_{name}").fill_(1e8)
    x = torch.randn(16, 2, generator=rng).double()
    z = torch.randn(3, 16, 3, generator=rng).double()

    def loss() -> torch.Tensor:
        return method.teacher_loss(x, z).value

    check_gradient(method, "teacher", loss, loss)


def test_teacher_leaves_the_student_and_its_adam_alone() -> None:
    method = lbt()
    moves = list(method.round(0, Stream(8), torch.Generator().manual_seed(1)))
    assert [move.player for move in moves] == ["student"] * 5 + ["teacher"]
    before = {name: value.clone() for name, value in method.state_dict().items()}
    gradients(method, moves[-1])
    for name, value in method.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_tame_clips_both_players_together() -> None:
    method = lbt(clip=0.5)
    large = {"shift": torch.full((2,), 3.0), "generator.0.bias": torch.full((4,), 1.0)}
    tamed = method.tame(large)
    norm = torch.cat([g.flatten() for g in tamed.values()]).norm()
    assert norm.item() == pytest.approx(0.5)
    assert tamed["shift"][0] / tamed["generator.0.bias"][0] == 3
    small = {"shift": torch.full((2,), 1e-3)}
    assert torch.equal(method.tame(small)["shift"], small["shift"])
