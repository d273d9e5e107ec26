"""Whether a run is sound: what was seen, where it can go back to, and how often it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from gibbsian.core.records import write_record

LR_FACTOR = 0.3
"""What every learning rate is multiplied by when a run goes back."""
MOST_RECOVERIES = 2
"""How often a run goes back; when it leaves its healthy range once more it stops."""


@dataclass(frozen=True)
class Snapshot:
    """A copy of the state of a run between two rounds: training may go on while it is written."""

    index: int
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, Any]
    run: str


@dataclass(frozen=True)
class Recovery:
    """One way back: seen after round ``round``, from ``back_to`` on rates were ``lr_factor`` of those set."""

    round: int
    back_to: int
    lr_factor: float
    reason: str

    def __str__(self) -> str:
        return (
            f"in round {self.round} training left what is healthy and went back to round {self.back_to}, "
            f"with learning rates x {self.lr_factor:.2g}: {self.reason}"
        )


@dataclass
class Health:
    """The part of a run's state that the guard keeps; it belongs to the checkpoints.

    ``outside``: looks in a row at which a range was left, by its name. ``good``: one or two snapshots of
    rounds at which nothing was wrong, of which the first is gone back to. ``warned``: ranges that were
    left where the run must not go back.
    """

    recoveries: list[Recovery] = field(default_factory=list)
    outside: dict[str, int] = field(default_factory=dict)
    good: list[Snapshot] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)

    @property
    def lr_factor(self) -> float:
        """What the learning rates are multiplied by."""
        return LR_FACTOR ** len(self.recoveries)

    def to_json(self) -> dict[str, Any]:
        """All but the tensors of the snapshots."""
        return {
            "recoveries": [asdict(recovery) for recovery in self.recoveries],
            "outside": dict(self.outside),
            "warned": list(self.warned),
            "good": [dict(taken.metadata) for taken in self.good],
        }


def write_recoveries(path: Path, health: Health, run: str) -> None:
    """Write the recoveries of the run with the identity ``run``, or remove the file of none."""
    if not health.recoveries:
        path.unlink(missing_ok=True)
        return
    said = [{**asdict(recovery), "said": str(recovery)} for recovery in health.recoveries]
    write_record(path, {"run": run, "recoveries": said})
