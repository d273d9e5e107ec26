"""Bruna, Sprechmann and LeCun (2016)."""

from __future__ import annotations

from functools import partial

from studies.papers.claim import Claim, Effect, Finding, Paper, Results, finding, paired
from studies.super_resolution import FACTORS, of_pictures


def against(results: Results, low: str, high: str, measure: str, sign: int = 1) -> list[Effect]:
    """``high`` minus ``low`` over the held-out photographs, per factor."""
    effects = []
    for factor in FACTORS:
        rows = of_pictures(results, factor)
        if low in rows and high in rows:
            a, b = (rows[name][measure].tolist() for name in (high, low))
            source = {"point": "scattering"}.get(low, low)
            runs = sum(label.startswith(f"x{factor} / {source} / ") for label in results)
            label = f"{low}, factor {factor}"
            effect = paired(
                label, [sign * x for x in a], [sign * x for x in b], None, "photographs", runs
            )
            effects += [effect] if effect is not None else []
    return effects


def texture(results: Results) -> Finding | None:
    """Distance of texture from the truth: the point estimate's minus that of statistics."""
    found = [
        effect
        for name in ("scattering", "SqueezeNet")
        for effect in against(results, name, "point", "texture")
    ]
    return finding("texture distance, point estimate minus statistics, grey levels", *found)


def tuned(results: Results, measure: str) -> Finding | None:
    """The scattering model's distance minus that after fine-tuning."""
    found = [
        effect
        for name in ("fine-tuned, descent", "fine-tuned, Langevin")
        for effect in against(results, name, "scattering", measure)
    ]
    return finding(f"{measure} distance, before minus after fine-tuning", *found)


def sharper(results: Results) -> Finding | None:
    """PSNR of the point estimate minus that of statistics."""
    found = [
        effect
        for name in ("scattering", "SqueezeNet")
        for effect in against(results, name, "point", "psnr")
    ]
    return finding("PSNR, point estimate minus statistics, dB", *found)


PAPER = Paper(
    "Super-resolution by statistics",
    "Bruna, Sprechmann, LeCun (2016), *Super-Resolution with Deep Convolutional Sufficient "
    "Statistics*, "
    "arXiv 1511.05666, ICLR 2016.",
    "Abstract and slides of the deck were read, the body was not: our settings are our own "
    "choices.",
    (
        Claim(
            "sr-mean",
            "Statistics of features avoid the regression to the mean of point estimates.",
            "abstract",
            "no number at hand",
            "texture of eight held-out photographs, paired",
            "super-resolution",
            "super-resolution",
            texture,
        ),
        Claim(
            "sr-psnr",
            "They are sharper and lower in PSNR than the point estimate.",
            "experiments, from memory",
            "no number at hand (from memory)",
            "PSNR of eight held-out photographs, paired",
            "super-resolution",
            "super-resolution",
            sharper,
            remembered=True,
        ),
        Claim(
            "sr-fine-tuning",
            "Fine-tuning by the estimated gradient of the conditional likelihood improves the "
            "statistics.",
            "abstract",
            "no number at hand",
            "texture of eight held-out photographs before and after, paired",
            "super-resolution",
            "super-resolution",
            partial(tuned, measure="texture"),
            weakness="300 rounds of fine-tuning, one weight and rate, not tuned, and eight "
            "photographs",
        ),
        Claim(
            "sr-gradient",
            "The gradient raises the likelihood of the truth against the model's own "
            "reconstructions.",
            "abstract",
            "a statement",
            "finite differences and signs",
            "super-resolution",
            proofs=(
                "tests/methods/test_super_resolution.py::test_fine_tuning_lowers_the_truth_and_raises_the_negatives",
            ),
        ),
        Claim(
            "sr-stable",
            "The statistics are stable to deformation and vary little on stationary texture.",
            "abstract",
            "a statement",
            "",
            "super-resolution",
            needs="distances of features under small deformations and over draws of a stationary "
            "texture, beside "
            "those of pixels",
        ),
        Claim(
            "sr-tables",
            "Results on the usual test photographs (Set5, Set14).",
            "experiments, from memory",
            "no number at hand",
            "",
            "super-resolution",
            remembered=True,
            needs="a test takes those photographs, and the paper's tables",
        ),
    ),
)
