"""Du, Xu, Li, Zhu and Zhang (2018 to 2020)."""

from __future__ import annotations

from studies.papers.claim import (
    Claim,
    Finding,
    Paper,
    Results,
    average,
    between,
    finding,
    series,
    shares,
)

PLANE = ("ring8", "grid25")


def plane_modes(results: Results) -> Finding | None:
    """Modes of LBT-GAN minus those of GAN."""
    numbers, effects = [], []
    for data in PLANE:
        ours, theirs = (series(results, f"{m} / {data}", "covered") for m in ("LBT-GAN", "GAN"))
        numbers.append(f"{data}: {average(ours)} against {average(theirs)}")
        effects.append(between(data, ours, theirs))
    best = [e for e in effects if e is not None and e.stderr == 0 == e.value]
    weakness = (
        "both cover every mode, so there was nothing to see" if len(best) == len(effects) else ""
    )
    return finding(f"modes, {'; '.join(numbers)}", *effects, weakness=weakness)


def evenness(results: Results) -> Finding | None:
    """Reverse KL of the modes, GAN minus LBT-GAN."""
    gaps = []
    for data in PLANE:
        ours, theirs = (
            series(results, f"{m} / {data}", "histogram_kl") for m in ("LBT-GAN", "GAN")
        )
        gaps.append(between(data, theirs, ours))
    return finding("reverse KL of the modes, GAN minus LBT-GAN, nats", *gaps)


def quality(results: Results) -> Finding | None:
    """Share of high quality, LBT-GAN minus GAN."""
    gaps, rounds = [], []
    for data in PLANE:
        ours, theirs = (
            series(results, f"{m} / {data}", "high_quality") for m in ("LBT-GAN", "GAN")
        )
        gaps.append(between(data, ours, theirs))
        rounds += [average(series(results, f"{m} / {data}", "rounds")) for m in ("LBT-GAN", "GAN")]
    numbers = "share of samples within 3 deviations of a mode, LBT-GAN minus GAN; rounds of each: "
    return finding(numbers + ", ".join(rounds), *gaps)


def grid100(results: Results) -> Finding | None:
    """High quality on grid100 above that of uniform draws."""
    row = "LBT-GAN, mixture of 200 / grid100"
    ours, blind = (series(results, name, "high_quality") for name in (row, "uniform / grid100"))
    numbers = f"modes {average(series(results, row, 'covered'))}, of uniform draws "
    numbers += average(series(results, "uniform / grid100", "covered"))
    weakness = "coverage counts nothing where uniform draws have it; one seed"
    return finding(numbers, between("high quality above uniform", ours, blind), weakness=weakness)


def stacks(results: Results) -> Finding | None:
    """Modes of 1000, LBT-GAN minus GAN."""
    ours, theirs = (series(results, f"{m} / 14x14", "covered") for m in ("LBT-GAN", "GAN"))
    numbers = f"LBT-GAN {average(ours)}, GAN {average(theirs)} of 1000"
    return finding(numbers, between("modes", ours, theirs))


def finite(results: Results) -> Finding | None:
    """Share of runs that failed in the comparison of all methods, GAN minus LBT-GAN."""
    counts = {"gan": [0, 0], "lbt": [0, 0]}
    for page in results.values():
        for row in page.get("rows", []):
            if row["label"] in counts:
                seeds = max((e.get("seeds", 0) for e in row["entries"].values()), default=0)
                counts[row["label"]][0] += len(row["failed"])
                counts[row["label"]][1] += len(row["failed"]) + seeds
    gan, lbt = (tuple(counts[name]) for name in ("gan", "lbt"))
    numbers = f"runs that were not finite: GAN {gan[0]} of {gan[1]}, LBT-GAN {lbt[0]} of {lbt[1]}"
    return finding(numbers, shares("share", (gan[0], gan[1]), (lbt[0], lbt[1])))


ABSTRACT = "abstract"
TABLES = "the paper's own figures were not at hand"
RIVALS = (
    "Stacked-MNIST, discriminator of a quarter (tables of Lin et al. 2018): DCGAN 30.6 ± 20.7, "
    "unrolled by 5 "
)
RIVALS += f"236.4 ± 63.3 modes; {TABLES}"

PAPER = Paper(
    "LBT",
    "Du, Xu, Li, Zhu, Zhang (2018 to 2020), *Learning Implicit Generative Models by Teaching "
    "Density Estimators*, "
    "arXiv 1807.03870, ECML PKDD 2020.",
    "The abstract and the released code were read; the tables were not at hand.",
    (
        Claim(
            "lbt-likelihood",
            "With a student that is rich enough, teaching is maximum likelihood of the generator.",
            f"{ABSTRACT}, and our derivation",
            "a statement",
            "linear-Gaussian closed form; nothing is taught where the distributions agree",
            "lbt",
            proofs=(
                "tests/test_unrolled.py::test_linear_gaussian",
                "tests/test_unrolled.py::test_implicit_gradient_is_the_limit_of_the_unrolled_one",
                "tests/methods/test_lbt.py::test_nothing_to_teach_where_the_laws_agree",
            ),
        ),
        Claim(
            "lbt-modes-plane",
            "LBT-GAN covers more modes than a GAN: mixtures in the plane.",
            ABSTRACT,
            TABLES,
            "modes of ring8 and grid25 at equal time",
            "lbt",
            "mode-coverage",
            plane_modes,
        ),
        Claim(
            "lbt-even-plane",
            "LBT-GAN spreads its samples over the modes more evenly than a GAN.",
            f"{ABSTRACT} (no collapse of modes)",
            TABLES,
            "reverse KL of the modes of ring8 and grid25 at equal time",
            "lbt",
            "mode-coverage",
            evenness,
        ),
        Claim(
            "lbt-grid100",
            "LBT-GAN covers a grid of 100 modes.",
            "released code's task",
            TABLES,
            "modes of grid100, student a mixture of 200 Gaussians",
            "lbt",
            "mode-coverage",
            grid100,
        ),
        Claim(
            "lbt-modes-stacks",
            "LBT-GAN covers more modes than a GAN: Stacked-MNIST.",
            ABSTRACT,
            RIVALS,
            "modes of 1000 at 14x14, equal time, discriminator of a quarter",
            "lbt",
            "stacked-mnist",
            stacks,
            weakness="one step is looked ahead (K = 1, n_est = 1; the paper has 5 and 3), and the "
            "GAN's weights are averaged, which the paper's are not",
        ),
        Claim(
            "lbt-stability",
            "Training is more stable than a GAN's.",
            ABSTRACT,
            "no number",
            "runs that were not finite in the comparison of all methods, default settings",
            "lbt",
            "comparison-35s",
            finite,
            weakness="defaults that nobody had tuned on tables, where the failures are, and a GAN "
            "with R1",
        ),
        Claim(
            "lbt-quality",
            "Samples of LBT-GAN are of better quality.",
            ABSTRACT,
            TABLES,
            "share of high quality on ring8 and grid25 at equal time",
            "lbt",
            "mode-coverage",
            quality,
            weakness="45 CPU-seconds a run, far fewer rounds than the GAN's, settings of both not "
            "tuned alike, and a "
            "GAN with R1",
        ),
        Claim(
            "lbt-images",
            "LBT-GAN is better than the DCGAN of the same networks on CIFAR-10 and CelebA.",
            "from memory",
            TABLES,
            "",
            "lbt",
            remembered=True,
            needs="a test takes 300 000 rounds of 32x32 and 64x64 convolutions on an accelerator",
        ),
    ),
)
