"""Figure 3 of Kingma and Welling (2014), and the row by row check of the likelihoods behind it.

log p(x) of a row by importance sampling from a fitted posterior below five latent dimensions, by
annealing from there on. Each estimate is held against its own evidence lower bound and importance bound
(500 draws of q), with the Pareto k-hat of its weights; at the end of figure 3 also against importance
sampling from a posterior on a grid of the latent space, which looks for no modes. A row that fails is
left out of the mean and counted.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from gibbsian import data as datasets
from gibbsian.core import TrainingMethod
from gibbsian.core.measures import Gaussian
from gibbsian.core.numerics import log_mean_exp
from gibbsian.core.protocols import HasDecoder, HasLogWeights
from gibbsian.data import Dataset
from gibbsian.evaluation.log_z.directed import (
    below_their_bound,
    looked_at_closely,
    mean_weights,
)
from gibbsian.evaluation.log_z.posterior import PosteriorLikelihood, posterior_likelihood
from gibbsian.methods import VAE
from gibbsian.methods.mcem import MonteCarloEM
from gibbsian.models.build import assemble, whole
from gibbsian.samplers.draws import importance_ess
from gibbsian.training import run_training_loop
from studies.aevb_training import (
    BATCH,
    CONTESTANTS,
    PILOT,
    RATES,
    begun,
    configured,
    in_nats,
    units_of,
)
from studies.harness import Result

MARKS = (100_000, 200_000, 500_000, 1_000_000)
SEEDS, SMALL, ROWS, PILOT_ROWS, WEIGHTS = 1, 1_000, 100, 25, 500
PARTS = ("train", "test")
CHECKED, FEW = 100_000, {True: 20, False: 8}
"""Observations before figure 2's networks are checked, and rows: below five latent dimensions, and above."""
HALF_WIDTH, POINTS, GRID_DRAWS, WIDE, COUNTS = 4.5, 91, 2_000, 0.1, 50
"""The grid's half width and points a side; its draws a row, the prior's share, how many must count."""


def marginal(contestant: str, seed: int, quick: bool) -> Result:
    """One curve of figure 3: the best rate of a pilot, then falling to 0 over the run."""
    data = datasets.load_dataset("digits-binary" if quick else "binarized-mnist")
    data = dataclasses.replace(data, train=data.train[:SMALL])
    marks = (1_000, 2_000) if quick else MARKS
    found = {rate: piloted(contestant, data, rate, seed, quick) for rate in RATES}
    best = max(RATES, key=found.__getitem__)
    progress, config = prepared(contestant, data, best, seed, quick, "linear")
    curve: list[Result] = []
    begun_at, looking = time.process_time(), 0.0

    def look(row: Mapping[str, float]) -> None:
        nonlocal looking
        seen, at = round(row["round"]) * BATCH, time.process_time()
        if seen in marks:
            last = seen == marks[-1]
            curve.append({"seen": float(seen), "seconds": round(at - begun_at - looking, 1)})
            for part in PARTS:
                rows = getattr(data, part)[: 5 if quick else ROWS]
                curve[-1] |= checked(progress.method, data, rows, part, seed, grid=last)
        looking += time.process_time() - at

    rounds = {"rounds": marks[-1] // BATCH, "log_every": marks[0] // BATCH}
    run_training_loop(progress, dataclasses.replace(config.training, **rounds), watch=look)
    return {
        "lr": best,
        "pilot": {str(rate): value for rate, value in found.items()},
        "curve": curve,
    }


def prepared(
    contestant: str,
    data: Dataset,
    rate: float,
    seed: int,
    quick: bool,
    schedule: Literal["constant", "linear"],
) -> Any:
    """The run of a contestant of figure 3 before its first round, and its configuration."""
    units, latent = (20, 3) if quick else (100, 3)
    estimator = CONTESTANTS.get(contestant, "b")
    config = configured(data.name, estimator, latent, units, len(data.train), rate, schedule)
    method: TrainingMethod = assemble(config, data.space)
    if contestant == "MCEM":
        assert isinstance(method, VAE)
        prior, measure = Gaussian((latent,)), whole(data.space)
        method = MonteCarloEM(method.decoder, prior, measure, points=len(data.train))
    return begun(method, config, data, seed), config


def piloted(contestant: str, data: Dataset, rate: float, seed: int, quick: bool) -> float:
    """The marginal likelihood of the first training rows after a rate's first observations."""
    progress, config = prepared(contestant, data, rate, seed, quick, "constant")
    rounds = (1_000 if quick else PILOT) // BATCH
    run_training_loop(progress, dataclasses.replace(config.training, rounds=rounds))
    method, rng = progress.method, torch.Generator().manual_seed(seed)
    x = data.transform.encode(data.train[: 5 if quick else PILOT_ROWS], rng)
    return float(posterior_likelihood(method.decoded, method.prior, x, rng).lower.mean())


def check(name: str, latent: int, contestant: str, seed: int, quick: bool) -> Result:
    """Networks of figure 2 after ``CHECKED`` observations: the likelihood of some rows and their bounds."""
    data = datasets.load_dataset("digits-binary" if quick else name)
    settings = (name, CONTESTANTS[contestant], latent, units_of(name, quick), len(data.train))
    rng = torch.Generator().manual_seed(seed)
    seen = x = data.transform.encode(data.train[:1_000], rng)
    runs = {}
    for rate in RATES:
        config = configured(*settings, rate)
        progress = begun(assemble(config, data.space), config, data, seed)
        rounds = (1_000 if quick else PILOT) // BATCH
        run_training_loop(progress, dataclasses.replace(config.training, rounds=rounds))
        assert isinstance(progress.method, VAE)
        bound = mean_weights(progress.method.log_weights, seen, 1, rng)
        runs[rate] = (float(bound.log_mean.mean()), progress, config)
    rate = max(runs, key=lambda r: runs[r][0])
    _, progress, config = runs[rate]
    rounds = (2_000 if quick else CHECKED) // BATCH
    run_training_loop(progress, dataclasses.replace(config.training, rounds=rounds))
    found: Result = {"lr": rate, "seen": float(rounds * BATCH)}
    for part in PARTS:
        x = getattr(data, part)[: 4 if quick else FEW[latent < 5]]
        found |= checked(progress.method, data, x, part, seed)
    return found


def checked(
    method: Any, data: Dataset, rows: Tensor, part: str, seed: int, grid: bool = False
) -> Result:
    """The estimate of every row, the mean of those that pass, and what the others failed at."""
    rng = torch.Generator().manual_seed(seed)
    assert isinstance(method, HasDecoder)
    x, nats = data.transform.encode(rows, rng), in_nats(data)
    found = looked_at_closely(method.decoded, method.prior, x, rng)
    failed = ~found.reliable
    report: Result = {"rows": len(x), "unreliable": int(failed.sum())}
    if isinstance(found, PosteriorLikelihood):
        report["largest k-hat"] = round(float(found.k_hat.max()), 2)
    if isinstance(method, HasLogWeights):
        bound = mean_weights(method.log_weights, x, WEIGHTS, rng)
        below = below_their_bound(found, bound)
        failed = failed | below
        gap, error = found.lower - bound.elbo, torch.hypot(found.stderr, bound.elbo_stderr)
        report |= {"below bound": int(below.sum()), "elbo": float(bound.elbo.mean()) + nats}
        report |= {"smallest gap": float(gap.min()), "its errors": float((gap / error).min())}
        report["importance bound"] = float(bound.log_mean.mean()) + nats
    if grid:
        assert isinstance(method, VAE | MonteCarloEM)
        again, ess = grid_likelihood(method.decoder, method.prior, x, rng)
        # Both miss mass rather than invent it: what counts is how much the grid finds beyond the estimate.
        more = (again - found.lower)[ess >= COUNTS]
        report |= {"grid": float(again.mean()), "grid rows": len(more)}
        report |= {"grid above": float(more.max()), "grid below": float(-more.min())}
    return {
        part: float((found.lower + nats)[~failed].mean()),
        f"{part} rows": [round(v, 3) for v in (found.lower + nats).tolist()],
        f"{part} failed": failed.nonzero()[:, 0].tolist(),
        f"{part} check": report,
    }


@torch.no_grad()
def grid_likelihood(
    decoder: nn.Module, prior: Gaussian, x: Tensor, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """log p(x) of bits ``x [B, *event]`` and the effective draws, by draws from cells of a latent grid.

    A cell's probability is the root of the posterior's at its centre, so that narrow modes are covered too.
    """
    axis, dims = torch.linspace(-HALF_WIDTH, HALF_WIDTH, POINTS), prior.shape[0]
    step, centres = float(axis[1] - axis[0]), torch.cartesian_prod(*[axis] * dims)
    log_joint = x.new_empty(len(x), len(centres))
    for start in range(0, len(centres), 10_000):
        z = centres[start : start + 10_000]
        a = decoder(z).flatten(1)
        log_joint[:, start : start + len(z)] = (
            x.flatten(1) @ a.T - softplus(a).sum(1) + prior.log_density(z)
        )
    values, ess = [], []
    for row, log_p in zip(x, log_joint, strict=True):
        share = (0.5 * log_p.double()).softmax(0)
        pick = torch.multinomial(share, GRID_DRAWS, replacement=True, generator=rng)
        z = centres[pick] + step * (torch.rand(GRID_DRAWS, dims, generator=rng) - 0.5)
        wide = torch.rand(GRID_DRAWS, 1, generator=rng) < WIDE
        z = torch.where(wide, prior.sample(GRID_DRAWS, rng), z)
        index = ((z + HALF_WIDTH) / step).round().long()
        inside = ((index >= 0) & (index < POINTS)).all(1)
        flat = (index.clamp(0, POINTS - 1) * POINTS ** torch.arange(dims).flip(0)).sum(1)
        density = torch.where(inside, share[flat] / step**dims, 0.0) * (1 - WIDE)
        log_prior = prior.log_density(z).double()
        a = decoder(z).flatten(1)
        joint = a @ row.flatten() - softplus(a).sum(1) + log_prior
        log_w = joint - (density + WIDE * log_prior.exp()).log()
        values.append(log_mean_exp(log_w, 0))
        ess.append(importance_ess(log_w))
    return torch.stack(values), torch.stack(ess)
