"""Gradients of any memory layout, per-device execution, widths of numbers that a device has or has not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Generator, Tensor, nn

from gibbsian.core import Batch, Loss, PlayerUpdate, TrainingMethod
from gibbsian.core.measures import RealSpace
from gibbsian.training import OptimizerOptions, TrainingOptions, prepare_training, run_training_loop
from gibbsian.training.arithmetic import arithmetic, channels_last, check_precision
from gibbsian.training.optimizers import execution, export_state, import_state
from gibbsian.training.stepper import Stepper
from tests.training.toys import CountingStream, Quadratic

NAMES = ("adam", "adamw", "sgd", "rmsprop", "adagrad", "adadelta")
CPU, CUDA, MPS = (torch.device(kind) for kind in ("cpu", "cuda", "mps"))


class Layouts(TrainingMethod):
    """Gradients that autograd returns transposed (W), expanded (b) and shared by two (c, d)."""

    players = {"only": ("W", "b", "c", "d")}
    networks = {}

    def __init__(self) -> None:
        super().__init__(RealSpace((2,)))
        self.W = nn.Parameter(torch.zeros(3, 2))
        self.b = nn.Parameter(torch.zeros(4))
        self.c = nn.Parameter(torch.ones(3))
        self.d = nn.Parameter(torch.ones(3))

    def round(self, index: int, data: Iterator[Batch], rng: Generator) -> Iterator[PlayerUpdate]:
        yield PlayerUpdate("only", self.loss, (next(data).x,))

    def loss(self, x: Tensor) -> Loss:
        products = x @ self.W.T.contiguous()
        return Loss(products.pow(3).sum() + products.sum() + self.rest())

    def rest(self) -> Tensor:
        return self.b.sum() + ((self.c + self.d) ** 2).sum()

    def sample(self, n: int, rng: Generator, given: Tensor | None = None) -> Tensor:
        return torch.zeros(n, 2)


@pytest.mark.parametrize("clip", [0.0, 0.5])
@pytest.mark.parametrize("name", NAMES)
def test_steps_are_those_of_contiguous_gradients_of_their_own(name: str, clip: float) -> None:
    """Against torch's unfused optimizer over copies, with torch's own clipping."""
    method, twin = Layouts(), Layouts()
    options = OptimizerOptions(name, 0.01, clip_grad_norm=clip)
    stepper = Stepper(method, {"only": options})
    parameters = [twin.W, twin.b, twin.c, twin.d]
    kinds = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD", "rmsprop": "RMSprop"}
    kinds |= {"adagrad": "Adagrad", "adadelta": "Adadelta"}
    rest = {} if name == "sgd" else {"eps": options.eps}
    rest |= {"weight_decay": 0.0} if name == "adamw" else {}
    rest |= {"rho": options.betas[0]} if name == "adadelta" else {}
    rest |= {"momentum": 0.0} if name in ("sgd", "rmsprop") else {}
    reference = getattr(torch.optim, kinds[name])(parameters, lr=0.01, foreach=False, **rest)
    rng = Generator().manual_seed(0)
    strides = set()
    for index in range(5):
        x = torch.randn(6, 2, generator=rng)
        stepper.step(PlayerUpdate("only", method.loss, (x,)), index)
        found = torch.autograd.grad(twin.loss(x).value, parameters)
        strides |= {gradient.stride() for gradient in found}
        for parameter, gradient in zip(parameters, found, strict=True):
            parameter.grad = gradient.clone(memory_format=torch.contiguous_format)
        if clip:
            nn.utils.clip_grad_norm_(parameters, clip)
        reference.step()
    assert {(1, 3), (0,)} <= strides  # what this test is about does occur
    for value, truth in zip(method.parameters(), parameters, strict=True):
        torch.testing.assert_close(value, truth, rtol=1e-5, atol=1e-7)


def test_a_transform_s_gradients_are_laid_out_too() -> None:
    method = Layouts()
    before = method.W.detach().clone()

    def turned(gradients):
        return {name: g.T.contiguous().T if g.dim() == 2 else g for name, g in gradients.items()}

    x = torch.tensor([[1.0, 2.0], [0.5, -3.0], [2.0, -1.0]])
    (slope,) = torch.autograd.grad(method.loss(x).value, method.W)
    adam = Stepper(method, {"only": OptimizerOptions("adam", 0.1, eps=1.0)})
    adam.step(PlayerUpdate("only", method.loss, (x,), turned), 0)
    torch.testing.assert_close(before - method.W, 0.1 * slope / (slope.abs() + 1.0))


class Convolution(TrainingMethod):
    """A convolution and a transposed one, trained to an image's own values."""

    players = {"only": ("down", "up")}
    networks = {}

    def __init__(self) -> None:
        super().__init__(RealSpace((2, 4, 4)))
        self.down = nn.Conv2d(2, 3, 3, padding=1)
        self.up = nn.ConvTranspose2d(3, 2, 3, padding=1)

    def round(self, index: int, data: Iterator[Batch], rng: Generator) -> Iterator[PlayerUpdate]:
        yield PlayerUpdate("only", self.loss, (torch.randn(5, 2, 4, 4, generator=rng),))

    def loss(self, x: Tensor) -> Loss:
        return Loss((self.up(torch.tanh(self.down(x))) - x).square().mean())

    def sample(self, n: int, rng: Generator, given: Tensor | None = None) -> Tensor:
        return torch.zeros(n, 2, 4, 4)


def trained(innermost: bool, rounds: int, interrupted: bool = False) -> Convolution:
    torch.manual_seed(0)
    method, optimizers = Convolution(), {"only": OptimizerOptions("adam", 0.01)}
    if innermost:
        channels_last(method)
        assert not method.down.weight.is_contiguous() and not method.up.weight.is_contiguous()
    stepper, rng = Stepper(method, optimizers), Generator().manual_seed(1)
    for index in range(rounds):
        if interrupted and index == rounds // 2:  # as a run does that is resumed from a file
            state = export_state(stepper.optimizers["only"], "adam")
            stepper = Stepper(method, optimizers)
            rows = {name: value.contiguous() for name, value in state.items()}
            import_state(stepper.optimizers["only"], "adam", rows)
        for move in method.round(index, iter(()), rng):
            stepper.step(move, index)
    return method


def test_channels_innermost_change_the_layout_and_no_number() -> None:
    plain, innermost = trained(False, 10), trained(True, 10)
    again = trained(True, 10, interrupted=True)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(innermost.state_dict()[name], value, rtol=1e-4, atol=1e-5)
        assert torch.equal(again.state_dict()[name], innermost.state_dict()[name])


def test_how_optimizers_run_on_each_kind_of_device() -> None:
    """Fused where torch has a kernel; on CUDA without a count of steps in the host's memory."""
    parameter = nn.Parameter(torch.zeros(1))
    for name in NAMES:
        options = execution(name, "cpu")
        assert OptimizerOptions(name).build([parameter]).defaults.items() >= options.items()
        assert ("fused" in options) == (name in ("adam", "adamw", "adagrad"))
        on_cuda = execution(name, "cuda")
        assert on_cuda.get("capturable", False) == (name not in ("sgd", "adagrad"))
        assert on_cuda.get("fused", False) == (name in ("adam", "adamw", "sgd"))
        assert execution(name, "mps") == {"foreach": True}


def test_tf32_is_refused_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for device in (CPU, MPS):
        with pytest.raises(ValueError, match="tf32 is a mode of CUDA devices"):
            check_precision("tf32", device)
        check_precision("bfloat16", device)
    with pytest.raises(ValueError, match=r"this run is on cpu; leave it out"):
        prepare_training(
            Quadratic(),
            {"only": OptimizerOptions()},
            TrainingOptions(float_precision="tf32"),
            CountingStream(),
        )
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "Old One")
    for precision in ("tf32", "bfloat16"):
        with pytest.raises(ValueError, match=rf"this GPU \(Old One\) has no {precision}"):
            check_precision(precision, CUDA)
    check_precision("float32", CUDA)


def test_the_width_of_a_gpu_s_numbers_is_as_asked_and_then_as_before() -> None:
    """These are flags of the process, to be read without a GPU."""
    matmul, conv = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    before = matmul.fp32_precision, conv.fp32_precision
    for precision, expected in (("float32", "ieee"), ("tf32", "tf32"), ("bfloat16", "ieee")):
        with arithmetic(precision, False, CUDA):
            assert (matmul.fp32_precision, conv.fp32_precision) == (expected, expected)
        assert (matmul.fp32_precision, conv.fp32_precision) == before
    with arithmetic("float32", True, CPU):
        assert (matmul.fp32_precision, conv.fp32_precision) == before


def test_determinism_is_asked_for_and_then_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    torch.use_deterministic_algorithms(False)
    try:
        with arithmetic("float32", False, CUDA):
            assert not torch.are_deterministic_algorithms_enabled()
        with arithmetic("float32", True, CUDA):
            assert torch.are_deterministic_algorithms_enabled()
        assert not torch.are_deterministic_algorithms_enabled()
        with (
            pytest.raises(ValueError, match="--deterministic cannot be kept: histc has no"),
            arithmetic("float32", True, CUDA),
        ):
            raise RuntimeError("histc has no deterministic kernel. You can turn ...")
        with (
            pytest.raises(RuntimeError, match="another"),
            arithmetic("float32", True, CUDA),
        ):
            raise RuntimeError("another")
    finally:
        torch.use_deterministic_algorithms(True)


def test_deterministic_changes_nothing_on_the_cpu() -> None:
    found = []
    for deterministic in (False, True):
        method, options = Quadratic(), TrainingOptions(rounds=3, deterministic=deterministic)
        run_training_loop(
            prepare_training(method, {"only": OptimizerOptions()}, options, CountingStream()),
            options,
        )
        found.append(method.theta.detach().clone())
    assert torch.equal(*found)
