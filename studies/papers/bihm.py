"""Bornschein, Shabanian, Fischer and Bengio (2016)."""

from __future__ import annotations

import math
from collections.abc import Mapping

from studies.papers.claim import (
    Claim,
    Effect,
    Finding,
    Paper,
    Results,
    average,
    between,
    finding,
    series,
)

DATA = ("binarized-mnist", "ocr-letters", "dna")
MOST = 1000
"""The largest K of the likelihoods."""


def at(data: str, method: str, name: str, samples: int, results: Results) -> list[float]:
    """The figure by seed."""
    return series(results, f"{method} / {data}", f"{name}, {samples}", 0)


def difference_of(
    name: str, results: Mapping[str, list[float]], errors: tuple[float, float], over: str
) -> Effect | None:
    """Between seeds where there are several; with the runs' own errors where there is one."""
    a, b = results.values()
    effect = between(name, a, b)
    if effect is None or len(a) > 1:
        return effect
    return Effect(name, effect.value, math.hypot(*errors), 1, over=over)


def shares_of(results: Results) -> Finding | None:
    """Effective sample sizes: BiHM's with weights sqrt(w), the wake-sleep machine's with w."""
    effects, ratios = [], []
    for data in DATA:
        sides = {
            "ours": series(results, f"BiHM / {data}", "ess of roots", 0),
            "theirs": series(results, f"RWS / {data}", "ess", 0),
        }
        noise = [
            series(results, f"BiHM / {data}", "ess of roots", 1),
            series(results, f"RWS / {data}", "ess", 1),
        ]
        if all(sides.values()):
            effects.append(difference_of(data, sides, (noise[0][0], noise[1][0]), "rows"))
            ratios.append(f"{data} {average(sides['ours'])} against {average(sides['theirs'])}")
    return finding(f"share of 10 000 draws, {'; '.join(ratios)}", *effects)


def shares_alike(results: Results) -> Finding | None:
    """Effective sample sizes of the same weights, w, for both."""
    effects = []
    for data in DATA:
        sides = {m: series(results, f"{m} / {data}", "ess", 0) for m in ("BiHM", "RWS")}
        noise = [series(results, f"{m} / {data}", "ess", 1) for m in ("BiHM", "RWS")]
        if all(sides.values()):
            effects.append(difference_of(data, sides, (noise[0][0], noise[1][0]), "rows"))
    return finding("share of 10 000 draws, weights w for both, BiHM minus RWS", *effects)


def rise(results: Results) -> Finding | None:
    """What K = 1000 adds to K = 10: -log p of wake-sleep's machine minus -log p* of BiHM."""
    effects, numbers = [], []
    for data in DATA:
        gains = {}
        for method, name in (("RWS", "log p"), ("BiHM", "log p*")):
            few, many = (at(data, method, name, k, results) for k in (10, MOST))
            gains[method] = [b - a for a, b in zip(few, many, strict=True)]
        if all(gains.values()):
            effects.append(between(data, gains["RWS"], gains["BiHM"]))
            numbers.append(f"{data} {average(gains['BiHM'])} against {average(gains['RWS'])}")
    text = f"nats from K = 10 to {MOST} on the same rows, BiHM and RWS: {'; '.join(numbers)}"
    return finding(text, *effects)


def against_rws(results: Results) -> Finding | None:
    """log p* of BiHM minus log p of the wake-sleep machine at the same K and rows."""
    effects, numbers = [], []
    for data in DATA:
        ours, theirs = (
            at(data, m, n, MOST, results) for m, n in (("BiHM", "log p*"), ("RWS", "log p"))
        )
        effects.append(between(data, ours, theirs))
        if ours and theirs:
            numbers.append(f"{data} {average([-v for v in ours])}, {average([-v for v in theirs])}")
    return finding(
        f"-log p* of BiHM and -log p of RWS at K = {MOST}: {'; '.join(numbers)}", *effects
    )


def digits(results: Results) -> Finding | None:
    """How far -log p* on binarised MNIST is below the published 84.8."""
    ours = at("binarized-mnist", "BiHM", "log p*", MOST, results)
    errors = series(results, "BiHM / binarized-mnist", f"log p*, {MOST}", 1)
    if not ours:
        return None
    effect = Effect("log p* + 84.8", ours[0] + 84.8, errors[0], len(ours), over="rows")
    return finding(f"-log p* {average([-v for v in ours])} at K = {MOST}, 1000 rows", effect)


def normaliser(results: Results) -> Finding | None:
    """-2 log Z of every machine."""
    effects = []
    for data in DATA:
        found = [-2 * v for v in series(results, f"BiHM / {data}", "log Z", 0)]
        effect = between(data, found, [0.0] * len(found))
        if effect is not None and len(found) == 1:
            noise = 2 * series(results, f"BiHM / {data}", "log Z", 1)[0]
            effect = Effect(data, effect.value, noise, 1, over="draws")
        effects.append(effect)
    return finding("-2 log Z, nats", *effects)


README = "README of the released code"
SHORT = "20 epochs of four layers; the paper trains twelve layers until validation stops improving"

PAPER = Paper(
    "Bidirectional Helmholtz machines",
    "Bornschein, Shabanian, Fischer, Bengio (2016), *Bidirectional Helmholtz Machines*, arXiv "
    "1506.03877, ICML 2016.",
    "Slides of the deck, abstract and released code were read; tables are from memory.",
    (
        Claim(
            "bihm-bounds",
            "Z <= 1, and ELBO <= log p~* <= log p.",
            "model section, deck",
            "a statement",
            "enumeration of small machines; -2 log Z of the trained ones must be above 0",
            "bihm",
            "bihm",
            normaliser,
            proofs=(
                "tests/methods/test_bihm.py::test_identities_and_bounds",
                "tests/methods/test_bihm.py::test_z_is_one_where_q_is_the_posterior",
            ),
        ),
        Claim(
            "bihm-gradient",
            "Algorithm 1 gives the gradient of log p~* with one set of draws for p and q.",
            "algorithm 1, deck",
            "a statement",
            "enumeration",
            "bihm",
            proofs=("tests/methods/test_bihm.py::test_many_samples_give_that_gradient",),
        ),
        Claim(
            "bihm-distance",
            "Of two models with equal E log p*, that with the larger E log p~* has p and q nearer "
            "to one another.",
            "deck",
            "a statement",
            "enumeration",
            "bihm",
            proofs=(
                "tests/methods/test_bihm.py::test_of_equal_log_p_star_the_larger_bound_is_nearer",
            ),
        ),
        Claim(
            "bihm-ess",
            "The effective sample size of its weights is far above reweighted wake-sleep's.",
            f"{README} and abstract; protocol from the code",
            "no number at hand",
            "share of 10 000 draws over 100 training rows, each with the weights of its own "
            "estimator",
            "bihm",
            "bihm",
            shares_of,
            remark="A root of weights has a larger effective size whatever the model: the next "
            "row has the same "
            "weights for both",
        ),
        Claim(
            "bihm-ess-alike",
            "q fits p better than after reweighted wake-sleep.",
            "abstract, our reading",
            "no number at hand",
            "the same, weights w for both",
            "bihm",
            "bihm",
            shares_alike,
        ),
        Claim(
            "bihm-few-samples",
            "Likelihood estimates converge with orders of magnitude fewer samples.",
            f"{README} and abstract",
            "orders of magnitude",
            f"what K = {MOST} adds to K = 10, on the same 1000 rows",
            "bihm",
            "bihm",
            rise,
            remark="The direction only: orders of magnitude are not shown",
        ),
        Claim(
            "bihm-mnist",
            "Binarised MNIST, twelve layers: -84.8 nats.",
            README,
            "-84.8 nats; 84.23 and 84.3 in other versions, the latter from memory",
            f"four layers, 20 epochs; K = {MOST}, 1000 rows",
            "bihm",
            "bihm",
            digits,
            weakness=SHORT,
        ),
        Claim(
            "bihm-deep",
            "It prefers many, narrowing layers.",
            README,
            "best with 12 layers",
            "",
            "bihm",
            needs="2, 4, 8 and 12 layers at equal time, 3 seeds",
        ),
        Claim(
            "bihm-tables",
            "On the UCI sets it is as good as reweighted wake-sleep or better.",
            "ICML table, from memory",
            "-log p* of BiHM and -log p of RWS: OCR letters 27.30 and 29.99, DNA 86.92 and 90.63 "
            "(from memory)",
            f"three of the sets, short runs, K = {MOST}, the same rows",
            "bihm",
            "bihm",
            against_rws,
            remembered=True,
        ),
        Claim(
            "bihm-pictures",
            "Gibbs chains draw digits and fill in hidden parts.",
            f"{README}, figures",
            "images only",
            "",
            "bihm",
            proofs=(
                "tests/methods/test_bihm.py::test_gibbs_leaves_p_star_as_it_is",
                "tests/methods/test_bihm.py::test_filling_in_has_the_conditional_law",
            ),
            remark="What holds is that the chains have the right law; how good the digits look is "
            "not measured",
        ),
    ),
)
