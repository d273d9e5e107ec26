"""Zhao, Mathieu and LeCun (2017)."""

from __future__ import annotations

import math
from statistics import median

from studies.ebgan_grid import CONFIGURATIONS, EQUAL_ROUNDS, FAMILIES, of_family
from studies.ladder import by_split
from studies.modes_on_stacks import by_seed
from studies.papers.claim import (
    Claim,
    Effect,
    Finding,
    Paper,
    Results,
    average,
    finding,
    number,
    paired,
)

EBGAN, PULLED, GAN, OTHER = FAMILIES


def figures(results: Results, family: str, name: str) -> dict[int, float]:
    """Architecture -> the figure of a family's run; a run that diverged counts 0."""
    found = {}
    for n in range(CONFIGURATIONS):
        run = results.get(f"{family} / {n:02d}")
        if run is not None:
            found[n] = run[name][0] if name in run else 0.0
    return found


def pair(label: str, results: Results, a: str, b: str, name: str) -> Effect | None:
    """``a`` minus ``b`` over the architectures that both have."""
    left, right = (figures(results, family, name) for family in (a, b))
    both = [n for n in left if n in right]
    values = ([left[n] for n in both], [right[n] for n in both])
    return paired(label, *values, over="architectures")


def grid(results: Results) -> Finding | None:
    """I' of EBGAN minus that of GANs of the same architecture."""
    medians = []
    for family in (EBGAN, GAN, OTHER):
        found = figures(results, family, "i_prime")
        medians.append(f"{family} {number(median(found.values()))}" if found else "")
    entropies = [
        r["entropy"][0] for f in (GAN, OTHER) for r in of_family(results, f) if "entropy" in r
    ]
    if not entropies:
        return None
    collapsed = (
        f"the GANs' median class entropy is {number(median(entropies))} of {math.log(10):.2f} nats"
    )
    return finding(
        f"median I': {', '.join(medians)}; {collapsed}",
        pair("I', Adam 0.001", results, EBGAN, GAN, "i_prime"),
        pair("I', other optimizers", results, EBGAN, OTHER, "i_prime"),
    )


def pull(results: Results) -> Finding | None:
    """Class entropy with the pulling-away term minus without."""
    effects = [pair("weight 0.1, equal time", results, PULLED, EBGAN, "entropy")]
    for family, label in zip(
        EQUAL_ROUNDS[1:], ("weight 0.1, equal rounds", "weight 10, equal rounds"), strict=True
    ):
        effects.append(pair(label, results, family, EQUAL_ROUNDS[0], "entropy"))
    plain = figures(results, EQUAL_ROUNDS[0], "entropy") or figures(results, EBGAN, "entropy")
    weakness = ""
    if plain:
        left = math.log(10) - median(plain.values())
        weakness = (
            f"without the term the median class entropy is within {number(left)} nats of its "
            f"largest value, so that "
            "hardly anything can be gained, and no modes are lost that it could keep"
        )
    return finding("class entropy, with minus without, nats", *effects, weakness=weakness)


def pull_on_stacks(results: Results) -> Finding | None:
    """Reverse KL of the modes without the pulling-away term minus with it, seed by seed."""
    plain = by_seed(results, "EBGAN", "histogram_kl")
    effects = []
    for weight in ("0.1", "10"):
        pulled = by_seed(results, f"EBGAN-PT, {weight}", "histogram_kl")
        seeds = [seed for seed in plain if seed in pulled]
        pairs = ([plain[s] for s in seeds], [pulled[s] for s in seeds])
        effects.append(paired(f"weight {weight}", *pairs))
    kept = list(by_seed(results, "EBGAN", "covered").values())
    weakness = ""
    if kept:
        few = number(median(kept))
        weakness = f"without the term {few} of 1000 modes are kept, so that few can be gained"
    return finding(
        "reverse KL of 1000 modes, without minus with, nats", *effects, weakness=weakness
    )


def flat(results: Results) -> Finding | None:
    """How far the game on a table ends from p_G = p_data and a flat energy; 0.01 is allowed."""
    course = results.get("flat energy", {}).get("course")
    if not course:
        return None
    end = course[-1]
    numbers = (
        f"after {end['round']} rounds: total variation {number(end['tv'])}, deviation of the "
        f"energy on data "
    )
    numbers += f"{number(end['deviation'])} of m = 1"
    return finding(
        numbers,
        Effect("0.01 - total variation", 0.01 - end["tv"], 0.0, 0),
        Effect("0.01 - deviation", 0.01 - end["deviation"], 0.0, 0),
    )


def told(results: Results) -> Finding | None:
    """Errors with 100 labels, the ladder alone minus with the game, split by split."""
    found = by_split(results)
    alone, game = (found.get(f"ladder, {arm}", {}) for arm in ("alone", "game"))
    splits = [split for split in alone if split in game]
    if not splits:
        return None
    gains = ([alone[s] for s in splits], [game[s] for s in splits])
    known = ("ladder, alone", "ladder, game", "1-nearest-neighbour", "logistic regression")
    shown = [f"{name} {average(list(found[name].values()))}" for name in known if name in found]
    effect = paired("points, alone minus game", *gains, published=LADDER[100][1] - LADDER[100][0])
    return finding(f"error in per cent: {'; '.join(shown)}", effect)


GAME = "A ladder network that plays EBGAN's game errs less with {} labels than without the game."
LADDER = {100: (1.04, 1.36), 200: (0.99, 1.24), 1000: (0.89, 1.04)}

PAPER = Paper(
    "EBGAN",
    "Zhao, Mathieu, LeCun (2017), *Energy-based Generative Adversarial Network*, arXiv 1609.03126.",
    "The text and both tables were read; appendices are from memory.",
    (
        Claim(
            "ebgan-lemma-1",
            "The least value of a y + b [m - y]^+ over y >= 0 is m min(a, b); so the best energy "
            "gives m (1 - TV).",
            "lemma 1",
            "a statement",
            "exact, over a grid and on discrete laws",
            "ebgan",
            proofs=(
                "tests/methods/test_ebgan.py::test_lemma_1",
                "tests/methods/test_ebgan.py::test_least_value_is_the_margin_times_the_overlap",
            ),
        ),
        Claim(
            "ebgan-theorem-1",
            "In a Nash equilibrium p_G = p_data.",
            "theorem 1",
            "a statement",
            "a discrete equilibrium",
            "ebgan",
            proofs=("tests/methods/test_ebgan.py::test_a_flat_energy_is_an_equilibrium",),
        ),
        Claim(
            "ebgan-theorem-2",
            "An equilibrium exists, and there the energy is constant on the data.",
            "theorem 2",
            "a statement",
            "the game played exactly on a table",
            "ebgan",
            "equilibria",
            flat,
        ),
        Claim(
            "ebgan-grid",
            "Over a grid of settings EBGAN trains more reliably than a GAN: its histogram of I' "
            "lies to the right.",
            "table 1, figures 2 and 3",
            "histograms of 512 and 6144 runs",
            "24 architectures, MNIST at 14x14, 10 CPU-seconds a run",
            "ebgan",
            "ebgan-grid",
            grid,
            remark="The rivals are the grid's GANs, which mostly collapse in this time; a GAN "
            "with R1 is not among them",
        ),
        Claim(
            "ebgan-pulling-away",
            "The pulling-away term keeps the generator from drawing a few modes.",
            "the repelling regulariser; figures 2 and 3",
            "histograms and images",
            "entropy of the classes, paired by architecture",
            "ebgan",
            "ebgan-grid",
            pull,
        ),
        Claim(
            "ebgan-pulling-away-stacks",
            "The pulling-away term keeps the generator from drawing a few modes: Stacked-MNIST, ours.",
            "the repelling regulariser",
            "images",
            "reverse KL of the modes at 14x14, paired by seed",
            "ebgan",
            "modes-on-stacks",
            pull_on_stacks,
        ),
        Claim(
            "ebgan-margin",
            "A margin that is too large is unstable, one that is too small drops modes.",
            "figure 9; which of the two, from memory",
            "images, m from 1 to 32",
            "",
            "ebgan",
            remembered=True,
            needs="a test takes the sweep of `studies/spaces/ebgan-margin.json`, 3 seeds a margin",
        ),
        Claim(
            "ebgan-ladder-100",
            GAME.format(100),
            "table 2, permutation-invariant MNIST",
            f"{LADDER[100][0]} % against {LADDER[100][1]} %, 15 seeds",
            "14x14, a quarter of the units, 3000 rounds instead of 180 000, 3 splits of labels",
            "ebgan",
            "ladder",
            told,
            weakness="rounds, units and pixels are far below the paper's",
        ),
        *(
            Claim(
                f"ebgan-ladder-{labels}",
                GAME.format(labels),
                "table 2, permutation-invariant MNIST",
                f"{LADDER[labels][0]} % against {LADDER[labels][1]} %, 15 seeds",
                "",
                "ebgan",
                needs="the study of 100 labels with as many",
            )
            for labels in (200, 1000)
        ),
        Claim(
            "ebgan-decay",
            "Letting the margin fall to 0 is essential for the semi-supervised runs.",
            "semi-supervised runs, text",
            "no number",
            "",
            "ebgan",
            needs="the ladder's runs with and without the decay",
        ),
        Claim(
            "ebgan-images",
            "LSUN, CelebA and ImageNet (128x128, 256x256) are drawn better than by a DCGAN.",
            "convolutional runs, figures",
            "images only",
            "",
            "ebgan",
            outside=True,
            needs="those data, accelerators for days, and a number to judge by",
        ),
    ),
)
