"""The conditional Gibbs model against its equations: energies, both stages, negatives, inference."""

from __future__ import annotations

import math
from itertools import islice

import pytest
import torch
from torch import Tensor, nn

from gibbsian.core import DataSpace
from gibbsian.core.imaging import downscale, total_variation, upscale, variational_inverse
from gibbsian.core.measures import Box, Undefined
from gibbsian.core.protocols import HasEnergy
from gibbsian.methods.super_resolution import SuperResolution
from gibbsian.methods.super_resolution.descent import descend
from gibbsian.methods.super_resolution.upsamplers import statistics_space
from tests.methods.play import Stream, check_gradient, descend as play_on, gradients, player
from tests.nets import build_named

SHAPE = (1, 8, 8)
OPTIONS = dict(channels=4, depth=1, scales=1, orientations=2, activation="tanh")


class Curved(nn.Module):
    """Statistics of one's own; smooth, where a modulus has corners that finite differences see."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 3, 3, stride=2)

    def forward(self, y: Tensor) -> Tensor:
        return torch.tanh(self.layer(y))


def model(
    statistics: str = "scattering", trained: bool = True, **options: object
) -> SuperResolution:
    """Small networks in float64; ``trained`` ones are moved off their starts, where much is 0."""
    space = DataSpace(SHAPE, "image", (-1.0, 1.0))
    psi = (
        Curved()
        if statistics == "own"
        else build_named("sufficient_statistics", statistics, space, OPTIONS)
    )
    point = build_named("upsampler", "subpixel", space, OPTIONS)
    predictor = build_named(
        "sufficient_statistics_predictor", "residual", statistics_space(psi, space), OPTIONS
    )
    method = SuperResolution(point, psi, predictor, Box(SHAPE, -1.0, 1.0), **options).double()
    if trained:
        with torch.no_grad():
            for parameter in method.parameters():
                parameter += 0.05 * torch.randn(parameter.shape, dtype=parameter.dtype)
            method.squares.copy_(0.1 + torch.rand(method.squares.shape))
    return method


def pictures(n: int, seed: int = 0) -> Tensor:
    """``[n, 1, 8, 8]`` well inside the box."""
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(n, *SHAPE, generator=rng, dtype=torch.float64) - 0.5


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def phi(method: SuperResolution, x: Tensor) -> Tensor:
    """Phi(x), written out."""
    return method.sufficient_statistics_predictor(
        method.sufficient_statistics(method.upsampler(x).detach())
    )


def test_the_energy_is_the_squared_distance_of_statistics_and_what_inference_adds() -> None:
    method = model(total_variation_weight=0.3, downscaling_consistency_weight=0.7)
    x, y = downscale(pictures(3), 2), pictures(3, 1)
    error = (phi(method, x) - method.sufficient_statistics(y)) / method.squares.sqrt()
    truth = error.square().sum((1, 2, 3)) + 0.3 * total_variation(y)
    truth = truth + 0.7 * (downscale(y, 2) - x).square().sum((1, 2, 3))
    torch.testing.assert_close(method.energy_given(x)(y), truth)
    one = method.energy_given(x[:1])(y)  # one image, three proposals
    torch.testing.assert_close(one[0], truth[0])
    assert torch.autograd.gradcheck(method.energy_given(x[:1]), y[:1].clone().requires_grad_())


def test_identity_statistics_are_least_squares() -> None:
    """p(y|x) = N(Phi(x), 1/2): the energy is |Phi(x) - y|^2 and descent ends at Phi(x)."""
    method = model("identity", trained=False, upscaling_start_noise=0.3, upscaling_step_size=1e-3)
    x = downscale(pictures(2), 2)
    y = pictures(2, 1)
    expected = (upscale(x, 2) - y).square().sum((1, 2, 3))  # the untrained Phi
    torch.testing.assert_close(method.energy_given(x)(y), expected)
    found = method.complete(x, rng())
    torch.testing.assert_close(found, upscale(x, 2), atol=1e-5, rtol=0)
    loss = method.regression_loss(x, y).value
    torch.testing.assert_close(loss, (upscale(x, 2) - y).square().mean())


def test_langevin_samples_of_identity_statistics_have_the_gibbs_law_s_moments() -> None:
    """N(Phi(x), s^2/2) with s^2 = 0.02, 600 chains of 64 pixels. ULA with h = s^2/40 has a variance
    1 / (1 - 1/40) times too large, which is allowed for. Errors: 38400 draws, all but independent, make the
    variance exact to 0.7 % (5 sigma 3.7 %) and the mean of all to 0.1/196 (5 sigma 0.0026)."""
    h = 0.02 / 40
    method = model(
        "identity",
        trained=False,
        super_resolution_inference="langevin",
        upscaling_steps=120,
        upscaling_step_size=h,
    )
    method.squares.fill_(0.02)
    x = downscale(pictures(1), 2)
    y = method.sample(600, rng(), x[0])
    error = y - upscale(x, 2)
    assert abs(float(error.mean())) < 0.0026
    assert math.isclose(float(error.var()), 0.01 / (1 - 1 / 40), rel_tol=0.037)


def test_point_and_predictor_descend_their_regressions() -> None:
    method = model()
    y = pictures(4)
    x = downscale(y, 2)
    check_gradient(
        method,
        "upsampler",
        lambda: method.upsampler_loss(x, y).value,
        lambda: (method.upsampler(x) - y).square().sum() / y.numel(),
    )

    def regression() -> Tensor:
        error = (phi(method, x) - method.sufficient_statistics(y)) / method.squares.sqrt()
        return error.square().sum() / error.numel()

    check_gradient(
        method,
        "sufficient_statistics_predictor",
        lambda: method.regression_loss(x, y).value,
        regression,
    )


@pytest.mark.parametrize("negative", ["descent", "langevin"])
def test_fine_tuning_lowers_the_truth_and_raises_the_negatives(negative: str) -> None:
    """Both players' gradients against the equation written out; the margin cuts one negative off."""
    method = model("own", negative_sampler=negative, l2_to_initial_statistics=0.3)
    y, y_model = pictures(3), pictures(3, 1)
    x = downscale(y, 2)

    def per_statistic(points: Tensor) -> Tensor:
        error = (phi(method, x) - method.sufficient_statistics(points)) / method.squares.sqrt()
        return error.square().mean((1, 2, 3))

    lowest, second = per_statistic(y_model).detach().sort().values[:2].tolist()
    method.margin = (lowest + second) / 2  # one negative is raised, two are high enough

    starts = [method.start_0, method.start_1]

    def truth() -> Tensor:
        model_energy = per_statistic(y_model)
        rest = (
            (method.margin - model_energy).clamp_min(0) if negative == "descent" else -model_energy
        )
        theta = list(method.sufficient_statistics.parameters())
        distance = sum((a - b).square().sum() for a, b in zip(theta, starts, strict=True))
        return per_statistic(y).mean() + rest.mean() + 0.3 * distance

    loss = method.fine_tuning_loss(x, y, y_model)
    assert torch.isclose(loss.value, truth())
    for name in ("sufficient_statistics", "sufficient_statistics_predictor"):
        check_gradient(method, name, lambda: method.fine_tuning_loss(x, y, y_model).value, truth)


def test_the_loss_with_a_margin_is_bounded_below_and_without_one_is_not() -> None:
    """E >= 0 and the hinge >= 0. Langevin's loss falls without limit as statistics grow."""
    y = pictures(2)
    x, y_model = downscale(y, 2), -y
    values = []
    for negative in ("descent", "langevin"):
        method = model(
            "identity", trained=False, negative_sampler=negative, l2_to_initial_statistics=0.0
        )
        for gain in (0.0, 0.1, 1.0, 100.0):
            with torch.no_grad():
                method.sufficient_statistics.gain.fill_(gain)
            values.append(method.fine_tuning_loss(x, y, y_model).value.item())
    assert min(values[:4]) >= 0 and values[0] == 1.0  # all statistics 0: the margin is what is left
    assert values[7] < -100 and values[7] < 1000 * values[6]


def test_decay_pulls_back_to_the_start_and_is_zero_there() -> None:
    method = model(trained=False)
    assert method.distance_from_start() == 0
    theta = next(method.sufficient_statistics.parameters())
    with torch.no_grad():
        theta += 0.1
    assert math.isclose(method.distance_from_start().item(), 0.01 * theta.numel(), rel_tol=1e-6)


def test_negatives_are_no_longer_than_asked_and_without_gradients() -> None:
    method = model(negative_steps=3, upscaling_start_noise=0.0, upscaling_step_size=1e-4)
    x = downscale(pictures(2), 2)
    y_model = method.negatives(x, 0, rng())
    energy = method.energy_given(x)
    start = method.upsampler(x).clamp(-1, 1).detach()
    torch.testing.assert_close(y_model, descend(energy, start, 3, 1e-4, (-1.0, 1.0)))
    assert not y_model.requires_grad
    assert (energy(y_model) < energy(start)).all()


def test_stages_in_their_order() -> None:
    method = model(statistics_fine_tuning_start_round=1).float()
    stream = Stream(3, SHAPE)
    first = play_on(method, method.round(0, stream, rng()), 1e-3)
    assert [move.player for move in first] == ["upsampler", "sufficient_statistics_predictor"]
    start = method.upsampler.state_dict()["layers.0.weight"].clone()
    second = play_on(method, method.round(1, stream, rng()), 1e-3)
    assert [move.player for move in second] == [
        "sufficient_statistics",
        "sufficient_statistics_predictor",
    ]
    assert torch.equal(method.upsampler.state_dict()["layers.0.weight"], start)
    assert len(stream.taken) == 2 and torch.equal(second[0].inputs[1], stream.taken[1])
    never = model(statistics_fine_tuning_start_round=0).float()
    assert next(never.round(10**6, stream, rng())).player == "upsampler"


def test_every_player_is_reached_by_its_losses() -> None:
    method = model(statistics_fine_tuning_start_round=1).float()
    for index in (0, 1):
        for move in method.round(index, Stream(3, SHAPE), rng()):
            assert gradients(method, move).keys() == player(method, move.player).keys()


def test_units_of_statistics_are_their_errors_at_the_updated_point_estimate() -> None:
    method = model().float()
    stream = Stream(3, SHAPE)
    for index in range(2):
        before = method.squares.clone()
        moves = method.round(index, stream, rng())
        next(moves)  # the point estimate moves here, in the trainer
        with torch.no_grad():
            next(method.upsampler.parameters()).add_(0.1)
        next(moves)
        y = stream.taken[-1]
        error = method.sufficient_statistics(y) - method.sufficient_statistics(
            method.upsampler(downscale(y, 2))
        )
        now = error.square().mean((0, 2, 3))[:, None, None]
        expected = now if index == 0 else 0.99 * before + 0.01 * now
        torch.testing.assert_close(method.squares, expected.detach(), rtol=1e-4, atol=1e-7)


def test_samples_of_any_size_given_a_small_picture() -> None:
    x = pictures(1)[0, :, :6, :5]
    descent = model(upscaling_steps=5)
    y = descent.sample(3, rng(), x)
    assert y.shape == (3, 1, 12, 10) and not y.requires_grad and y.abs().max() <= 1
    assert not torch.equal(y[0], y[1])
    assert torch.equal(y, descent.sample(3, rng(), x))
    point = model(super_resolution_inference="point").sample(2, rng(), x)
    assert torch.equal(point[0], point[1])
    variational = model(
        super_resolution_inference="variational", total_variation_weight=0.1, upscaling_steps=7
    ).sample(2, rng(), x)
    expected = variational_inverse(x[None], 2, 0.1, 7)
    torch.testing.assert_close(variational, expected.expand(2, -1, -1, -1))
    with pytest.raises(ValueError, match="samples a large image given a small one"):
        descent.sample(2, rng())
    with pytest.raises(ValueError, match=r"must have shape \[1, h, w\], not \[3, 6, 5\]"):
        descent.sample(2, rng(), x.expand(3, -1, -1))


def test_capabilities() -> None:
    method = model()
    assert not isinstance(method, HasEnergy) and isinstance(method.measure, Undefined)
    assert "energy_given" in method.measure.why


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"upscaling_factor": 3}, "8x8 cannot be reduced by 3"),
        ({"super_resolution_inference": "variational"}, "needs a total_variation_weight above 0"),
        ({"upscaling_steps": 0}, "upscaling_steps must be a whole number"),
        ({"upscaling_step_size": 0.0}, "upscaling_step_size must be finite and positive"),
        ({"margin": 0.0}, "margin must be finite and positive"),
        (
            {"total_variation_weight": -1.0},
            "total_variation_weight must be finite and not negative",
        ),
    ],
)
def test_unusable_options(wrong: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        model(**wrong)


def test_vectors_are_refused() -> None:
    with pytest.raises(ValueError, match="needs images"):
        SuperResolution(nn.Identity(), nn.Identity(), nn.Identity(), Box((2,), -1.0, 1.0))


def bowl(y: Tensor) -> Tensor:
    """(curvature / 2) |y - 0.5|^2 with curvatures 1, 30 and 1000, one per row."""
    curvature = torch.tensor([1.0, 30.0, 1000.0], dtype=y.dtype)
    return 0.5 * curvature * (y - 0.5).square().sum(1)


def test_descent_never_rises_and_finds_minima_of_any_curvature() -> None:
    start = torch.tensor([[-0.9, 0.3], [0.9, 0.0], [0.0, 0.0]], dtype=torch.float64)
    values = [bowl(descend(bowl, start, steps, 1e-3, (-1.0, 1.0))) for steps in range(0, 60, 3)]
    for before, after in zip(values, islice(values, 1, None), strict=False):
        assert (after <= before).all()
    assert torch.equal(values[0], bowl(start))
    assert (values[-1] < 1e-4).all()
    walled = descend(bowl, start, 100, 1e-3, (-1.0, 0.2))
    torch.testing.assert_close(walled, torch.full_like(walled, 0.2))


def test_descent_takes_no_step_to_where_the_energy_is_not_finite() -> None:
    def cliff(y: Tensor) -> Tensor:
        return torch.where(y[:, 0] < 0, torch.nan, y[:, 0])

    y = descend(cliff, torch.tensor([[0.5]]), 40, 0.4, (-1.0, 1.0))
    assert 0 <= float(y) < 0.1
