"""Bidirectional bounds: the equations of both moves, every pairing on a case with a known answer."""

from __future__ import annotations

import itertools
import math
import warnings

import pytest
import torch
from torch import Tensor, nn

from gibbsian.core import DataSpace
from gibbsian.core.measures import Gaussian, RealSpace
from gibbsian.core.numerics import jacobian
from gibbsian.core.protocols import HasLatentTarget
from gibbsian.methods.bidirectional import BidirectionalBounds
from tests.methods.play import Stream, check_gradient, gradients, reached
from tests.nets import build_encoder, build_energy, build_generator

PRIOR = Gaussian((2,))
SPACE = DataSpace((3,), "vector")
OPTIONS = dict(width=8, depth=1, activation="tanh")
TIMED = dict(width=8, depth=1, activation="tanh", time=True)
LOWER = ("log-det", "singular", "encoder", "infonce")
UPPER = ("gradient-penalty", "denoising", "diffusion", "zero-centred", "none")


def pair(**options: object) -> BidirectionalBounds:
    torch.manual_seed(0)
    energy = build_energy(
        "confined", SPACE, TIMED if options.get("upper_bound_penalty") == "diffusion" else OPTIONS
    )
    return BidirectionalBounds(
        energy,
        build_generator("mlp", SPACE, 2, OPTIONS),
        build_encoder("mlp", SPACE, 2, OPTIONS),
        PRIOR,
        RealSpace((3,)),
        **options,
    )


def noise(seed: int, *shape: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def sensible(lower: str, upper: str) -> bool:
    return upper != "gradient-penalty" or lower in ("log-det", "singular")


@pytest.mark.parametrize(
    ("lower", "upper"), [p for p in itertools.product(LOWER, UPPER) if sensible(*p)]
)
def test_every_pairing_moves_each_player_by_its_own_bound(lower: str, upper: str) -> None:
    method = pair(entropy_estimator=lower, upper_bound_penalty=upper)
    rng = torch.Generator().manual_seed(1)
    moves = method.round(0, Stream(16, (3,)), rng)
    first, second = next(moves), next(moves)
    assert (first.player, second.player) == ("energy", "generator")
    gradients(method, first)
    gradients(method, second)
    assert not reached(method.energy_loss(*first.inputs).value, method.generator)
    value = method.generator_loss(*second.inputs)
    expected = method.shrinkage(3) - value.value.detach()
    torch.testing.assert_close(value.logs["log_z_lower"], expected)


def test_the_energy_descends_the_upper_bound() -> None:
    """mean E(x) - mean E(G(z)) + max(M/2 mean |J^T grad E - a|^2 - m, 0), written out."""
    method = pair(
        upper_bound_penalty_weight=3.0,
        upper_bound_penalty_threshold=0.05,
        penalise_one_random_direction=False,
        output_noise_std=0.0,
    ).double()
    x, z = noise(0, 12, 3), noise(1, 12, 2)
    M = torch.tensor(3.0, dtype=torch.float64)

    def log_volume(point: Tensor) -> Tensor:
        J = torch.autograd.functional.jacobian(method.generator, point[None], create_graph=True)
        J = J[0, :, 0]
        return 0.5 * torch.logdet(J.T @ J)

    a = z + torch.stack([torch.autograd.functional.jacobian(log_volume, row) for row in z])
    J, points = jacobian(method.generator, z).detach(), method.generator(z).detach()

    @torch.enable_grad()
    def truth() -> Tensor:
        at = points.clone().requires_grad_()
        (slope,) = torch.autograd.grad(method.energy(at).sum(), at, create_graph=True)
        gap = 3.0 * 0.5 * ((slope[:, None] @ J)[:, 0] - a).square().sum(1).mean()
        return method.energy(x).mean() - method.energy(points).mean() + (gap - 0.05).clamp_min(0)

    def loss() -> Tensor:
        return method.energy_loss(x, z, torch.zeros(3, 12, 3).double(), M, z).value

    torch.testing.assert_close(loss(), truth())
    check_gradient(method, "energy", loss, truth)


def test_a_gap_within_the_margin_is_not_penalised() -> None:
    tight, loose = (
        pair(upper_bound_penalty_threshold=0.0, upper_bound_penalty_weight=1.0),
        pair(upper_bound_penalty_threshold=1e6, upper_bound_penalty_weight=1.0),
    )
    values = []
    for method in (tight, loose):
        move = next(method.round(0, Stream(8, (3,)), torch.Generator().manual_seed(0)))
        loss = method.energy_loss(*move.inputs)
        values.append(loss.value - loss.logs["energy_data"] + loss.logs["energy_model"])
    assert values[0] > 0 and abs(values[1]) < 1e-5


def test_the_generator_ascends_the_lower_bound() -> None:
    method = pair(entropy_weight=0.7, output_noise_std=0.0).double()
    z = noise(1, 12, 2)

    def truth() -> Tensor:
        J = jacobian(method.generator, z)
        entropy = 0.5 * torch.logdet(J.mT @ J) - PRIOR.log_density(z)
        return (method.energy(method.generator(z)) - 0.7 * entropy).mean()

    def loss() -> Tensor:
        return method.generator_loss(z, torch.zeros(12, 3).double(), method.probed).value

    torch.testing.assert_close(loss(), truth())
    check_gradient(method, "generator", loss, truth)


def test_an_annealed_weight_follows_its_schedule() -> None:
    method = pair(upper_bound_penalty_weight=0.0099, upper_bound_penalty_anneal_power=0.55)

    def weight(index: int) -> float:
        move = next(method.round(index, Stream(4, (3,)), torch.Generator().manual_seed(0)))
        return float(move.inputs[3])

    # The authors' 0.7 (2307 + t)^-0.55 in terms of its value at t = 0
    for index in (0, 10_000, 100_000):
        assert weight(index) == pytest.approx(0.7 * (2307 + index) ** -0.55, rel=0.01)


def test_diffusion_looks_at_noisy_data_and_time() -> None:
    method = pair(upper_bound_penalty="diffusion", score_matching_noise_min=0.5)
    x, eps = torch.zeros(4, 3), torch.ones(4, 3)
    torch.testing.assert_close(method.seen(x, eps), eps * 0.5 / math.sqrt(1.25))
    assert torch.equal(pair().seen(x, eps), x)
    with pytest.raises(ValueError, match="takes_time"):
        BidirectionalBounds(
            build_energy("confined", SPACE, OPTIONS),
            method.generator,
            nn.Linear(3, 4),
            PRIOR,
            RealSpace((3,)),
            upper_bound_penalty="diffusion",
        )


@pytest.mark.parametrize("lower", ["log-det", "encoder"])
def test_denoising_is_least_where_the_energy_is_that_of_the_noisy_samples(lower: str) -> None:
    """G = 0, sigma = 1: samples are N(0, I), and of E = |x|^2 / 2v the penalty prefers v = 1."""
    method = pair(
        entropy_estimator=lower,
        upper_bound_penalty="denoising",
        output_noise_std=1.0,
        upper_bound_penalty_weight=1.0,
    )
    with torch.no_grad():
        for p in method.generator.parameters():
            p.zero_()
    move = next(method.round(0, Stream(20_000, (3,)), torch.Generator().manual_seed(0)))
    gaps = []
    for v in (0.8, 1.0, 1.25):
        method.energy = Bowl(v)
        gaps.append(float(method.energy_loss(*move.inputs).logs["gap"]))
    # 3/2 (1 - 1/v)^2 / ... above the least: 0.03 and more; the error of a difference is 0.01
    assert gaps[1] < gaps[0] and gaps[1] < gaps[2]


class Bowl(nn.Module):
    """E(x) = |x|^2 / 2v."""

    def __init__(self, v: float):
        super().__init__()
        self.v = nn.Parameter(torch.tensor(v))

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * x.square().sum(1) / self.v


def test_a_shrinking_diffusion_is_taken_off_the_lower_value() -> None:
    assert pair().shrinkage(3) == 0.0
    exploding = pair(
        upper_bound_penalty="diffusion",
        score_matching_noise_min=0.5,
        diffusion_schedule="exploding",
    )
    assert exploding.shrinkage(3) == 0.0
    assert pair(upper_bound_penalty="diffusion", score_matching_noise_min=0.5).shrinkage(
        3
    ) == pytest.approx(-1.5 * math.log(1.25))


@pytest.mark.parametrize("lower", ["log-det", "singular"])
def test_a_latent_space_larger_than_the_data_s_has_no_volume(lower: str) -> None:
    generator = build_generator("mlp", SPACE, 5, OPTIONS)
    energy = build_energy("confined", SPACE, OPTIONS)
    with pytest.raises(ValueError, match="--latent-dim 3"):
        BidirectionalBounds(
            energy,
            generator,
            nn.Linear(3, 10),
            Gaussian((5,)),
            RealSpace((3,)),
            entropy_estimator=lower,
        )


def test_samples_carry_the_output_noise() -> None:
    method = pair(entropy_estimator="encoder", upper_bound_penalty="none", output_noise_std=2.0)
    with torch.no_grad():
        for p in method.generator.parameters():
            p.zero_()
    x = method.sample(4000, torch.Generator().manual_seed(0))
    # 12 000 normal draws: 5 standard errors of the standard deviation are 0.065
    assert float(x.std()) == pytest.approx(2.0, abs=0.065)


def test_capabilities_and_claims_depend_on_the_pairing() -> None:
    jacobians, information = (
        pair(),
        pair(entropy_estimator="encoder", upper_bound_penalty="denoising"),
    )
    assert isinstance(jacobians, HasLatentTarget) and jacobians.latent_target == "energy"
    assert not isinstance(information, HasLatentTarget)
    assert information.claims()[0].proved and not jacobians.claims()[0].proved
    assert [claim.side for claim in pair(upper_bound_penalty="none").claims()] == [
        "lower",
        "neither",
    ]


def test_the_probe_is_logged_and_brackets_the_singular_values() -> None:
    method = pair(entropy_estimator="singular", upper_bound_penalty="none", lobpcg_iterations=1)
    rng = torch.Generator().manual_seed(0)
    moves = list(method.round(0, Stream(8, (3,)), rng))
    logs = method.generator_loss(*moves[1].inputs).logs
    assert logs["d_log_s1"] <= logs["d_log_mu"] + 1e-4
    assert logs["d_log_s1"] <= logs["sum_log_s"]
    silent = pair(
        entropy_estimator="singular", upper_bound_penalty="none", jacobian_diagnostics_every=0
    )
    assert "sum_log_s" not in silent.generator_loss(*moves[1].inputs).logs


def test_piecewise_linear_generators_are_warned_of() -> None:
    generator = nn.Sequential(nn.Linear(2, 8), nn.PReLU(), nn.Linear(8, 3))
    with pytest.warns(UserWarning, match="smooth activation"):
        BidirectionalBounds(
            build_energy("confined", SPACE, OPTIONS),
            generator,
            nn.Linear(3, 4),
            PRIOR,
            RealSpace((3,)),
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pair()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"upper_bound_penalty_weight": -1.0}, "upper_bound_penalty_weight"),
        ({"gradient_penalty_power": 0.5}, "power"),
        (
            {
                "entropy_estimator": "encoder",
                "output_noise_std": 0.0,
                "upper_bound_penalty": "none",
            },
            "noise",
        ),
        ({"entropy_estimator": "encoder"}, "information bounds do not give"),
        (
            {
                "upper_bound_penalty": "diffusion",
                "score_matching_noise_min": 3.0,
                "score_matching_noise_max": 1.0,
            },
            "score_matching_noise_min < ",
        ),
        ({"entropy_estimator": "singular", "lobpcg_iterations": -1}, "iterations"),
    ],
)
def test_unusable_options_are_refused_in_a_sentence(options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        pair(**options)
