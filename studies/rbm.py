"""Restricted Boltzmann machines: KL and log Z against enumeration where small, both sides where large.

*16 + 10 units* on the bits of 4 x 4 digits, three seeds: persistent contrastive divergence, 256 chains of
one Gibbs step, Adam at 0.05 falling to 0 over 4 000 rounds of 256 rows. The Kullback-Leibler divergence of
the training rows' empirical distribution to the model is exact, log Z summed over the hidden units'
2^10 states; beside it that of independent bits. The interval is what annealing finds that is not
told the sum.

*784 + 500 units* on statically binarised MNIST (``binarized-mnist``), one seed: 100 persistent chains of one
Gibbs step, batches of 100, Adam at 0.001 falling to 0, averaged weights, 4 000 rounds. log Z is annealed
from the base rates of 2 000 training rows and from fair coins; the reverse pass starts at 256 chains
that go on from the persistent ones. The mean log-likelihood is over all 10 000 test rows, relative to
counting measure; its lower side rests on reverse annealing from approximate samples and is an
estimate. The rounds are few, two CPU minutes; a rate of 0.003 was tried once and stopped after 2 400 rounds,
its chains 17 nats behind.

Claims tested: the enumerated log Z lies within 4 standard errors of the interval's sides, the divergence
is below 60 % of that of independent bits, for all three seeds; the sides on MNIST are no more than
5 nats apart.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import cast
from unittest.mock import patch

import torch
from torch import Generator, Tensor

from gibbsian import data as datasets
from gibbsian.config.config import Config, plain, replace
from gibbsian.core import Interval
from gibbsian.core.measures import Counting
from gibbsian.evaluation import held_out_log_likelihood
from gibbsian.evaluation.log_z import boltzmann
from gibbsian.evaluation.log_z.enumeration import exact_log_partition
from gibbsian.models.train import train
from gibbsian.networks import RBMEnergy
from gibbsian.samplers import RBM
from studies.harness import Result, Study, run_study

SEEDS = (0, 1, 2)
LARGE = "784 + 500 units, binarized-mnist"


def configured(data: str, hidden: int, rounds: int, batch: int, chains: int, lr: float) -> Config:
    """Persistent contrastive divergence with one Gibbs step a round."""
    return replace(
        plain("cd", data),
        energy={"name": "rbm", "hidden": hidden},
        energy_optimizer={"lr": lr, "lr_schedule": "cosine"},
        training={"rounds": rounds, "batch": batch, "ema": 0.999, "device": "cpu", "save_every": 0},
        chains=chains,
        sampler={"steps": 1},
    )


def sides(interval: Interval) -> Result:
    """Both sides with their standing, and the warnings."""
    found: Result = {"warnings": list(interval.warnings)}
    for name in ("lower", "upper"):
        side = getattr(interval, name)
        found[name] = {"value": side.value, "stderr": side.stderr, "standing": side.standing}
    return found


def unknown(energy: object) -> None:
    """Stands for the sum that the interval must not know."""


def small(seed: int, quick: bool) -> Result:
    """A machine whose log Z is a sum of 2^10 terms."""
    config = configured("digits-4-binary", 10, 100 if quick else 4_000, 256, 256, 0.05)
    model = train(replace(config, training={"seed": seed}))
    energy = cast("RBMEnergy", model.method.energy)
    x = datasets.load_dataset("digits-4-binary").train.float()
    rows, counts = torch.unique(x, dim=0, return_counts=True)
    p = (counts / counts.sum()).double()
    exact, machine = exact_log_partition(energy), RBM.behind(energy)
    assert exact is not None and machine is not None
    log_z = exact.lower.value
    with torch.no_grad():
        log_model = -energy(rows).double() - log_z
    rng = Generator().manual_seed(seed)
    with patch.object(boltzmann, "exact_log_partition", unknown):
        found = boltzmann.machine_log_partition(machine, rng=rng, points=x)
    assert isinstance(found, Interval)
    return {
        "divergence": float((p * (p.log() - log_model)).sum()),
        "independent": divergence_of_bits(rows, p),
        "log_z": log_z,
        "interval": sides(found),
    }


def divergence_of_bits(rows: Tensor, p: Tensor) -> float:
    """Of the distribution ``p`` on ``rows`` to independent bits of the same means."""
    rate = (p @ rows.double()).clamp(1e-9, 1 - 1e-9)
    log_bits = (rows * rate.log() + (1 - rows) * (-rate).log1p()).sum(1)
    return float((p * (p.log() - log_bits)).sum())


def large(quick: bool) -> Result:
    """A machine of 500 hidden units on MNIST's bits."""
    name = "digits-binary" if quick else "binarized-mnist"
    begun = time.process_time()
    rounds, hidden = (50, 30) if quick else (4_000, 500)
    model = train(configured(name, hidden, rounds, 100, 100, 1e-3))
    trained = time.process_time()
    energy = cast("RBMEnergy", model.method.energy)
    machine, measure = RBM.behind(energy), model.method.measure
    assert machine is not None and isinstance(measure, Counting)
    data, rng = datasets.load_dataset(name), Generator().manual_seed(1)
    train_rows, test = data.train[:2_000].float(), data.test.float()
    samples = model.method.sample(256, rng)
    found = boltzmann.machine_log_partition(
        machine,
        rng=rng,
        points=train_rows,
        samples=samples,
    )
    assert isinstance(found, Interval)
    likelihood = held_out_log_likelihood(energy, measure, found, test)
    assert isinstance(likelihood, Interval)
    rate = ((data.train.double().sum(0) + 1) / (len(data.train) + 2)).float()
    bits = (test * rate.log() + (1 - test) * (-rate).log1p()).sum(1)
    estimates = found.lower.diagnostics["estimates"]
    return {
        "log_z": sides(found),
        "log_p": sides(likelihood),
        "independent": float(bits.mean()),
        "estimates": {k: [e.value, e.stderr] for k, e in estimates.items()},
        "train_cpu": trained - begun,
        "log_z_cpu": time.process_time() - trained,
    }


def cells(quick: bool) -> Mapping[str, Callable[[], Result]]:
    """The small machine by seed, and the large one."""
    found: dict[str, Callable[[], Result]] = {}
    for seed in SEEDS[:1] if quick else SEEDS:
        found[f"16 + 10 units, digits-4-binary, seed {seed}"] = partial(small, seed, quick)
    return found | {LARGE: partial(large, quick)}


def side_text(side: Mapping[str, float | str]) -> str:
    """value ± error (standing)."""
    return f"{side['value']:.2f} ± {side['stderr']:.2f} ({side['standing']})"


def verdict(results: Mapping[str, Result]) -> dict[str, bool]:
    """The claims that were fixed before running, as far as their cells have been run."""
    small_ones = [cell for name, cell in results.items() if name != LARGE]
    found: dict[str, bool] = {}
    if small_ones:
        found["the enumerated log Z is within 4 standard errors of both sides"] = all(
            abs(cell["interval"][side]["value"] - cell["log_z"])
            <= 4 * cell["interval"][side]["stderr"]
            for cell in small_ones
            for side in ("lower", "upper")
        )
        found["the divergence is below 60 % of that of independent bits"] = all(
            cell["divergence"] < 0.6 * cell["independent"] for cell in small_ones
        )
    if LARGE in results:
        sides_ = results[LARGE]["log_p"]
        found["the sides on MNIST are no more than 5 nats apart"] = (
            sides_["upper"]["value"] - sides_["lower"]["value"] <= 5
        )
    return found


def render(results: Mapping[str, Result]) -> str:
    """The Markdown of both tables."""
    lines = [
        "| machine | KL(data, model) | of independent bits | log Z, enumerated | lower side | upper side |",
        "|---|---|---|---|---|---|",
    ]
    for name, cell in results.items():
        if name == LARGE:
            continue
        low, high = cell["interval"]["lower"], cell["interval"]["upper"]
        lines.append(
            f"| {name} | {cell['divergence']:.3f} | {cell['independent']:.3f} | {cell['log_z']:.3f} | "
            f"{side_text(low)} | {side_text(high)} |"
        )
    if LARGE in results:
        cell = results[LARGE]
        low, high = cell["log_p"]["lower"], cell["log_p"]["upper"]
        lines += [
            "",
            "| machine | log p of the test rows, lower side | upper side | independent bits | CPU seconds of "
            "training | of log Z |",
            "|---|---|---|---|---|---|",
            f"| {LARGE} | {side_text(low)} | {side_text(high)} | {cell['independent']:.2f} | "
            f"{cell['train_cpu']:.0f} | {cell['log_z_cpu']:.0f} |",
            "",
            *(f"Warned: {warning}." for warning in cell["log_p"]["warnings"]),
        ]
    lines += [
        "",
        *(f"- {c}: {'yes' if held else '**no**'}" for c, held in verdict(results).items()),
    ]
    return "\n".join(lines)


STUDY = Study("rbm", __doc__ or "", cells, render)

if __name__ == "__main__":
    sys.exit(run_study(STUDY))
