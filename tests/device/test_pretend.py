"""The pretended device refuses what a device refuses, and counts what makes the host wait."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from tests.device.counts import waits
from tests.device.pretend import TYPE


@pytest.fixture
def x() -> torch.Tensor:
    return torch.arange(6.0).reshape(3, 2).to(TYPE)


def test_results_stay_on_the_device(x):
    y = (x @ x.T).softmax(1)[:, 1:] * 2.0 + torch.ones(2, device=TYPE)
    assert y.device == x.device == torch.device(TYPE, 0)
    assert y.cpu().device.type == "cpu"
    host = torch.arange(6.0).reshape(3, 2)
    assert torch.equal(y.cpu(), (host @ host.T).softmax(1)[:, 1:] * 2.0 + 1)


def test_gradients_pass_through_the_device():
    layer = torch.nn.Linear(2, 1).to(TYPE)
    loss = layer(torch.ones(4, 2, device=TYPE)).square().mean()
    loss.backward()
    assert layer.weight.grad.device.type == TYPE
    again = copy.deepcopy(layer)
    assert again.weight.device.type == TYPE
    assert again.weight is not layer.weight


@pytest.mark.parametrize(
    "mix",
    [
        lambda x: x + torch.ones(2),
        lambda x: torch.ones(2).add_(x[0]),
        lambda x: torch.cat([x, torch.ones(1, 2)]),
        lambda x: torch.stack([x[0, 0], torch.tensor(1.0)]),
        lambda x: torch.ones(3, 2)[x[:, 0].long()],
        lambda x: torch.where(torch.ones(3, 2) > 0, x, x),
        lambda x: x @ torch.ones(2),
    ],
)
def test_two_devices_are_refused(x, mix):
    with pytest.raises(RuntimeError, match=r"same device"):
        mix(x)


def test_a_number_on_the_host_is_taken(x):
    assert (x * torch.tensor(2.0)).device.type == TYPE


def test_generators_of_another_device_are_refused(x):
    theirs, ours = torch.Generator(), torch.Generator(TYPE)
    with pytest.raises(RuntimeError, match="generator"):
        torch.randn(3, generator=theirs, device=TYPE)
    with pytest.raises(RuntimeError, match="generator"):
        torch.randn(3, generator=ours)
    with pytest.raises(RuntimeError, match="generator"):
        x.normal_(generator=theirs)
    with pytest.raises(RuntimeError, match="wrong size"):
        ours.set_state(theirs.get_state())
    with pytest.raises(RuntimeError):
        theirs.set_state(ours.get_state())


def test_generators_repeat_their_draws():
    rng = torch.Generator(TYPE).manual_seed(3)
    state = rng.get_state()
    first = torch.randn(4, generator=rng, device=rng.device)
    rng.set_state(state)
    assert torch.equal(first, torch.randn(4, generator=rng, device=TYPE))


def test_the_device_has_a_generator_of_its_own():
    torch.manual_seed(1)
    host, first = torch.get_rng_state(), torch.randn(3, device=TYPE)
    assert torch.equal(host, torch.get_rng_state())
    torch.manual_seed(1)
    assert torch.equal(first, torch.randn(3, device=TYPE))


def test_arrays_of_a_device_are_refused(x):
    for convert in (np.asarray, np.array, lambda x: x.numpy()):
        with pytest.raises(TypeError, match="numpy"):
            convert(x)


def test_doubles_are_refused_where_there_are_none(x):
    if TYPE == "cuda":
        assert x.double().dtype == torch.float64
        return
    for make in (
        lambda: x.double(),
        lambda: torch.zeros(3, dtype=torch.float64, device=TYPE),
        lambda: torch.zeros(3, dtype=torch.float64).to(TYPE),
        lambda: x.sum(dtype=torch.float64),
    ):
        with pytest.raises(TypeError, match="float64"):
            make()
    assert x.cpu().double().to(TYPE, torch.float32).device.type == TYPE


def test_pinned_memory_is_copied_without_waiting():
    if TYPE != "cuda":
        pytest.skip("Apple's memory is the host's")
    pinned = torch.ones(3).pin_memory()
    for asynchronous in (True, False):
        with waits() as found:
            pinned.to(TYPE, non_blocking=asynchronous)
        assert found.total == (not asynchronous)


@pytest.mark.parametrize(
    ("wait", "waited", "uploaded"),
    [
        (lambda x: x.exp().sum(0, keepdim=True), 0, 0),
        (lambda x: float(x[0, 0]), 1, 0),
        (lambda x: bool((x > 0).all()), 1, 0),
        (lambda x: x.cpu(), 1, 0),
        (lambda x: x.tolist(), 1, 0),
        (lambda x: x[x[:, 0] > 0], 1, 0),
        (lambda x: x.nonzero(), 1, 0),
        (lambda x: torch.equal(x, x), 1, 0),
        (lambda x: torch.linalg.cholesky(x.T @ x + torch.eye(2, device=TYPE)), 1, 0),
        (lambda x: x.masked_fill(x > 0, 1.0), 0, 0),
        (lambda x: x.add_(1.0), 0, 0),
        (lambda x: torch.full((3,), 0.5, device=TYPE), 0, 0),
        (lambda x: torch.tensor([1.0], device=TYPE), 0, 1),
        (lambda x: x.new_tensor([1.0, 2.0]), 0, 1),
        (lambda x: torch.as_tensor(0.5, device=TYPE), 0, 1),
        (lambda x: torch.ones(3).to(TYPE), 0, 1),
        (lambda x: torch.ones(3).to(TYPE, non_blocking=True), 0, 1),
        (lambda x: x[torch.tensor([0, 2])], 0, 1),
        (lambda x: x[[0, 2]], 0, 1),
        (lambda x: x.index_select(0, torch.arange(2, device=TYPE)), 0, 0),
    ],
)
def test_waits_are_counted(x, wait, waited, uploaded):
    with waits() as found:
        wait(x)
    assert (found.waits.total(), found.uploads.total()) == (waited, uploaded), str(found)
