"""Kingma and Welling (2014)."""

from __future__ import annotations

from functools import partial
from statistics import mean, stdev

from studies.aevb_page import PARTS, difference, trainings
from studies.papers.claim import (
    Claim,
    Effect,
    Finding,
    Paper,
    Results,
    finding,
    number,
    paired,
)

MNIST, FREY = "bound / binarized-mnist", "bound / frey-faces"
SPARE = 2.0
"""Nats by which the gap between train and test may grow, fixed before the study was run."""


def panels(results: Results, figure: str) -> list[str]:
    """The panels of a figure, ``figure / N_z``."""
    names = (label.rpartition(" / ")[0] for label in results)
    return [name for name in dict.fromkeys(names) if name.startswith(f"{figure} / ")]


def ends(results: Results, figure: str, rival: str) -> Finding | None:
    """AEVB minus the rival after the last round, row by row, on train and test."""
    effects, seen = [], 0.0
    for panel in panels(results, figure):
        ours, theirs = (results.get(f"{panel} / {who}") for who in ("AEVB", rival))
        if ours is None or theirs is None:
            continue
        last = [run["curve"][-1] for run in (ours, theirs)]
        seen = last[0]["seen"]
        for part in ("train", "test"):
            a, b = (mark[f"{part} rows"] for mark in last)
            name = f"N_z = {panel.rpartition(' / ')[2]}, {part}"
            effects.append(paired(name, a, b, over="rows", runs=1))
    return finding(f"after {seen:.0e} observations, AEVB minus {rival}, nats", *effects)


def marginal_ends(results: Results, rival: str) -> Finding | None:
    """Figure 3's marginal likelihoods after the last round, row by row, AEVB minus the rival."""
    ours, theirs = (trainings(results, who) for who in ("AEVB", rival))
    if not ours or not theirs:
        return None
    runs = min(len(ours), len(theirs))
    over = "rows" if runs == 1 else "rows and trainings"
    effects = [
        Effect(f"N_z = 3, {part}", *difference(ours, theirs, part), runs, over=over)
        for part in PARTS
    ]
    last = [runs_of[0]["curve"][-1] for runs_of in (ours, theirs)]
    seen, seconds = last[0]["seen"], [number(mark["seconds"]) for mark in last]
    numbers = (
        f"after {seen:.0e} observations ({seconds[0]} and {seconds[1]} CPU-seconds of training)"
    )
    return finding(f"{numbers}, AEVB minus {rival}, nats", *effects)


def faster(results: Results) -> Finding | None:
    """AEVB's smallest lead on test rows at the marks from 1e5 observations on."""
    ahead = total = 0
    effects = []
    for panel in [p for figure in (MNIST, FREY) for p in panels(results, figure)]:
        ours, theirs = (results.get(f"{panel} / {who}") for who in ("AEVB", "wake-sleep"))
        if ours is None or theirs is None:
            continue
        marks = zip(ours["curve"], theirs["curve"], strict=True)
        leads = [a["test"] - b["test"] for a, b in marks if a["seen"] >= 1e5]
        ahead, total = ahead + sum(lead > 0 for lead in leads), total + len(leads)
        name = panel.partition(" / ")[2].replace(" / ", ", N_z = ")
        effects.append(Effect(name, min(leads), float("nan"), 1))
    return finding(
        f"ahead at {ahead} of {total} marks; smallest lead, nats",
        *effects,
        weakness="rows were kept at the last mark only, so that the others have no error",
    )


def fit_gap(results: Results, figure: str) -> Finding | None:
    """What the growth of train minus test leaves of the spare nats, smallest N_z to largest."""
    runs = {
        int(p.rpartition(" / ")[2]): results.get(f"{p} / AEVB") for p in panels(results, figure)
    }
    found = {latent: run for latent, run in runs.items() if run is not None}
    if len(found) < 2:
        return None
    low, high = min(found), max(found)
    few, many = (found[n]["curve"][-1] for n in (low, high))
    change, noise = 0.0, 0.0
    for sign, part in ((1, "train"), (-1, "test")):
        gains = [b - a for a, b in zip(few[f"{part} rows"], many[f"{part} rows"], strict=True)]
        change += sign * mean(gains)
        noise += stdev(gains) ** 2 / len(gains)
    gaps = [number(mark["train"] - mark["test"]) for mark in (few, many)]
    numbers = f"train minus test {gaps[0]} nats at N_z = {low}, {gaps[1]} at {high}"
    name = f"{SPARE:g} nats - growth"
    return finding(numbers, Effect(name, SPARE - change, noise**0.5, 1, over="rows"))


def near_hundred(results: Results) -> Finding | None:
    """The test bound at N_z = 20, plus 100 nats."""
    run = results.get(f"{MNIST} / 20 / AEVB")
    if run is None:
        return None
    last = run["curve"][-1]
    zeros = [-100.0] * len(last["test rows"])
    effect = paired("bound + 100", last["test rows"], zeros, over="rows", runs=1)
    return finding(
        f"test bound {number(last['test'])} after {last['seen']:.0e} observations", effect
    )


SHORT = (
    "a sixtieth of the paper's observations, and the paper does not say how the rate is annealed"
)

PAPER = Paper(
    "AEVB",
    "Kingma, Welling (2014), *Auto-Encoding Variational Bayes*, arXiv 1312.6114.",
    "The text was read; results are curves without a table.",
    (
        Claim(
            "aevb-bound",
            "The lower bound, and an estimator of its gradient by reparametrisation.",
            "the method",
            "a statement",
            "linear-Gaussian closed form",
            "vae",
            proofs=("tests/methods/test_vae.py::test_the_bound_is_the_closed_form",),
        ),
        Claim(
            "aevb-variance",
            "The estimator with a closed-form divergence has less variance; the score function's "
            "is impractical.",
            "the method",
            "a statement",
            "20 000 draws of each gradient, linear-Gaussian model",
            "vae",
            proofs=(
                "tests/methods/test_vae.py::test_estimators_agree_in_gradient_and_b_has_the_smallest_variance",
            ),
        ),
        Claim(
            "aevb-higher-mnist",
            "AEVB ends at a higher bound than wake-sleep: MNIST.",
            "figure 2",
            "curves; N_z in {3, 5, 10, 20, 200}, to 1e8 observations",
            "binarised MNIST, N_z in {3, 20, 200}",
            "vae",
            "aevb",
            partial(ends, figure=MNIST, rival="wake-sleep"),
        ),
        Claim(
            "aevb-higher-frey",
            "AEVB ends at a higher bound than wake-sleep: Frey faces.",
            "figure 2",
            "curves; N_z in {2, 5, 10, 20}",
            "Frey faces, N_z in {2, 10}",
            "vae",
            "aevb",
            partial(ends, figure=FREY, rival="wake-sleep"),
            weakness="one training a curve, and 196 rows",
        ),
        Claim(
            "aevb-faster",
            "AEVB learns faster than wake-sleep in every panel.",
            "figure 2",
            "curves",
            "test bound at the marks from 1e5 observations on",
            "vae",
            "aevb",
            faster,
        ),
        Claim(
            "aevb-overfit-mnist",
            "Superfluous latent coordinates do not lead to overfitting: MNIST.",
            "figure 2",
            "curves",
            "growth of train minus test from the smallest N_z to the largest, against 2 nats",
            "vae",
            "aevb",
            partial(fit_gap, figure=MNIST),
        ),
        Claim(
            "aevb-overfit-frey",
            "Superfluous latent coordinates do not lead to overfitting: Frey faces.",
            "figure 2",
            "curves",
            "as above; the 2 nats were chosen for MNIST",
            "vae",
            "aevb",
            partial(fit_gap, figure=FREY),
            weakness="N_z = 2 and 10 only, of which the latter is not superfluous, and one "
            "training each",
        ),
        Claim(
            "aevb-variance-bound",
            "The variance of the bound's estimate is below 1 nat.",
            "figure 2",
            "below 1",
            "",
            "vae",
            needs="repeated estimates of the bound at the end of each curve",
        ),
        Claim(
            "aevb-marginal-wake-sleep",
            "AEVB reaches a higher marginal likelihood than wake-sleep from 1000 digits.",
            "figure 3",
            "curves between -160 and -100 nats, to 6e7 observations",
            "importance sampling from a fitted posterior, N_z = 3, every row held against its bound "
            "and a grid; rates chosen by a pilot and annealed for all",
            "vae",
            "aevb",
            partial(marginal_ends, rival="wake-sleep"),
            weakness=SHORT,
        ),
        Claim(
            "aevb-marginal-mcem",
            "AEVB reaches a higher marginal likelihood than Monte-Carlo EM from 1000 digits.",
            "figure 3",
            "curves between -160 and -100 nats, to 6e7 observations",
            "the same; a visit of MCEM counts its rows once",
            "vae",
            "aevb",
            partial(marginal_ends, rival="MCEM"),
            weakness=SHORT,
        ),
        Claim(
            "aevb-marginal-50000",
            "The same from 50 000 digits, where MCEM cannot be applied.",
            "figure 3",
            "curves between -160 and -125 nats",
            "",
            "vae",
            needs="figure 3's runs on all digits, 6e7 observations: hours of one core",
        ),
        Claim(
            "aevb-estimator",
            "The likelihood estimator by posterior draws is reliable below 5 latent coordinates.",
            "appendix D",
            "a statement",
            "",
            "vae",
            needs="the estimator beside importance sampling at N_z = 2 to 10, chains started at "
            "the posterior",
        ),
        Claim(
            "aevb-100-nats",
            "The test bound of MNIST at N_z = 20 comes near -100 nats.",
            "figure 2, from memory",
            "-100 nats at 1e8 observations (from memory)",
            "binarised MNIST, N_z = 20",
            "vae",
            "aevb",
            near_hundred,
            remembered=True,
        ),
        Claim(
            "aevb-full",
            "The same estimator gives a bound and a posterior for the decoder's weights too.",
            "appendix F, without an experiment",
            "a statement",
            "",
            "vae",
            needs="a posterior over weights, which the method does not have, and a linear model "
            "with a known answer",
        ),
        Claim(
            "aevb-figures",
            "Two latent coordinates give smooth manifolds of faces and digits.",
            "figures",
            "images only",
            "",
            "vae",
            needs="the images, and a distance between neighbours on the grid to judge them by",
        ),
    ),
)
