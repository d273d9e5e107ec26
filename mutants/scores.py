"""Faults of the scores by a classifier: directions, squares, clips, weights, errors."""

from __future__ import annotations

from mutants.fault import faults

FILE, TEST = (
    "gibbsian/evaluation/metrics/class_scores.py",
    "tests/evaluation/test_class_scores.py::test",
)

FAULTS = [
    *faults(
        FILE,
        f"{TEST}_sure_and_even",
        ("log_p.clamp_min(LOG_FLOOR)", "log_p"),
        ("LOG_FLOOR = math.log(1e-6)", "LOG_FLOOR = math.log(1e-5)"),
    ),
    *faults(
        FILE,
        f"{TEST}_scores_of_two_kinds_of_samples",
        ("return share @ kl.square()", "return (share @ kl).square()"),
        ("return share @ kl.square()", "return share @ kl"),
        (
            "torch.exp(torch.special.entr(share @ p).sum() - sure)",
            "torch.special.entr(share @ p).sum() - sure",
        ),
        (
            "-torch.special.entr(marginal).sum() - log_p",
            "torch.special.entr(marginal).sum() - log_p",
        ),
    ),
    *faults(
        FILE,
        f"{TEST}_errors_are_those_of_repeated_draws",
        ("for share in shares]).std()", "for share in shares]).std() / n**0.5"),
    ),
    *faults(
        FILE,
        f"{TEST}_entropy_of_classes",
        ("/ len(labels)).sqrt()", "/ len(labels))"),
        ("spread.sum() - entropy**2", "spread.sum()"),
    ),
]
