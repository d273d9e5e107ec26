"""Geng, Wang, Gao, Frellsen and Hauberg (2021), and the journal version with Chen (2025)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

from studies.bidirectional import diverged
from studies.papers.claim import (
    Claim,
    Effect,
    Finding,
    Paper,
    Results,
    average,
    between,
    finding,
    number,
    series,
    shares,
)

PENALTY, DIFFUSION = "log-det x gradient penalty", "log-det x diffusion"
ONE_TO_ONE = "one-to-one: "
"""Runs whose generator is a flow, which cannot fold the plane."""
LOG_DET = {f"{ONE_TO_ONE}{PENALTY}": "flow"}
ENCODER = {f"encoder x {upper}": f"encoder x {upper}" for upper in ("diffusion", "denoising")}
DIFFUSED = {row: row for row in (DIFFUSION, "encoder x diffusion")}
ASKED = 0.8
DATA = ("moons", "ring8", "grid25")


def failed(results: Results, prefix: str) -> tuple[int, int]:
    """(diverged, of) among the runs ``prefix / seed``."""
    runs = [run for seed in range(100) if (run := results.get(f"{prefix} / {seed}")) is not None]
    return sum(diverged(run) for run in runs), len(runs)


def stable(results: Results) -> Finding | None:
    """The share that diverged with the lower bound alone, minus that with bounds from both "
    "sides."""
    numbers, effects = [], []
    for data in ("moons", "grid25"):
        alone = failed(results, f"stability: lower bound only / {data}")
        both = failed(results, f"stability: {DIFFUSION} / {data}")
        numbers.append(f"{data}: {alone[0]} of {alone[1]} against {both[0]} of {both[1]}")
        effects.append(shares(data, alone, both))
    return finding(f"runs that diverged, {'; '.join(numbers)} ({DIFFUSION})", *effects)


def published_pair_stable(results: Results) -> Finding | None:
    numbers, effects = [], []
    for data in ("moons", "ring8"):
        alone = failed(results, f"{ONE_TO_ONE}VGAN (the lower bound alone) / {data}")
        both = failed(results, f"{ONE_TO_ONE}{PENALTY} / {data}")
        numbers.append(f"{data}: {alone[0]} of {alone[1]} against {both[0]} of {both[1]}")
        effects.append(shares(data, alone, both))
    return finding(f"runs that diverged, {'; '.join(numbers)} ({PENALTY})", *effects)


def nearer(results: Results, pair: str, rival: str) -> Finding | None:
    """KL(data || model) of the rival minus that of the pair; runs without a value are not in it."""
    effects, numbers = [], []
    for data in DATA:
        lost = {row: failed(results, f"{row} / {data}") for row in (pair, rival)}
        if not all(of for _, of in lost.values()):
            continue
        numbers += [f"{data}, diverged {lost[pair][0]} of {lost[pair][1]}"]
        numbers[-1] += f" against {lost[rival][0]} of {lost[rival][1]}"
        if all(bad == of for bad, of in lost.values()):
            continue  # two failures are not compared
        ours, theirs = (series(results, f"{row} / {data}", "kl") for row in (pair, rival))
        effects.append(between(data, theirs, ours))
    names = f"{rival.removeprefix(ONE_TO_ONE)} minus {pair.removeprefix(ONE_TO_ONE)}"
    text = f"KL of {names}, nats, where not all of both diverged; {'; '.join(numbers)}"
    return finding(text, *effects)


def sides(results: Results, rows: Mapping[str, str], side: str) -> Finding | None:
    """The share of trainings whose value is on its side of log Z at all measurements, less the "
    "0.8 asked."""
    effects: list[Effect | None] = []
    right, gaps = [], []
    sign = 1 if side == "upper" else -1
    for row, label in rows.items():
        kept = []
        for run in (results.get(f"{row} / {data} / {k}", {}) for data in DATA for k in range(100)):
            marks = [m for m in run.get("marks", []) if m.get("log_z") is not None and side in m]
            found = [sign * (m[side] - m["log_z"]) for m in marks]
            if found:
                kept.append(all(gap > 0 for gap in found))
                right += [gap > 0 for gap in found]
                gaps += found[-1:]
        if kept:
            p, n = (sum(kept) + 1) / (len(kept) + 2), len(kept) + 2
            value = sum(kept) / len(kept) - ASKED
            effects.append(Effect(label, value, math.sqrt(p * (1 - p) / n), len(kept)))
    if not gaps:
        return None
    words = "above" if side == "upper" else "below"
    numbers = (
        f"{words} log Z at {sum(right)} of {len(right)} measurements, at the end by "
        f"{number(min(gaps))} to "
    )
    numbers += (
        f"{number(max(gaps))} nats; share of trainings that keep it throughout, minus {ASKED}"
    )
    return finding(numbers, *effects)


def cost(results: Results) -> Finding | None:
    """Time of a round over plain VGAN's, exact log-determinant minus smallest singular value."""
    rows = results.get("pictures", {})
    exact, fast = (rows.get(f"none ({name})", []) for name in ("log-det", "singular, 2 iterations"))
    gain = between("", exact, fast)
    if gain is None:
        return None
    numbers = (
        f"time of a round over VGAN's, images, latent 16: exact {average(exact)}, singular "
        f"{average(fast)}"
    )
    return finding(numbers, Effect("exact - singular", gain.value, gain.stderr, 0, over="timings"))


def strange(results: Results) -> Finding | None:
    """Areas under the ROC curve of the energy minus those of a Gaussian."""
    effects = []
    for name in ("mnist-14", "fashion-mnist-14"):
        ours = results.get(f"{name} / bidirectional (encoder x diffusion)", {}).get("auroc", {})
        trivial = results.get(f"{name} / no training", {}).get("auroc", {}).get("Gaussian", {})
        for other, (value, error) in ours.get("energy", {}).items():
            if other.endswith("mnist-14") and other in trivial:
                gap, noise = value - trivial[other][0], (error**2 + trivial[other][1] ** 2) ** 0.5
                label = f"{name}, {other} strange"
                effects.append(Effect(label, gap, noise, 1, over="images"))
    return finding("AUROC of the energy minus a Gaussian's", *effects)


ABSTRACT = "abstract"
UNKNOWN = "its tables were not at hand"

NEURIPS = Paper(
    "Bidirectional bounds, NeurIPS",
    "Geng, Wang, Gao, Frellsen, Hauberg (2021), *Bounds all around: training energy-based models "
    "with bidirectional "
    "bounds*, arXiv 2111.00929.",
    "Abstract, supplement's preview and released code were read, the body was not.",
    (
        Claim(
            "bb-stability",
            "Training on a lower and an upper bound is more stable than min-max on one lower "
            "bound.",
            ABSTRACT,
            "no number",
            "the share of runs that diverged, lower bound alone and with the gradient penalty, a flow "
            "as generator, five seeds a side",
            "bidirectional",
            "bidirectional",
            published_pair_stable,
        ),
        Claim(
            "bb-density",
            "The energies learnt on toys (two moons, swiss roll, 25 Gaussians) are nearer to the "
            "data than with a "
            "zero-centred penalty, the baseline of the released code.",
            "the released code's toys (our reading)",
            "images only",
            "KL by quadrature, two densities, a flow as generator, five seeds a side",
            "bidirectional",
            "bidirectional",
            partial(
                nearer, pair=f"{ONE_TO_ONE}{PENALTY}", rival=f"{ONE_TO_ONE}zero-centred penalty"
            ),
        ),
        Claim(
            "bb-lower",
            "The generator's entropy from its Jacobian gives a lower bound of the negative "
            "log-likelihood.",
            f"{ABSTRACT}; the form is the code's",
            "a statement",
            "lower value of log Z, exact log-determinant of a flow, beside log Z by quadrature",
            "bidirectional",
            "bidirectional",
            partial(sides, rows=LOG_DET, side="lower"),
            proofs=(
                "tests/bounds/test_entropy.py::test_an_entropy_from_singular_values_lies_below_the_exact_one",
            ),
            remark="Of a generator that folds the plane, as dense networks do, the formula counts volume "
            "several times, and the value lies above log Z",
        ),
        Claim(
            "bb-upper",
            "A gradient penalty gives an upper bound.",
            f"{ABSTRACT}; the theorem's text was not read",
            "a statement",
            "",
            "bidirectional",
            proofs=(
                "tests/bounds/test_theorems.py::test_bennett_s_weight_makes_the_penalty_an_upper_bound",
                "tests/bounds/test_theorems.py::test_the_published_weight_is_far_below_what_a_bound_needs",
            ),
            remark="With a weight that our own theorem names; the released code's weight of 0.001 "
            "is far below it, "
            "and makes a regulariser",
        ),
        Claim(
            "bb-estimator",
            "The new estimator of the generator's Jacobian determinant is efficient.",
            ABSTRACT,
            "no number",
            "time of a round on images, exact log-determinant and smallest singular value by 2 "
            "iterations",
            "bidirectional",
            "bench-bounds",
            cost,
            proofs=(
                "tests/bounds/test_singular.py::test_mu_never_rises_and_never_falls_below_the_smallest_singular_value",
            ),
            remark="It converges from above, so before convergence it need not be a lower bound",
        ),
        Claim(
            "bb-rank",
            "Maximising the entropy keeps the generator's Jacobian from losing rank.",
            "supplement",
            "a statement",
            "",
            "bidirectional",
            needs="singular values of generators trained with and without the entropy, on images "
            "and in the plane",
        ),
        Claim(
            "bb-fid",
            "Samples of CIFAR-10 are better than those of earlier adversarial energy-based models.",
            "from memory; later tables quote it",
            "CIFAR-10 FID 28.63, IS 7.45 (from memory)",
            "",
            "bidirectional",
            remembered=True,
            needs="a test takes 781 rounds an epoch for 130 epochs of 32x32 convolutions, and "
            "FID's own network",
        ),
        Claim(
            "bb-modes",
            "All modes of Stacked-MNIST are found (the baseline's code was run on it).",
            "from memory",
            f"{UNKNOWN}",
            "",
            "bidirectional",
            remembered=True,
            needs="a test takes the recipe of the stacks study with this method, 4 seeds",
        ),
        Claim(
            "bb-ood",
            "The energy tells images of other data sets.",
            "from memory",
            f"{UNKNOWN}",
            "AUROC beside a Gaussian's, 14x14 images",
            "bidirectional",
            "ood",
            strange,
            remembered=True,
        ),
    ),
)

JOURNAL = Paper(
    "Bidirectional bounds, journal",
    "Geng, Wang, Chen, Gao, Frellsen, Hauberg (2025), *Exploring bidirectional bounds for "
    "minimax-training of "
    "Energy-based models*, IJCV, arXiv 2506.04609.",
    "The abstract and the publisher's preview were read, the body was not.",
    (
        Claim(
            "bbj-stability",
            "Training on bounds from both sides is more stable than min-max on one lower bound.",
            ABSTRACT,
            "no number",
            "the share of ten runs that diverged, lower bound alone and log-determinant with "
            "diffusion",
            "bidirectional",
            "bidirectional",
            stable,
        ),
        Claim(
            "bbj-mutual-information",
            "Mutual information of latent and sample gives a lower bound.",
            f"{ABSTRACT}; our estimator, theirs was not read",
            "a statement",
            "lower value with a variational encoder beside log Z by quadrature",
            "bidirectional",
            "bidirectional",
            partial(sides, rows=ENCODER, side="lower"),
            proofs=(
                "tests/bounds/test_entropy.py::test_barber_agakov_is_exact_with_the_posterior_and_below_otherwise",
            ),
        ),
        Claim(
            "bbj-diffusion",
            "A diffusion process gives an upper bound.",
            f"{ABSTRACT}; the formula is ours",
            "a statement",
            "upper value beside log Z by quadrature",
            "bidirectional",
            "bidirectional",
            partial(sides, rows=DIFFUSED, side="upper"),
            proofs=("tests/bounds/test_diffusion.py::test_the_integral_is_the_divergence",),
            remark="The weight of 50 makes it safe and loose: it is no estimate of log Z",
        ),
        Claim(
            "bbj-penalty",
            "The diffusion bound trains better energies than the gradient penalty.",
            f"{ABSTRACT} (a comparison of four bounds is announced; the order is our reading)",
            UNKNOWN,
            "KL by quadrature, three densities",
            "bidirectional",
            "bidirectional",
            partial(nearer, pair=DIFFUSION, rival=PENALTY),
            remembered=True,
        ),
        Claim(
            "bbj-tables",
            "Likelihoods, FID and detection of strange images of the four pairings.",
            "tables",
            UNKNOWN,
            "",
            "bidirectional",
            outside=True,
            needs="the tables, and an accelerator for 32x32 and 64x64 images",
        ),
    ),
)
