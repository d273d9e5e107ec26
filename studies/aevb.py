"""Figures 2 and 3 of Kingma and Welling (2014): AEVB against wake-sleep and Monte-Carlo EM.

Figure 2: the lower bound per observation on 1000 training and 1000 test rows against the number of
observations seen, 3e6 of them (the paper draws 1e5 to 1e8): binarised MNIST, all 50 000 training rows, 500
tanh units, N_z in {3, 20, 200}; Frey faces, 200 units, N_z in {2, 10}, in nats on the scale [0, 1] of a
pixel. Adagrad, batches of 100, one sample, weights from N(0, 0.1^2), the decay of a standard normal prior
on all weights; as in the paper each curve takes the rate of {0.01, 0.02, 0.1} with the best bound on
training rows after its first 20 000 observations. Figure 3: N_z = 3, 100 units, the first 1000 digits to
learn from, rate 0.02, 1e6 observations seen; the marginal likelihood on 100 rows of train and test by
importance sampling from a fitted posterior (`gibbsian.evaluation.log_z.posterior.posterior_likelihood`).
The estimator of appendix D, with chains that start at the prior, stood here before; it missed by hundreds
of nats on some rows, and what it said of figure 3 was void. One visit of MCEM counts its rows once, whatever
its 10 gradients of HMC and 5 updates cost. Wake-sleep's bound is computed with its own q. One seed per curve:
rows, not runs, are behind a standard error. A first run ended at 5e5 (figure 2) and 2e5 observations
(figure 3); this one is longer and otherwise the same.

Claims tested: AEVB ends higher than wake-sleep in every panel, on train and on test, by more than 2
standard errors of the difference row by row; so is it at every mark from 1e5 on (it is faster); the gap
between train and test at N_z = 200 is not larger than at N_z = 3 by more than 2 nats. Figure 3: AEVB ends
higher than wake-sleep and than MCEM, on train and on test.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gibbsian import data as datasets
from gibbsian.config.config import Config, plain, replace
from gibbsian.core import TrainingMethod
from gibbsian.core.files import read_json
from gibbsian.core.measures import Gaussian
from gibbsian.core.protocols import HasDecoder
from gibbsian.data import BatchStream, Dataset
from gibbsian.evaluation.log_z.directed import mean_weights
from gibbsian.evaluation.log_z.posterior import posterior_likelihood
from gibbsian.methods import VAE
from gibbsian.methods.mcem import MonteCarloEM
from gibbsian.models.build import assemble, whole
from gibbsian.training import prepare_training, run_training_loop
from gibbsian.training.checkpoints import Progress
from studies.harness import RESULTS, Result, Study, run_study

SEEN = (10_000, 30_000, 100_000, 200_000, 500_000, 1_000_000, 3_000_000)
BATCH, STD = 100, 0.1
RATES, PILOT = (0.01, 0.02, 0.1), 20_000
PANELS = [*(("binarized-mnist", n) for n in (3, 20, 200)), *(("frey-faces", n) for n in (2, 10))]
CONTESTANTS = {"AEVB": "b", "wake-sleep": "wake-sleep"}
ROWS, CLOSE, SMALL = 1_000, 100, 1_000


def configured(
    data: str, estimator: str, latent: int, units: int, rows: int, rate: float = 0.02
) -> Config:
    """The paper's networks and optimizer."""
    tanh = {"name": "mlp", "width": units, "depth": 1, "activation": "tanh"}
    return replace(
        plain("vae", data),
        domain_half_width="none",
        training={"batch": BATCH, "device": "cpu", "save_every": 0},
        latent_dim=latent,
        elbo_gradient_estimator=estimator,
        decoder=tanh,
        encoder=tanh,
        model_optimizer={"name": "adagrad", "lr": rate, "weight_decay": 1.0 / rows},
    )


def begun(method: TrainingMethod, config: Config, data: Dataset, seed: int) -> Progress:
    """A run before its first round, all weights from N(0, STD^2)."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.copy_(STD * torch.randn(parameter.shape, generator=rng))
    stream = BatchStream(data.train, data.transform, BATCH, seed)
    training = dataclasses.replace(config.training, seed=seed)
    return prepare_training(method, {"model": getattr(config, "model_optimizer")}, training, stream)  # noqa: B009


def marks(progress: Progress, config: Config, seen: tuple[int, ...]) -> Iterator[int]:
    """Train on; hand out the number of observations seen at every mark."""
    for count in seen:
        run_training_loop(progress, dataclasses.replace(config.training, rounds=count // BATCH))
        yield count


def in_nats(data: Dataset) -> float:
    """What turns a log-density in the networks' units into one on pixels of [0, 1]."""
    if data.space.kind == "binary":
        return 0.0
    return data.transform.log_jacobian + math.prod(data.space.shape) * math.log(256)


def mark(seen: int, rows: Mapping[str, Tensor], last: bool) -> Result:
    """The mean of each part, and of the last mark its row values to a hundredth of a nat."""
    means: Result = {part: float(values.mean()) for part, values in rows.items()}
    kept = {f"{part} rows": [round(v, 2) for v in values.tolist()] for part, values in rows.items()}
    return {"seen": float(seen)} | means | (kept if last else {})


def bound(name: str, latent: int, contestant: str, seed: int, quick: bool) -> Result:
    """One curve of figure 2."""
    data = datasets.load_dataset("digits-binary" if quick else name)
    units = 20 if quick else 200 if name.startswith("frey") else 500
    rng = torch.Generator().manual_seed(seed)
    rows = {
        part: data.transform.encode(getattr(data, part)[:ROWS], rng) for part in ("train", "test")
    }

    def run(rate: float, seen: tuple[int, ...]) -> list[Result]:
        config = configured(name, CONTESTANTS[contestant], latent, units, len(data.train), rate)
        method = assemble(config, data.space)
        assert isinstance(method, VAE)
        progress, curve = begun(method, config, data, seed), []
        for count in marks(progress, config, seen):
            elbo = {
                part: mean_weights(method.log_weights, x, 1, rng).log_mean + in_nats(data)
                for part, x in rows.items()
            }
            curve.append(mark(count, elbo, last=count == seen[-1]))
        return curve

    first = {rate: run(rate, (1_000 if quick else PILOT,))[0]["train"] for rate in RATES}
    best = max(RATES, key=first.__getitem__)
    return {"lr": best, "curve": run(best, SEEN[:1] if quick else SEEN)}


def marginal(contestant: str, seed: int, quick: bool) -> Result:
    """One curve of figure 3."""
    data = datasets.load_dataset("digits-binary" if quick else "binarized-mnist")
    data = dataclasses.replace(data, train=data.train[:SMALL])
    units, latent = (20, 3) if quick else (100, 3)
    estimator = CONTESTANTS.get(contestant, "b")
    config = configured(data.name, estimator, latent, units, len(data.train))
    method: TrainingMethod = assemble(config, data.space)
    if contestant == "MCEM":
        assert isinstance(method, VAE)
        prior, measure = Gaussian((latent,)), whole(data.space)
        method = MonteCarloEM(method.decoder, prior, measure, points=len(data.train))
    assert isinstance(method, HasDecoder)
    rng, curve = torch.Generator().manual_seed(seed), []
    progress = begun(method, config, data, seed)
    seen = SEEN[:1] if quick else SEEN[:6]
    for count in marks(progress, config, seen):
        found = {}
        for part in ("train", "test"):
            x = data.transform.encode(getattr(data, part)[: 5 if quick else CLOSE], rng)
            found[part] = evidence(method, x, rng)
        curve.append(mark(count, found, last=count == seen[-1]))
    return {"curve": curve}


def evidence(method: HasDecoder, x: Tensor, rng: torch.Generator) -> Tensor:
    """log p of each row by importance sampling from its posterior, as it was fitted."""
    return posterior_likelihood(method.decoded, method.prior, x, rng).lower


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
    """The claims, then every curve as lines."""
    head = ("figure", "data", "N_z", "method", "seen", "train", "test")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for label, result in results.items():
        for mark in result["curve"]:
            cells_of = [*label.split(" / "), f"{mark['seen']:.0e}"]
            lines.append(f"| {' | '.join(cells_of)} | {mark['train']:.1f} | {mark['test']:.1f} |")
    picture = "![Bounds and marginal likelihoods against the observations seen](aevb.png)"
    return "\n".join([*claims(results), *gaps(results), "", picture, "", *lines])


def claims(results: Mapping[str, Result]) -> list[str]:
    """AEVB minus each rival at the end of a panel, and whether it leads from 1e5 observations on."""
    lines = []
    for label, result in results.items():
        figure, data, latent, who = label.split(" / ")
        if who != "AEVB":
            continue
        panel = f"{figure} / {data} / {latent}"
        for name in ("wake-sleep", "MCEM"):
            rival = results.get(f"{panel} / {name}")
            if rival is not None:
                lines.append(f"- {panel}: AEVB minus {name} {margin(result, rival)}.")
    return lines


def margin(ours: Result, theirs: Result) -> str:
    """The final difference on train and test with twice its error, and at how many late marks it leads."""
    last, parts = (ours["curve"][-1], theirs["curve"][-1]), []
    holds = True
    for part in ("train", "test"):
        ours_rows, their_rows = (torch.tensor(mark[f"{part} rows"]) for mark in last)
        apart = ours_rows - their_rows
        less, error = float(apart.mean()), 2 * float(apart.std()) / math.sqrt(len(apart))
        holds = holds and less > error
        parts.append(f"{less:.1f} (± {error:.1f}) on {part}")
    late = [
        a["test"] > b["test"]
        for a, b in zip(ours["curve"], theirs["curve"], strict=True)
        if a["seen"] >= 1e5
    ]
    verdict = "holds" if holds else "does not hold"
    return f"{', '.join(parts)}: {verdict}; ahead on test at {sum(late)} of {len(late)} marks"


def gaps(results: Mapping[str, Result]) -> list[str]:
    """Train minus test of AEVB at the end, by N_z."""
    found: dict[str, list[str]] = {}
    for label, result in results.items():
        figure, data, latent, who = label.split(" / ")
        if figure == "bound" and who == "AEVB":
            last = result["curve"][-1]
            gap = last["train"] - last["test"]
            found.setdefault(data, []).append(f"{gap:.1f} at N_z = {latent}")
    return [f"- Train minus test of AEVB, {data}: {', '.join(g)}." for data, g in found.items()]


def draw(results: Mapping[str, Result], path: Any) -> None:
    """One panel per data set and N_z."""
    from matplotlib.figure import Figure

    panels = list(dict.fromkeys(label.rpartition(" / ")[0] for label in results))
    figure = Figure(figsize=(3.6 * len(panels), 3.6), layout="constrained")
    for axis, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        ends, starts = [], []
        for label, result in results.items():
            where, _, who = label.rpartition(" / ")
            if where != panel:
                continue
            ends.append(result["curve"][-1]["test"])
            starts.append(result["curve"][0]["test"])
            colour = {"AEVB": "C3", "wake-sleep": "C2", "MCEM": "C0"}[who]
            for part, style in (("train", "-"), ("test", "--")):
                values = [mark[part] for mark in result["curve"]]
                seen = [mark["seen"] for mark in result["curve"]]
                axis.plot(seen, values, style, color=colour, label=f"{who}, {part}")
        axis.set(title=panel, xscale="log", xlabel="observations seen", ylabel="nats")
        span = max(ends) - max(starts)
        if min(starts) < max(starts) - 5 * span:  # a curve that starts far below hides the others
            axis.set_ylim(max(starts) - 2 * span, max(ends) + 0.2 * span)
        axis.legend(fontsize=7)
    figure.savefig(path, dpi=90)


STUDY = Study("aevb", __doc__ or "", cells, render)

if __name__ == "__main__":
    status = run_study(STUDY)
    written = RESULTS / "aevb.json"
    if written.exists():
        draw(read_json(written)["results"], written.with_suffix(".png"))
    sys.exit(status)
