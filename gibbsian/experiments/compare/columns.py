"""The columns of a comparison: what each figure is called, and which way is better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Column:
    """A figure of a run.

    ``better``: which way; ``about``: ``samples``, which all methods have, a ``density`` or an
    ``energy``, which some have.
    """

    label: str
    better: Literal["low", "high"]
    about: Literal["samples", "density", "energy"]
    unit: str = ""

    @property
    def sign(self) -> float:
        """1 where a higher figure is better, -1 where a lower one is."""
        return 1.0 if self.better == "high" else -1.0


COLUMNS: Mapping[str, Column] = {
    "sliced-wasserstein": Column("sliced Wasserstein-1", "low", "samples"),
    "mmd": Column("MMD²", "low", "samples"),
    "two-sample": Column("two-sample accuracy", "low", "samples"),
    "frechet": Column("Fréchet distance", "low", "samples"),
    "kernel": Column("kernel distance (KID)", "low", "samples"),
    "precision": Column("precision", "high", "samples"),
    "recall": Column("recall", "high", "samples"),
    "inception-type": Column("Inception-type score", "high", "samples"),
    "modes": Column("modes covered", "high", "samples"),
    "high-quality": Column("high-quality fraction", "high", "samples"),
    "mode-kl": Column("reverse KL of modes", "low", "samples", "nats"),
    "log-likelihood": Column("log-likelihood, at least", "high", "density", "nats a row"),
    "log-likelihood-upper": Column("log-likelihood, at most", "high", "density", "nats a row"),
    "kl": Column("KL(data || model)", "low", "density", "nats"),
    "auroc": Column("AUROC, corrupted rows", "high", "energy"),
}
"""Name -> column, in the order of the table. An upper side is shown and never ranked."""

SHOWN_ONLY = ("log-likelihood-upper",)
