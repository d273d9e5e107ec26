"""Figures 2 and 3 of Kingma and Welling (2014): AEVB against wake-sleep and Monte-Carlo EM.

Figure 2: the lower bound per observation on 1000 training and 1000 test rows against the number of
observations seen, 3e6 of them (the paper draws 1e5 to 1e8): binarised MNIST, all 50 000 training rows,
500 tanh units, N_z in {3, 20, 200}; Frey faces, 200 units, N_z in {2, 10}, in nats on the scale [0, 1]
of a pixel. Adagrad, batches of 100, one sample, weights from N(0, 0.1^2), the decay of a standard
normal prior on all weights; as in the paper each curve takes the rate of {0.01, 0.02, 0.1} with the
best bound on training rows after its first 20 000 observations. Wake-sleep's bound is computed with its
own q. One seed per curve: rows, not runs, are behind a standard error. A first run ended at 5e5
observations; this one is longer and otherwise the same.

Figure 3: N_z = 3, 100 units, the first 1000 digits to learn from, 1e6 observations seen (the paper
draws 6e7), one seed; the same choice of a rate, here by the marginal likelihood of 25 training rows;
Adagrad's rate falls linearly to 0 over the run for all three (the paper anneals and does not say how).
The marginal likelihood on 100 rows of train and test by importance sampling from a fitted posterior
(`gibbsian.evaluation.log_z.posterior.posterior_likelihood`), each row held against its own evidence
lower bound, the k-hat of its weights and, at the end, a posterior on a grid of the latent space. One
visit of MCEM counts its rows once, whatever its 10 gradients of HMC and 5 updates cost: CPU seconds
stand beside it. The grid ends at 4.5, and rows whose posterior lies beyond are found by the fitted one
alone: what counts is by how much the grid exceeds it. This figure was wrong before, by an estimator
with chains that start at the prior. With the mended one and the rate fixed at 0.02 for all it then
said, train and test: AEVB -146.6 and -147.7, wake-sleep -148.2 and -148.4, MCEM -128.3 and -136.6. The
chosen rate (0.1) and annealing together give AEVB 4.5 and 6.4 nats; wake-sleep's pilot took 0.02 again,
and annealing costs it 6.8 and 3.9. Against the fixed-rate runs of its rivals, row by row, the annealed
AEVB is ahead of wake-sleep by 6.1 (± 2.2) and 7.1 (± 2.5) and behind MCEM by 13.8 (± 2.8) and 4.7 (±
2.2).

The check: networks of figure 2 after 1e5 observations, the likelihood of 20 (from five latent
dimensions on 8) rows of each part against their bounds, by annealing from five dimensions on. Figure 2
itself draws bounds and needs no likelihood. A row passes if its estimate is not below its ELBO by more
than 5 standard errors or below its importance bound (500 draws) by more than 8 nats, and if k-hat is at
most 0.7 or a bridge from the posterior agrees within 0.1 nats, with 100 effective draws (of annealing:
if its two passes agree within 5 nats); a row that does not is left out of the means and counted.

Claims tested: AEVB ends higher than wake-sleep in every panel, on train and on test, by more than 2
standard errors of the difference row by row; so is it at every mark from 1e5 on (it is faster); the gap
between train and test at N_z = 200 is not larger than at N_z = 3 by more than 2 nats. Figure 3: AEVB
ends higher than wake-sleep and than MCEM, on train and on test, by more than 2 standard errors over
rows and trainings.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import torch
from torch import Tensor

from gibbsian import data as datasets
from gibbsian.config.config import Config
from gibbsian.core.files import read_json
from gibbsian.evaluation.log_z.directed import mean_weights
from gibbsian.methods import VAE
from gibbsian.models.build import assemble
from gibbsian.training import run_training_loop
from gibbsian.training.checkpoints import Progress
from studies.aevb_likelihood import SEEDS, check, marginal
from studies.aevb_page import draw, render
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
from studies.harness import RESULTS, Result, Study, run_study

SEEN = (10_000, 30_000, 100_000, 200_000, 500_000, 1_000_000, 3_000_000)
PANELS = [*(("binarized-mnist", n) for n in (3, 20, 200)), *(("frey-faces", n) for n in (2, 10))]
ROWS = 1_000


def marks(progress: Progress, config: Config, seen: tuple[int, ...]) -> Iterator[int]:
    """Train on; hand out the number of observations seen at every mark."""
    for count in seen:
        run_training_loop(progress, dataclasses.replace(config.training, rounds=count // BATCH))
        yield count


def mark(seen: int, rows: Mapping[str, Tensor], last: bool) -> Result:
    """The mean of each part, and of the last mark its row values to a hundredth of a nat."""
    means: Result = {part: float(values.mean()) for part, values in rows.items()}
    kept = {f"{part} rows": [round(v, 2) for v in values.tolist()] for part, values in rows.items()}
    return {"seen": float(seen)} | means | (kept if last else {})


def bound(name: str, latent: int, contestant: str, seed: int, quick: bool) -> Result:
    """One curve of figure 2."""
    data = datasets.load_dataset("digits-binary" if quick else name)
    units = units_of(name, quick)
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


def cells(quick: bool) -> dict[str, Callable[[], Result]]:
    """Every curve."""
    runs: dict[str, Callable[[], Result]] = {}
    for name, latent in PANELS[:1] if quick else PANELS:
        for who in CONTESTANTS:
            runs[f"bound / {name} / {latent} / {who}"] = partial(bound, name, latent, who, 0, quick)
    for seed in range(1 if quick else SEEDS):
        for who in (*CONTESTANTS, "MCEM"):
            name = f"marginal / 1000 digits / 3 / {who} / {seed}"
            runs[name] = partial(marginal, who, seed, quick)
    for name, latent in PANELS[:1] if quick else PANELS:
        for who in CONTESTANTS:
            runs[f"check / {name} / {latent} / {who}"] = partial(check, name, latent, who, 0, quick)
    return runs


STUDY = Study("aevb", __doc__ or "", cells, render)

if __name__ == "__main__":
    status = run_study(STUDY)
    written = RESULTS / "aevb.json"
    if written.exists():
        draw(read_json(written)["results"], written.with_suffix(".png"))
    sys.exit(status)
