"""Figures 2 and 3 of Kingma and Welling (2014): AEVB against wake-sleep and Monte-Carlo EM.

Fixed before running. Figure 2: the lower bound per observation on training and test rows against the
number of observations seen, 3e6 at most: binarised MNIST with 500 tanh units and N_z in {3, 20, 200}, Frey
faces with 200 units and N_z in {2, 10}, Adagrad at 0.02, batches of 100, one sample, weights from N(0,
0.1^2), the decay of a standard normal prior on all weights. Frey faces in nats on the scale [0, 1] of a
pixel. Figure 3: N_z = 3, 100 units, the first 1000 digits to learn from; the marginal likelihood by the
estimator of the paper's appendix D (optimistic) on 100 rows of train and test, for the same number of
observations seen. Wake-sleep's bound is computed with its own q.

Claims tested: AEVB ends higher than wake-sleep in every panel, on train and test; the gap between train and
test does not grow with N_z by more than a tenth of itself.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import torch
from torch import Tensor

from gibbsian import data as datasets
from gibbsian.assemble import assemble, whole
from gibbsian.config import Config, config_type, replace
from gibbsian.core import HasDecoder, Method
from gibbsian.data import Dataset, Stream
from gibbsian.evaluation import by_fitted_posterior, mean_weights
from gibbsian.measures import Gaussian
from gibbsian.methods import VAE
from gibbsian.methods.mcem import MonteCarloEM
from gibbsian.training import Progress, fit, start
from studies.harness import Result, Study, run_study

SEEN = (10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000)
BATCH, STD = 100, 0.1
PANELS = [*(("binarized-mnist", n) for n in (3, 20, 200)), *(("frey-faces", n) for n in (2, 10))]
CONTESTANTS = {"AEVB": "b", "wake-sleep": "wake-sleep"}
ROWS, CLOSE, SMALL = 1_000, 100, 1_000


def configured(data: str, estimator: str, latent: int, units: int, rows: int) -> Config:
    """The paper's networks and optimiser."""
    tanh = {"width": units, "depth": 1, "activation": "tanh"}
    return replace(
        config_type("vae")(data=data),
        box="none",
        training={"batch": BATCH, "device": "cpu", "save_every": 0},
        latent=latent,
        estimator=estimator,
        decoder_net=tanh,
        encoder_net=tanh,
        model_optimiser={"name": "adagrad", "rate": 0.02, "weight_decay": 1.0 / rows},
    )


def begun(method: Method, config: Config, data: Dataset, seed: int) -> Progress:
    """A run before its first round, all weights from N(0, STD^2)."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.copy_(STD * torch.randn(parameter.shape, generator=rng))
    stream = Stream(data.train, data.transform, BATCH, seed)
    training = dataclasses.replace(config.training, seed=seed)
    return start(method, {"model": getattr(config, "model_optimiser")}, training, stream)  # noqa: B009


def marks(
    progress: Progress, config: Config, seen: tuple[int, ...], per_round: int
) -> Iterator[int]:
    """Train on; hand out the number of observations seen at every mark."""
    for count in seen:
        rounds = max(1, count // per_round)
        fit(progress, dataclasses.replace(config.training, rounds=rounds))
        yield count


def in_nats(data: Dataset) -> float:
    """What turns a log-density in the networks' units into one on pixels of [0, 1]."""
    if data.space.kind == "binary":
        return 0.0
    return data.transform.log_jacobian + math.prod(data.space.shape) * math.log(256)


def bound(name: str, latent: int, contestant: str, seed: int, quick: bool) -> Result:
    """One curve of figure 2."""
    data = datasets.load("digits-binary" if quick else name)
    units = 20 if quick else 200 if name.startswith("frey") else 500
    config = configured(name, CONTESTANTS[contestant], latent, units, len(data.train))
    method = assemble(config, data.space)
    assert isinstance(method, VAE)
    rng, curve = torch.Generator().manual_seed(seed), []
    rows = {
        part: data.transform.encode(getattr(data, part)[:ROWS], rng) for part in ("train", "test")
    }
    progress = begun(method, config, data, seed)
    for count in marks(progress, config, SEEN[:1] if quick else SEEN, BATCH):
        mark = {"seen": float(count)}
        for part, x in rows.items():
            elbo = mean_weights(method.log_weights, x, 1, rng).log_mean
            mark[part] = float(elbo.mean()) + in_nats(data)
        curve.append(mark)
    return {"curve": curve}


def marginal(contestant: str, seed: int, quick: bool) -> Result:
    """One curve of figure 3."""
    data = datasets.load("digits-binary" if quick else "binarized-mnist")
    data = dataclasses.replace(data, train=data.train[:SMALL])
    units, latent = (20, 3) if quick else (100, 3)
    estimator = CONTESTANTS.get(contestant, "b")
    config = configured(data.name, estimator, latent, units, len(data.train))
    method: Method = assemble(config, data.space)
    if contestant == "MCEM":
        assert isinstance(method, VAE)
        prior, measure = Gaussian((latent,)), whole(data.space)
        method = MonteCarloEM(method.decoder, prior, measure, points=len(data.train))
    assert isinstance(method, HasDecoder)
    rng, curve = torch.Generator().manual_seed(seed), []
    progress = begun(method, config, data, seed)
    for count in marks(progress, config, SEEN[:1] if quick else SEEN[:5], BATCH):
        mark = {"seen": float(count)}
        for part in ("train", "test"):
            x = data.transform.encode(getattr(data, part)[: 5 if quick else CLOSE], rng)
            mark[part] = float(evidence(method, x, rng).mean())
        curve.append(mark)
    return {"curve": curve}


def evidence(method: HasDecoder, x: Tensor, rng: torch.Generator) -> Tensor:
    """log p of each row by appendix D."""
    return by_fitted_posterior(method.decoded, method.prior, x, rng, draws=50)


def cells(quick: bool) -> dict[str, Callable[[], Result]]:
    """Every curve."""
    runs: dict[str, Callable[[], Result]] = {}
    for name, latent in PANELS[:1] if quick else PANELS:
        for who in CONTESTANTS:
            runs[f"bound / {name} / {latent} / {who}"] = partial(bound, name, latent, who, 0, quick)
    for who in (*CONTESTANTS, "MCEM"):
        runs[f"marginal / 1000 digits / 3 / {who}"] = partial(marginal, who, 0, quick)
    return runs


def render(results: Mapping[str, Result]) -> str:
    """Every curve as a line, then the claims."""
    head = ("figure", "data", "N_z", "method", "seen", "train", "test")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for label, result in results.items():
        for mark in result["curve"]:
            cells_of = [*label.split(" / "), f"{mark['seen']:.0e}"]
            lines.append(f"| {' | '.join(cells_of)} | {mark['train']:.1f} | {mark['test']:.1f} |")
    return "\n".join([*lines, "", *claims(results)])


def claims(results: Mapping[str, Result]) -> list[str]:
    """AEVB minus wake-sleep at the end of each panel, and the gap between train and test."""
    lines = []
    for label, result in results.items():
        figure, data, latent, who = label.split(" / ")
        rival = results.get(f"{figure} / {data} / {latent} / wake-sleep")
        if who != "AEVB" or rival is None:
            continue
        ours, theirs = result["curve"][-1], rival["curve"][-1]
        train, test = (ours[part] - theirs[part] for part in ("train", "test"))
        gap = ours["train"] - ours["test"]
        lines.append(
            f"- {figure}, {data}, N_z = {latent}: AEVB minus wake-sleep {train:.1f} on train, "
            f"{test:.1f} on test; train minus test {gap:.1f}."
        )
    return lines


STUDY = Study("aevb", __doc__ or "", cells, render)

if __name__ == "__main__":
    sys.exit(run_study(STUDY))
