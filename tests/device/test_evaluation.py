"""Every metric and every estimator on tensors of the device finds what it finds on the CPU."""

from __future__ import annotations

import math
from dataclasses import astuple, is_dataclass
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.distributions import MultivariateNormal

from gibbsian import evaluation, samplers
from gibbsian.core import Estimate, Interval
from gibbsian.core.measures import Box, Counting, Gaussian, RealSpace
from gibbsian.evaluation import METRICS, build_metric, log_partition
from gibbsian.evaluation.log_z.effort import LogZEffort
from gibbsian.evaluation.metrics.class_scores import clipped_kl_score
from gibbsian.evaluation.metrics.detection import detection_scores
from gibbsian.evaluation.metrics.discrepancy import median_bandwidths
from gibbsian.evaluation.metrics.image_quality import bootstrap
from gibbsian.evaluation.metrics.probe import Labelled
from tests.device.pretend import TYPE

DEVICES = ("cpu", TYPE)


def rng_on(device: str, seed: int = 0) -> Generator:
    return Generator(device).manual_seed(seed)


def rows(n: int, *shape: int, seed: int = 1) -> Tensor:
    return torch.randn(n, *shape, generator=rng_on("cpu", seed))


def numbers(found: Any) -> list[float]:
    """The numbers in a result, in order."""
    if isinstance(found, Estimate):
        return [found.value, found.stderr]
    if isinstance(found, Interval):
        return [*numbers(found.lower), *numbers(found.upper)]
    if isinstance(found, Tensor):
        return found.cpu().double().flatten().tolist()
    if isinstance(found, int | float):
        return [float(found)]
    if is_dataclass(found):
        found = astuple(found)
    return [number for part in found for number in numbers(part)] if found else []


def agree(here: Any, there: Any, tolerance: float = 1e-4) -> None:
    """The same draws on both devices, so that only rounding may differ."""
    assert numbers(here), "no numbers to compare"
    assert numbers(there) == pytest.approx(numbers(here), rel=tolerance, abs=tolerance, nan_ok=True)


@pytest.mark.parametrize("name", ["frechet", *METRICS])
def test_metrics_by_name(name):
    scores = name in ("auroc", "aupr-anomalous", "aupr-normal", "fpr95")
    shape = () if scores else (3,)
    x, y = rows(80, *shape), rows(80, *shape, seed=2) + 0.5
    found = []
    for device in DEVICES:
        metric = build_metric(name, 0)
        if name == "inception-type":
            metric.update(y.log_softmax(1).to(device), real=False)
        else:
            metric.update(x.to(device), real=True)
            metric.update(y.to(device), real=False)
        found.append(metric.compute())
    agree(*found)


LABELS = torch.randint(4, (60,), generator=rng_on("cpu", 3))
FUNCTIONS = {
    "bootstrap": lambda d: bootstrap(rows(50).to(d), rng_on(d)),
    "class_coverage": lambda d: evaluation.class_coverage(LABELS.to(d), 4),
    "entropy_of_class_counts": lambda d: evaluation.entropy_of_class_counts(LABELS.to(d), 4),
    "clipped_kl_score": lambda d: clipped_kl_score(rows(60, 4).log_softmax(1).to(d), rng_on(d)),
    "inception_type_score": lambda d: evaluation.inception_type_score(
        rows(60, 4).log_softmax(1).to(d), rng_on(d)
    ),
    "detection_scores": lambda d: detection_scores(
        rows(40).to(d), rows(40, seed=2).to(d) + 1, rng_on(d)
    ),
    "kale_with_kernel": lambda d: evaluation.kale_with_kernel(
        rows(60, 2).to(d), rows(60, 2, seed=2).to(d), rng_on(d), landmarks=20
    ),
    "kernel_distance": lambda d: evaluation.kernel_distance(
        rows(40, 2).to(d), rows(40, 2, seed=2).to(d)
    ),
    "gaussian_mmd": lambda d: evaluation.gaussian_mmd(rows(40, 2).to(d), rows(40, 2, seed=2).to(d)),
    "median_bandwidths": lambda d: median_bandwidths(rows(40, 2).to(d)),
    "mode_coverage": lambda d: evaluation.mode_coverage(
        rows(60, 2).to(d), torch.tensor([[0.0, 0.0], [1.0, 1.0]], device=d), 0.5
    ),
    "mode_coverage, modes on the host": lambda d: evaluation.mode_coverage(
        rows(60, 2).to(d), torch.tensor([[0.0, 0.0], [1.0, 1.0]]), 0.5
    ),
    "psnr": lambda d: evaluation.psnr(rows(2, 1, 12, 12).to(d), rows(2, 1, 12, 12, seed=2).to(d)),
    "ssim": lambda d: evaluation.ssim(rows(2, 1, 12, 12).to(d), rows(2, 1, 12, 12, seed=2).to(d)),
    "texture_distance": lambda d: evaluation.texture_distance(
        rows(2, 1, 16, 16).to(d), rows(2, 1, 16, 16, seed=2).to(d)
    ),
    "gaussian_score": lambda d: evaluation.gaussian_anomaly_score(rows(50, 3).to(d))(
        rows(9, 3, seed=2).to(d)
    ),
    "pca_score": lambda d: evaluation.pca_anomaly_score(rows(50, 3).to(d))(
        rows(9, 3, seed=2).to(d)
    ),
    "auroc": lambda d: evaluation.auroc(rows(30).to(d), rows(30, seed=2).to(d) + 1),
    "linear_probe": lambda d: evaluation.linear_probe(
        *(Labelled(rows(60, 3, seed=s).to(d), LABELS.to(d)) for s in (1, 2, 3))
    ),
    "grid_sum": lambda d: samplers.log_partition_on_grid(
        half_square, -6, 6, 2, 40, torch.square, device=d
    ),
    "resample_by_weight": lambda d: samplers.resample_by_weight(rows(20).to(d), 9, rng_on(d)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_metrics_and_scores(name):
    agree(FUNCTIONS[name]("cpu"), FUNCTIONS[name](TYPE))


def half_square(x: Tensor) -> Tensor:
    return 0.5 * x.flatten(1).square().sum(1)


def test_kale_by_a_network():
    torch.manual_seed(0)
    energy = nn.Sequential(nn.Linear(2, 8), nn.SiLU(), nn.Linear(8, 1), nn.Flatten(0))
    found = []
    for device in DEVICES:
        x, y = rows(60, 2).to(device), rows(60, 2, seed=2).to(device) + 1
        net = nn.Sequential(*energy).to(device)
        found.append(evaluation.kale_with_network(x, y, net, rng_on(device), steps=5, batch=20))
    assert all(math.isfinite(value) for estimate in found for value in numbers(estimate))


LOG_Z = {
    "quadrature": (RealSpace((2,)), ("quadrature",), math.log(2 * math.pi)),
    "enumeration": (Counting((3,)), ("quadrature",), 3 * math.log1p(math.exp(-0.5))),
    "importance": (Gaussian((2,)), ("importance",), -math.log(2)),
    "ais": (RealSpace((2,)), ("ais",), math.log(2 * math.pi)),
    "reverse-ais": (RealSpace((2,)), ("reverse-ais",), math.log(2 * math.pi)),
    "smc": (RealSpace((2,)), ("smc",), math.log(2 * math.pi)),
    "bridge": (RealSpace((2,)), ("bridge",), math.log(2 * math.pi)),
    "thermodynamic": (RealSpace((2,)), ("thermodynamic",), math.log(2 * math.pi)),
    "box": (Box((2,), -6.0, 6.0), ("ais", "smc"), math.log(2 * math.pi)),
    "bits": (Counting((3,)), ("ais", "importance"), 3 * math.log1p(math.exp(-0.5))),
}
SMALL = LogZEffort(draws=400, particles=64, runs=2, run_particles=64, pilot=64, moves=2)


@pytest.mark.parametrize("name", LOG_Z)
def test_log_z(name):
    measure, methods, truth = LOG_Z[name]
    near = rows(200, 2) if isinstance(measure, RealSpace) else None
    found = log_partition(
        half_square, measure, rng=rng_on(TYPE), reference_points=near, methods=methods, effort=SMALL
    )
    assert isinstance(found, Interval), found
    # Seeded; the spread of these small efforts is below 0.1 nats.
    assert found.lower.value == pytest.approx(truth, abs=0.5)


@pytest.mark.parametrize("measure", [RealSpace((5,)), Box((5,), -8.0, 8.0)])
def test_log_z_by_a_mixture(measure: RealSpace | Box):
    """In double precision beside an energy that has it or not; at most 4 standard errors off, 6e-5."""
    found = log_partition(
        half_square,
        measure,
        rng=rng_on(TYPE),
        reference_points=rows(200, 5).to(TYPE),
        effort="quick",
    )
    assert isinstance(found, Interval), found
    truth = 2.5 * math.log(2 * math.pi)
    assert found.lower.value - 4 * found.lower.stderr <= truth
    assert truth <= found.upper.value + 4 * found.upper.stderr


def test_log_z_from_a_distribution_of_torch():
    proposal = MultivariateNormal(torch.zeros(2, device=TYPE), torch.eye(2, device=TYPE))
    mine = getattr(torch, TYPE)
    before = mine.get_rng_state()
    found = log_partition(
        half_square,
        RealSpace((2,)),
        rng=rng_on(TYPE),
        proposal=proposal,
        methods=("importance",),
        effort=SMALL,
    )
    assert found.lower.value == pytest.approx(math.log(2 * math.pi), abs=1e-4)
    assert torch.equal(mine.get_rng_state(), before)


def test_bounds_on_log_z():
    x = rows(200, 2).to(TYPE)
    entropy = torch.full((200,), 1 + math.log(2 * math.pi), device=TYPE)
    below = evaluation.log_z_lower_variational(
        half_square, RealSpace((2,)), (x, entropy), is_bound=True, how="exact draws"
    )
    assert below.value == pytest.approx(math.log(2 * math.pi), abs=0.3)

    def log_q(x: Tensor) -> Tensor:
        return -half_square(x) - math.log(2 * math.pi)

    above = evaluation.log_z_upper_strong_convexity(
        half_square, RealSpace((2,)), log_q, x, convexity=1.0, how="exact draws"
    )
    assert above.value == pytest.approx(math.log(2 * math.pi), abs=1e-3)
    latent = evaluation.log_z_upper_log_sobolev(half_square, 3.0, 2, rng_on(TYPE), draws=64)
    assert math.isfinite(latent.value)


def test_samplers_without_chains():
    proposal = Gaussian((2,), 1.5)
    rng = rng_on(TYPE)
    exact = samplers.rejection_sampling(
        half_square, proposal, math.log(2 * math.pi * 2.25) + 0.01, 50, rng
    )
    weighted = samplers.importance_sampling(half_square, proposal, 200, rng)
    again = samplers.sir(half_square, proposal, 200, 20, rng)
    for draws in (exact, weighted, again):
        assert draws.x.device.type == TYPE
        assert draws.log_z.value == pytest.approx(math.log(2 * math.pi), abs=0.5)
