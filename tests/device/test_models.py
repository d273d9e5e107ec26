"""What a person asks of a trained model, asked of one on the device."""

from __future__ import annotations

from functools import cache
from typing import get_args

import pytest
import torch

from gibbsian.core import Interval
from gibbsian.core.measures import Gaussian, RealSpace
from gibbsian.core.protocols import HasEnergy, HasLatentTarget
from gibbsian.data.photo import Picture
from gibbsian.evaluation import log_partition
from gibbsian.evaluation.log_z.effort import LogZEffort
from gibbsian.models import log_density, refinement
from gibbsian.models.distribution import as_distribution
from gibbsian.models.evaluate import evaluate_run, model_kl
from gibbsian.models.log_density import log_z
from gibbsian.models.model import Model
from gibbsian.models.refinement import KernelName, refine
from gibbsian.models.train import train_config
from gibbsian.models.upscaling import enlarge
from tests.device.pretend import TYPE
from tests.device.small import NAMES, NOT_ENLARGING, data_of, small


@cache
def model_of(name: str) -> Model:
    return train_config(small(name), None, data_of(name))


@pytest.mark.parametrize("name", NOT_ENLARGING)
def test_samples_and_scores(name):
    model, data = model_of(name), data_of(name)
    x = model.sample(5)
    assert x.shape[1:] == data.test.shape[1:]
    if isinstance(model.method, HasEnergy):
        energies = model.energy(data.test[:5].to(TYPE))
        assert torch.equal(energies, model.energy(data.test[:5]))
        assert float(model.percentile_rank(data.test[:5].to(TYPE)).min()) >= 0
        assert float(model.percentile_rank_of_energy(energies.to(TYPE)).min()) >= 0


@pytest.mark.parametrize("name", NOT_ENLARGING)
def test_evaluation(name, monkeypatch):
    monkeypatch.setattr(log_density, "WEIGHTS", 20)
    model, data = model_of(name), data_of(name)
    figures = evaluate_run(model, data, 60, 0, ())
    assert figures["rows"]
    assert figures["anomaly"] is not None or not isinstance(model.method, HasEnergy)


REFINED = [("gan", kernel) for kernel in get_args(KernelName)]
REFINED += [("cd", kernel) for kernel in ("langevin", "hmc", "independence")]
REFINED += [(name, "mala") for name in ("bidirectional", "flow", "gebm", "nce", "score-matching")]
REFINED += [(name, "langevin") for name in ("transition-vgan", "vgan")]


@pytest.mark.parametrize(("name", "kernel"), REFINED)
def test_refinement(name, kernel, monkeypatch):
    monkeypatch.setattr(refinement, "WARM_UP", 20)
    monkeypatch.setattr(refinement, "WARM_CHAINS", 4)
    model = model_of(name)
    if kernel == "independence" and not isinstance(model.method, HasLatentTarget):
        with pytest.raises(ValueError, match="prior to propose from"):
            refine(model, 4, kernel, 20)
        return
    step_size = None if kernel == "mala" else 0.01
    x, chains = refine(model, 4, kernel, 20, step_size=step_size, decay=0.5, decay_every=10)
    assert x.isfinite().all()
    assert chains.draws.device.type == TYPE


@pytest.mark.parametrize("name", NOT_ENLARGING)
def test_distributions_take_and_give_the_devices_tensors(name):
    model, data = model_of(name), data_of(name)
    distribution = as_distribution(model)
    x = distribution.sample((3, 2))
    assert x.device.type == TYPE
    support = distribution.support.check(data.test[:4].to(TYPE))
    assert support.device.type == TYPE
    if not isinstance(distribution.log_z, Interval) and not model.method.directed:
        return
    value = data.test[:4].to(TYPE)
    below, above = distribution.log_prob_bounds(value)
    assert below.device.type == above.device.type == TYPE
    on_host = distribution.log_prob_bounds(data.test[:4])
    assert torch.equal(on_host[0], below.cpu())


def test_log_z_and_divergence_agree_with_those_on_the_cpu(tmp_path):
    """The same weights on both devices: the same quadrature, up to rounding."""
    there, data = model_of("vgan"), data_of("vgan")
    there.save_pretrained(tmp_path)
    here = Model.from_pretrained(tmp_path)
    found = []
    for model in (there, here):
        z = log_z(model, model.to_network_units(data.train[:100]), 0)
        kl = model_kl(model, data, z)
        found.append((z.lower.value, kl.value))
    assert found[0] == pytest.approx(found[1], abs=1e-6)


def test_log_z_beyond_three_dimensions():
    """On R^d and under a Gaussian, where annealing starts from a normal fit or from the base."""

    def energy(x):
        return 0.5 * x.square().sum(1)

    truth = 2.5 * torch.log(torch.tensor(2 * torch.pi)).item()
    effort = LogZEffort(draws=512, particles=64, runs=2, run_particles=64, pilot=64, moves=2)
    rng = torch.Generator(TYPE).manual_seed(0)
    near = torch.randn(200, 5, generator=torch.Generator().manual_seed(1))  # rows on the host
    for measure, log_truth, points in (
        (RealSpace((5,)), truth, near),
        (Gaussian((5,)), -2.5 * torch.log(torch.tensor(2.0)).item(), None),
    ):
        found = log_partition(energy, measure, rng=rng, reference_points=points, effort=effort)
        assert isinstance(found, Interval)
        assert found.lower.value == pytest.approx(log_truth, abs=0.5)


def test_upscaling():
    model, data = model_of("super-resolution"), data_of("super-resolution")
    picture = Picture(data.test[0].float() / 16, None, 17)
    found = enlarge(model, picture, torch.Generator(TYPE).manual_seed(0), tile=16)
    assert found.shape == (1, 16, 16)
    x = model.sample(2, given=data.test[0, :, ::2, ::2])
    assert x.shape == (2, 1, 8, 8)


def test_parts_of_an_observation_are_filled_in():
    model, data = model_of("bihm"), data_of("bihm")
    x, kept = data.test[0], torch.zeros(data.test.shape[1:], dtype=torch.bool)
    kept.view(-1)[:8] = True
    found = model.inpaint(3, x, kept)
    assert torch.equal(found[:, kept], x[kept].expand(3, -1))


@pytest.mark.parametrize("name", NAMES)
def test_models_are_saved_and_loaded_across_devices(name, tmp_path):
    model_of(name).save_pretrained(tmp_path)
    for device in ("cpu", TYPE):
        again = Model.from_pretrained(tmp_path, device=device)
        assert again.device.type == device
