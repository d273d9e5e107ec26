"""Bidirectional Helmholtz machines against reweighted wake-sleep and a VAE on bits.

Fixed before running: binarised MNIST with the layers 200, 100, 50, 20 for both Helmholtz machines and a VAE
of 200 tanh units and 50 latent coordinates, 25 CPU minutes of one thread each (rounds found by a trial of
20); OCR letters and DNA with layers 100, 50, 20, three seeds, 5 minutes each. Adam at 1e-3, batches of 100,
K = 10, L1 of 1e-3 beside a minibatch's sum. Measured on test rows with K draws of q each: -log p for 1000
rows and K up to 1000, for 200 rows and K = 10 000; -log p* with log Z from 100 000 draws of p; the effective
sample size as a share of K = 10 000 over the first 100 training rows, with weights w for p and sqrt(w) for
p*. Densities play no part: every figure is a log-probability of bits.

What is asked: the effective sample size of BiHM (of its own weights, sqrt(w)) above reweighted wake-sleep's
(w) by more than 2 standard errors; -log p* below the better of the two rivals' -log p, or the comparison
as it is. log p and log p~* are estimated from below; log Z's part of log p* from the other side.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from gibbsian import data as datasets
from gibbsian.config import Config, replace
from gibbsian.core import HasLogWeights, HasOverlap, Method
from gibbsian.evaluation import bidirectional_log_likelihood, mean_weights, overlap
from gibbsian.facade import train_config
from gibbsian.recipes import default
from studies.budget import rounds_within
from studies.harness import Result, Study, run_study

SECONDS = {"binarized-mnist": 1_500.0, "ocr-letters": 300.0, "dna": 300.0, "digits-4-binary": 1.0}
LAYERS = {"binarized-mnist": "200,100,50,20"}
FEW_LAYERS = "100,50,20"
MANY, CLOSE = 1_000, 10_000
RIVALS = ("BiHM", "RWS", "VAE")


def configured(method: str, data: str) -> Config:
    """One contestant on one data set."""
    if method == "VAE":
        tanh = {"width": 200, "depth": 1, "activation": "tanh"}
        return replace(
            default("vae", data),
            training={"batch": 100, "ema": 0.0},
            latent=50,
            decoder_net=tanh,
            encoder_net=tanh,
        )
    return replace(
        default("bihm", data),
        algorithm=method.lower(),
        beliefs_net={"layers": LAYERS.get(data, FEW_LAYERS)},
        l1=1e-3,
    )


def summary(values: Tensor) -> list[float]:
    """Mean over rows and its standard error."""
    return [float(values.mean()), float(values.std() / math.sqrt(len(values)))]


def likelihoods(method: Method, x: Tensor, seen: Tensor, seed: int, quick: bool) -> Result:
    """Every figure of one trained model on test rows ``x`` and training rows ``seen``."""
    assert isinstance(method, HasLogWeights)
    rng = torch.Generator().manual_seed(seed)
    many, close = (20, 50) if quick else (MANY, CLOSE)
    found: Result = {}
    for k in (1, 10, 100, many):
        found[f"log p, {k}"] = summary(mean_weights(method.log_weights, x[:1_000], k, rng).log_mean)
    found[f"log p, {close}"] = summary(
        mean_weights(method.log_weights, x[:200], close, rng).log_mean
    )
    powers = {"ess": 1.0}
    if isinstance(method, HasOverlap):
        powers["ess of roots"] = 0.5
        z = overlap(method.overlap_terms, rng, n=500 if quick else 100_000)
        found["log Z"] = [z.lower.value, z.lower.stderr]
        for rows, k in ((x[:1_000], many), (x[:200], close)):
            star = bidirectional_log_likelihood(method.log_weights, z, rows, rng, k=k)
            found[f"log p~*, {k}"] = [star.lower.value, star.lower.stderr]
            found[f"log p*, {k}"] = [star.upper.value, star.upper.stderr]
    for name, power in powers.items():
        found[name] = summary(mean_weights(method.log_weights, seen[:100], close, rng, power).ess)
    return found


def measured(method: str, data: str, seed: int, quick: bool) -> Result:
    """Train one contestant for its time and measure it."""
    config, dataset = configured(method, data), datasets.load(data)
    rounds = 20 if quick else rounds_within(config, dataset, SECONDS[data])
    training = {"rounds": rounds, "seed": seed, "device": "cpu", "save_every": 0}
    model = train_config(replace(config, training=training), None, dataset)
    return {"rounds": rounds} | likelihoods(model.method, dataset.test, dataset.train, seed, quick)


def cells(quick: bool) -> dict[str, Callable[[], Result]]:
    """Every run, those that decide most first."""
    if quick:
        return {
            f"{m} / digits-4-binary / 0": partial(measured, m, "digits-4-binary", 0, True)
            for m in RIVALS
        }
    runs = {
        f"{m} / binarized-mnist / 0": partial(measured, m, "binarized-mnist", 0, False)
        for m in RIVALS
    }
    for data in ("ocr-letters", "dna"):
        for seed in range(3):
            for m in RIVALS:
                runs[f"{m} / {data} / {seed}"] = partial(measured, m, data, seed, False)
    return runs


def figure(result: Result, name: str, sign: float = 1.0) -> str:
    """Value and error, or a dash."""
    entries = [
        value for key, value in result.items() if key.rpartition(", ")[0] == name or key == name
    ]
    if not entries:
        return "-"
    value, error = entries[-1]
    return (
        f"{sign * value:.3g} ± {error:.2g}"
        if abs(value) < 1
        else f"{sign * value:.2f} ± {error:.2g}"
    )


def render(results: Mapping[str, Result]) -> str:
    """A table per data set; the last column of each figure is that of most samples."""
    columns = {"-log p": "log p", "-log p~*": "log p~*", "-log p*": "log p*"}
    plain = {"log Z": "log Z", "ESS, w": "ess", "ESS, sqrt(w)": "ess of roots"}
    lines: list[str] = []
    for data in dict.fromkeys(label.split(" / ")[1] for label in results):
        head = ["model", "seed", *columns, *plain, "rounds"]
        lines += [f"## {data}", "", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
        for label, result in results.items():
            method, where, seed = label.split(" / ")
            if where != data:
                continue
            row = [method, seed, *(figure(result, name, -1.0) for name in columns.values())]
            row += [figure(result, name) for name in plain.values()]
            lines.append(f"| {' | '.join([*row, str(result['rounds'])])} |")
        lines += ["", *verdict(results, data), ""]
    return "\n".join(lines)


def verdict(results: Mapping[str, Result], data: str) -> list[str]:
    """What was asked, with its numbers, of the first seed."""
    named = {m: results.get(f"{m} / {data} / 0") for m in RIVALS}
    bihm, rws = named["BiHM"], named["RWS"]
    if bihm is None or rws is None:
        return []
    (ours, error), (theirs, other) = bihm["ess of roots"], rws["ess"]
    gap = (ours - theirs) / max(1e-12, math.hypot(error, other))
    lines = [f"- ESS of BiHM minus that of RWS: {ours - theirs:.4f}, {gap:.1f} standard errors."]
    star = [value for key, value in bihm.items() if key.startswith("log p*, ")][-1]
    rivals = {m: r for m, r in named.items() if m != "BiHM" and r is not None}
    found = {m: [v for k, v in r.items() if k.startswith("log p, ")][-1] for m, r in rivals.items()}
    best = max(found, key=lambda m: found[m][0])
    error = math.hypot(star[1], found[best][1])
    less = found[best][0] - star[0]
    return [*lines, f"- -log p* of BiHM minus -log p of {best}: {less:.2f} ± {error:.2f}."]


STUDY = Study("bihm", __doc__ or "", cells, render)

if __name__ == "__main__":
    sys.exit(run_study(STUDY))
