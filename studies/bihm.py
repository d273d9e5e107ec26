"""Bidirectional Helmholtz machines against reweighted wake-sleep and a VAE on bits.

Fixed before running: binarised MNIST with the layers 200, 100, 50, 20 for both Helmholtz machines and a VAE
of 200 tanh units and 50 latent coordinates, 10 000 rounds of 100 rows each (20 epochs, 2 to 4 CPU minutes:
what one core has time for, not what the paper trains); OCR letters and DNA with layers 100, 50, 20, three
seeds, 3000 and 1000 rounds. Equal rounds for all three, so that a run can be repeated to the bit; their CPU
seconds stand in the table. Adam at 1e-3, K = 10, L1 of 1e-3 beside a minibatch's sum, no early stopping.
Measured on the same 1000 test rows with K draws of q each, K up to 1000 (a column with K = 10 000 on 200 of
them stood here before; it compared rows, not K): -log p, and -log p* with log Z from 100 000 draws of p; the
effective sample size as a share of K = 10 000 over the first 100 training rows, with weights w for p and
sqrt(w) for p*. Densities play no part: every figure is a log-probability of bits. Pictures from the BiHM of
MNIST: probabilities given h_1 after 250 Gibbs sweeps from ancestral draws, and four masks filled in by 250
sweeps (10 candidates, 5 inner draws).

What is asked: the effective sample size of BiHM (of its own weights, sqrt(w)) above reweighted wake-sleep's
(w) by more than 2 standard errors; -log p* below the better of the two rivals' -log p, or the comparison
as it is. log p and log p~* are estimated from below; log Z's part of log p* from the other side.
"""

from __future__ import annotations

import base64
import math
import sys
import time
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from gibbsian import data as datasets
from gibbsian.config.config import Config, replace
from gibbsian.config.recipes import default_config
from gibbsian.core import TrainingMethod
from gibbsian.core.files import read_json
from gibbsian.core.numerics import log_mean_exp
from gibbsian.core.protocols import HasLogWeights, HasOverlap
from gibbsian.data.masks import HALVES, half
from gibbsian.evaluation.log_z.helmholtz_machines import overlap
from gibbsian.methods import BiHM
from gibbsian.models.train import train_config
from gibbsian.report.figures import sample_grid_image
from studies.harness import RESULTS, Result, Study, run_study

ROUNDS = {"binarized-mnist": 10_000, "ocr-letters": 3_000, "dna": 1_000}
LAYERS = {"binarized-mnist": "200,100,50,20"}
FEW_LAYERS = "100,50,20"
MANY, CLOSE, AT_ONCE = 1_000, 10_000, 10_000
RIVALS = ("BiHM", "RWS", "VAE")
ESS = {"w": "ess", "sqrt(w)": "ess of roots"}
SIDE, DIGITS, CHAINS, SAMPLES, SWEEPS = 28, 5, 4, 40, 250


def configured(method: str, data: str) -> Config:
    """One contestant on one data set."""
    if method == "VAE":
        tanh = {"width": 200, "depth": 1, "activation": "tanh"}
        return replace(
            default_config("vae", data),
            training={"batch": 100, "ema": 0.0},
            latent_dim=50,
            decoder=tanh,
            encoder=tanh,
        )
    return replace(
        default_config("bihm", data),
        helmholtz_objective=method.lower(),
        belief_network={"layer_sizes": LAYERS.get(data, FEW_LAYERS)},
        parameter_l1=1e-3,
    )


def summary(values: Tensor) -> list[float]:
    """Mean over rows and its standard error."""
    return [float(values.mean()), float(values.std() / math.sqrt(len(values)))]


def weights(method: HasLogWeights, x: Tensor, k: int, rng: torch.Generator) -> Tensor:
    """log w of ``k`` draws of q for each row, ``[k, B]``."""
    counts = [min(max(1, AT_ONCE // len(x)), k)] * (k // max(1, AT_ONCE // len(x)) or 1)
    return torch.cat([method.log_weights(x, count, rng) for count in counts]).double()


def likelihoods(method: TrainingMethod, x: Tensor, seen: Tensor, seed: int, quick: bool) -> Result:
    """Every figure of one trained model on test rows ``x`` and training rows ``seen``."""
    assert isinstance(method, HasLogWeights)
    rng = torch.Generator().manual_seed(seed)
    many, close = (20, 50) if quick else (MANY, CLOSE)
    found, log_z = cast("Result", {}), None
    if isinstance(method, HasOverlap):
        z = overlap(method.overlap_terms, rng, n=500 if quick else 100_000).lower
        log_z = found["log Z"] = [z.value, z.stderr]
    log_w = weights(method, x[:1_000], many, rng)
    for k in (1, 10, 100, many):
        found[f"log p, {k}"] = summary(log_mean_exp(log_w[:k]))
        if log_z is None:
            continue
        value, error = summary(2 * log_mean_exp(0.5 * log_w[:k]))
        found[f"log p~*, {k}"] = [value, error]
        found[f"log p*, {k}"] = [value - 2 * log_z[0], math.hypot(error, 2 * log_z[1])]
    log_w = weights(method, seen[:100], close, rng)
    found["ess"] = summary(share(log_w))
    if log_z is not None:
        found["ess of roots"] = summary(share(0.5 * log_w))
    return found


def share(log_v: Tensor) -> Tensor:
    """Effective sample size of weights v ``[K, B]`` as a share of K, ``[B]``."""
    return torch.exp(2 * log_mean_exp(log_v) - log_mean_exp(2 * log_v))


def measured(method: str, data: str, seed: int, quick: bool) -> Result:
    """Train one contestant and measure it."""
    config, dataset = configured(method, data), datasets.load_dataset(data)
    rounds = 20 if quick else ROUNDS[data]
    training = {"rounds": rounds, "seed": seed, "device": "cpu", "save_every": 0}
    begun = time.process_time()
    model = train_config(replace(config, training=training), None, dataset)
    seconds = round(time.process_time() - begun, 1)
    found = {"rounds": rounds, "training_seconds": seconds}
    found |= likelihoods(model.method, dataset.test, dataset.train, seed, quick)
    if isinstance(model.method, BiHM) and method == "BiHM" and data == "binarized-mnist":
        found |= pictures(model.method, dataset.test, seed)
    return found


def pictures(model: BiHM, x: Tensor, seed: int) -> Result:
    """Means after Gibbs sampling ``[SAMPLES, d]``, and test digits filled in, every mask's in turn."""
    rng = torch.Generator().manual_seed(seed)
    model.samples_without_output_noise, model.gibbs_sweeps = True, SWEEPS
    model.gibbs_proposals_per_step, model.importance_samples_per_marginal = 10, 5
    filled = []
    for name in HALVES:
        kept = half(name, (SIDE**2,))
        for digit in x[:DIGITS]:
            given = torch.where(kept, digit, math.nan)
            filled += [torch.where(kept, digit, 0.5)[None], model.sample(CHAINS, rng, given)]
    return {"samples": packed(model.sample(SAMPLES, rng)), "filled": packed(torch.cat(filled))}


def packed(x: Tensor) -> str:
    """Probabilities ``[N, d]`` to a byte each, compressed, as text."""
    return base64.b64encode(zlib.compress((255 * x).round().byte().numpy().tobytes(), 9)).decode()


def unpacked(text: str) -> Any:
    """Pictures ``[N, 1, SIDE, SIDE]`` of what was packed."""
    flat = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
    return flat.reshape(-1, 1, SIDE, SIDE)


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
    """Value and error, or a dash; of several K the largest."""
    found = [value for key, value in result.items() if key.rpartition(", ")[0] == name]
    found += [result[name]] if name in result else []
    if not found:
        return "-"
    value, error = found[-1]
    digits = 3 if abs(value) < 1 else 2
    return f"{sign * value:.{digits}f} ± {error:.2g}"


def render(results: Mapping[str, Result]) -> str:
    """A table per data set; -log p and -log p* are those of most samples."""
    columns = {"-log p": "log p", "-log p~*": "log p~*", "-log p*": "log p*"}
    plain = {"log Z": "log Z", "ESS, w": "ess", "ESS, sqrt(w)": "ess of roots"}
    lines: list[str] = []
    for data in dict.fromkeys(label.split(" / ")[1] for label in results):
        head = ["model", "seed", *columns, *plain, "CPU s of training"]
        lines += [f"## {data}", "", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
        for label, result in results.items():
            method, where, seed = label.split(" / ")
            if where != data:
                continue
            row = [method, seed, *(figure(result, name, -1.0) for name in columns.values())]
            row += [figure(result, name) for name in plain.values()]
            lines.append(f"| {' | '.join([*row, str(result['training_seconds'])])} |")
        lines += ["", *by_samples(results, data), "", *verdicts(results, data), ""]
    if any("samples" in result for result in results.values()):
        lines += ["## Pictures", "", "![Samples and filled-in digits](bihm.png)", ""]
    return "\n".join(lines)


def by_samples(results: Mapping[str, Result], data: str) -> list[str]:
    """-log p of the first seed against K, on the same rows."""
    counts = [
        key.rpartition(", ")[2]
        for key in next(r for label, r in results.items() if f" / {data} / " in label)
        if key.startswith("log p, ")
    ]
    lines = [f"| K | {' | '.join(counts)} |", "|---" * (len(counts) + 1) + "|"]
    for label, result in results.items():
        method, where, seed = label.split(" / ")
        for name in ("log p", "log p*"):
            if where == data and seed == "0" and f"{name}, {counts[0]}" in result:
                found = [f"{-result[f'{name}, {k}'][0]:.2f}" for k in counts]
                lines.append(f"| -{name}, {method} | {' | '.join(found)} |")
    return lines


def verdicts(results: Mapping[str, Result], data: str) -> list[str]:
    """What was asked, seed by seed."""
    lines = []
    for seed in range(3):
        named = {m: results.get(f"{m} / {data} / {seed}") for m in RIVALS}
        bihm, rws = named["BiHM"], named["RWS"]
        if bihm is None or rws is None:
            continue
        for ours, theirs in (("sqrt(w)", "w"), ("sqrt(w)", "sqrt(w)"), ("w", "w")):
            (a, error), (b, other) = bihm[ESS[ours]], rws[ESS[theirs]]
            gap = (a - b) / max(1e-12, math.hypot(error, other))
            lines.append(
                f"- Seed {seed}: ESS of BiHM's {ours} minus that of RWS's {theirs} {a - b:.4f}, {gap:.1f} "
                "standard errors."
            )
        star = [value for key, value in bihm.items() if key.startswith("log p*, ")][-1]
        found = {
            m: [v for k, v in r.items() if k.startswith("log p, ")][-1]
            for m, r in named.items()
            if m != "BiHM" and r is not None
        }
        best = max(found, key=lambda m: found[m][0])
        error = math.hypot(star[1], found[best][1])
        lines.append(
            f"- Seed {seed}: -log p* of BiHM minus -log p of {best} "
            f"{found[best][0] - star[0]:.2f} ± {error:.2g}."
        )
    return lines


def draw(results: Mapping[str, Result], path: Any) -> None:
    """Samples on the left; on the right, for every mask a row of what was kept and four chains, per digit."""
    from matplotlib.figure import Figure

    shown = [result for result in results.values() if "samples" in result]
    if not shown:
        return
    figure = Figure(figsize=(13, 5), layout="constrained")
    axes = figure.subplots(1, 2, width_ratios=(8, 5 * DIGITS))
    titles = (f"p(x|h_1) after {SWEEPS} Gibbs sweeps", "kept, then four chains; one mask a row")
    sheets = (("samples", 8), ("filled", (1 + CHAINS) * DIGITS))
    for axis, title, (name, columns) in zip(axes, titles, sheets, strict=True):
        axis.imshow(sample_grid_image(unpacked(shown[0][name]), columns), cmap="gray")
        axis.set(title=title)
        axis.set_axis_off()
    figure.savefig(path, dpi=130)


STUDY = Study("bihm", __doc__ or "", cells, render)

if __name__ == "__main__":
    status = run_study(STUDY)
    written = RESULTS / "bihm.json"
    if written.exists():
        draw(read_json(written)["results"], written.with_suffix(".png"))
    sys.exit(status)
