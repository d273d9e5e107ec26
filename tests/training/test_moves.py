"""One move: the step equals the optimizer's closed form; faults are found before the transform."""

import pytest
import torch

from gibbsian.core import NonFiniteError, PlayerUpdate
from gibbsian.training import OptimizerOptions, TrainingOptions, prepare_training, run_training_loop
from gibbsian.training.stepper import Stepper, largest, player_parameters, surely_finite
from tests.training.toys import CountingStream, Quadratic, Seesaw

SGD = OptimizerOptions("sgd", 0.1)


def test_sgd_move_is_one_gradient_step():
    method, x = Quadratic(), torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    loss = Stepper(method, {"only": SGD}).step(PlayerUpdate("only", method.loss, (x,)), 0)
    torch.testing.assert_close(method.theta.detach(), 0.1 * torch.tensor([2.0, 3.0]))
    assert loss.value == pytest.approx(0.5 * (4 + 9)) and not loss.value.requires_grad


def test_transform_sees_the_gradient_by_name_and_decides_the_step():
    method, x = Quadratic(), torch.ones(2, 2)
    seen = {}

    def double(gradients):
        seen.update(gradients)
        return {name: 2 * g for name, g in gradients.items()}

    Stepper(method, {"only": SGD}).step(PlayerUpdate("only", method.loss, (x,), double), 0)
    torch.testing.assert_close(seen["theta"], -torch.ones(2))
    torch.testing.assert_close(method.theta.detach(), torch.full((2,), 0.2))


def test_clip_bounds_the_global_norm():
    method, x = Quadratic(), torch.tensor([[30.0, 40.0]])
    Stepper(method, {"only": OptimizerOptions("sgd", 1.0, clip_grad_norm=5.0)}).step(
        PlayerUpdate("only", method.loss, (x,)), 0
    )
    torch.testing.assert_close(method.theta.detach(), torch.tensor([3.0, 4.0]))


@pytest.mark.parametrize(
    ("player", "loss", "message"),
    [
        ("nobody", "loss", "unknown player 'nobody'"),
        ("only", "vector_loss", r"must be a scalar, not \[2\]"),
        ("only", "unreached_loss", "does not reach its parameter 'theta'"),
    ],
)
def test_ill_formed_moves_are_named(player, loss, message):
    method = Quadratic()
    stepper = Stepper(method, {"only": SGD})
    with pytest.raises(ValueError, match=message):
        stepper.step(PlayerUpdate(player, getattr(method, loss), (torch.ones(2, 2),)), 0)


def test_a_player_is_its_attributes_and_nothing_else():
    names = player_parameters(Seesaw(), "left")
    assert set(names) == {"left.0.weight", "left.0.bias", "left.3.weight", "left.3.bias", "scale"}


@pytest.mark.parametrize("spoils", ["both", "value", "gradient"])
def test_non_finite_is_found_before_the_transform_and_named(spoils, tmp_path):
    method = Seesaw(poison=7, spoils=spoils)
    options = TrainingOptions(rounds=20, log_every=5, save_every=5)
    optimizers = {"left": SGD, "right": SGD}
    progress = prepare_training(method, optimizers, options, CountingStream())
    with pytest.raises(NonFiniteError, match=r"player 'left' is not finite in round 7"):
        run_training_loop(progress, options, tmp_path / "state")
    kept = sorted(path.name for path in (tmp_path / "state").iterdir())
    assert kept == ["round-00000000.rank0.safetensors", "round-00000005.rank0.safetensors"]


@pytest.mark.parametrize(
    ("schedule", "warmup", "values"),
    [
        ("constant", 0, {0: 1.0, 50: 1.0}),
        ("constant", 3, {0: 0.25, 3: 1.0}),
        ("linear", 0, {0: 1.0, 25: 0.75, 100: 0.0}),
        ("cosine", 0, {0: 1.0, 50: 0.5, 100: 0.0}),
    ],
)
def test_schedules(schedule, warmup, values):
    optimizer = OptimizerOptions(lr_schedule=schedule, warmup=warmup)
    for index, value in values.items():
        assert optimizer.factor(index, 100) == pytest.approx(value, abs=1e-12)


def test_the_rate_follows_its_schedule_in_training():
    method = Quadratic()
    options = TrainingOptions(rounds=4)
    progress = prepare_training(
        method,
        {"only": OptimizerOptions("sgd", 1.0, lr_schedule="linear")},
        options,
        CountingStream(),
    )
    run_training_loop(progress, options)
    assert progress.stepper.optimizers["only"].param_groups[0]["lr"] == pytest.approx(0.25)


def test_every_optimizer_lowers_a_quadratic():
    x = torch.full((4, 2), 3.0)
    for name in ("adam", "adamw", "sgd", "rmsprop", "adagrad", "adadelta"):
        method = Quadratic()
        stepper = Stepper(method, {"only": OptimizerOptions(name, 0.1)})
        first = stepper.step(PlayerUpdate("only", method.loss, (x,)), 0).value
        for index in range(20):
            last = stepper.step(PlayerUpdate("only", method.loss, (x,)), index).value
        assert last < first, name


def test_compiled_moves_equal_eager_ones():
    results = []
    for compiled in (False, True):
        torch.manual_seed(0)
        method = Quadratic()
        stepper = Stepper(method, {"only": OptimizerOptions("adam", 0.1)}, compile=compiled)
        for index in range(3):
            stepper.step(PlayerUpdate("only", method.loss, (torch.ones(4, 2) * index,)), index)
        results.append(method.theta.detach().clone())
    torch.testing.assert_close(results[0], results[1])


def test_finite_sums_are_sure_and_an_overflow_is_not_taken_for_a_fault() -> None:
    """What the quick look leaves in doubt is looked at entry by entry."""
    assert surely_finite((torch.zeros(()), torch.ones(3, 2)))
    for bad in (torch.nan, torch.inf, -torch.inf):
        assert not surely_finite((torch.zeros(()), torch.tensor([1.0, bad])))
    assert not surely_finite((torch.tensor([torch.inf, -torch.inf]),))
    huge = torch.tensor([3e38, 3e38])
    assert not surely_finite((huge,)) and bool(torch.isfinite(largest((huge,))))
