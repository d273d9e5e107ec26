"""What an expression is worth: whether it bounds, which quantity, and under which conditions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Guarantee:
    """The expression lies on ``side`` of ``quantity`` if every one of ``conditions`` holds.

    An empty tuple of conditions is a proof. ``side`` "neither" marks a regulariser, whose value
    says nothing about the quantity.
    """

    side: Literal["lower", "upper", "neither"]
    quantity: str
    conditions: tuple[str, ...] = ()

    @property
    def proved(self) -> bool:
        """Whether the expression is a bound as it stands."""
        return self.side != "neither" and not self.conditions

    def __str__(self) -> str:
        if self.side == "neither":
            return f"no bound on {self.quantity}: a regulariser"
        where = f" if {' and '.join(self.conditions)}" if self.conditions else ""
        return f"{self.side} bound on {self.quantity}{where}"
