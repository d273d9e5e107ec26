"""Which trials a sweep has: the points of a grid, or as many as are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gibbsian.experiments.sweep.space import Choices, Range, Space, Values, decoded, grid, listed

if TYPE_CHECKING:
    import optuna

Search = Literal["grid", "random", "bayes"]


def planned(space: Space, search: Search, trials: int) -> tuple[list[Values], int]:
    """The points of a grid, none for other searches, and the number of trials.

    ValueError for a range in a grid, or another search without a number.
    """
    if search == "grid":
        points = grid(space)
        return points, len(points)
    if trials < 1:
        raise ValueError(f"a {search} search needs a number of trials: give --num-trials")
    return [], trials


class SearchPlan:
    """The ``Plan`` of a search over ``space``, whose trials lie in the folder ``out``.

    ``trials``: how many to make, which a grid knows itself.
    """

    def __init__(
        self,
        out: Path,
        space: Space,
        search: Search,
        maximise: bool,
        trials: int = 0,
        seed: int = 0,
    ):
        self.out, self.space, self.search, self.maximise = out, space, search, maximise
        self.points, self.trials = planned(space, search, trials)
        self.seed, self.names = seed, frozenset(space)

    def next(self, begun: Sequence[Values], trials: int) -> Values | None:
        """The next point of a grid; of another search nothing is fixed."""
        if len(begun) >= trials:
            return None
        return next((p for p in self.points if p not in begun), None) if self.points else {}

    def has(self, values: Values) -> bool:
        """All do: a sweep's space does not change."""
        return True

    def check(self, values: Values, origin: str, number: int) -> None:
        """ValueError where the journal sets an option to what the space does not list."""
        for name, value in values.items():
            if name not in self.space or not listed(self.space[name], value):
                raise ValueError(
                    f"{origin} is damaged: trial {number} sets "
                    f"{name} to {value}, which is not in the space; choose another --out"
                )

    def decoded(self, values: Values) -> Values:
        """Values of options, of which the journal has texts."""
        return decoded(self.space, values)

    def value(self, result: dict[str, Any]) -> float:
        """The objective's."""
        return float(result["value"])

    def file(self, number: int, values: Values) -> Path:
        """The result in a folder with the trial's number."""
        return self.out / "trials" / f"{number:05d}" / "result.json"

    def sampler(self, optuna: Any, begun: int) -> optuna.samplers.BaseSampler:
        """A sampler for the next trial: its draws depend on how many there are.

        One that began anew with the same seed would repeat its first points after a kill.
        """
        samplers, seed = optuna.samplers, self.seed * 1_000_003 + begun
        if self.search == "bayes":
            return samplers.TPESampler(seed=seed, constant_liar=True)
        return samplers.RandomSampler(seed=seed)

    def distributions(self, optuna: Any) -> dict[str, optuna.distributions.BaseDistribution]:
        """Lists as categories, ranges as they are."""
        kinds, found = optuna.distributions, {}
        for name, values in self.space.items():
            if isinstance(values, Choices):
                found[name] = kinds.CategoricalDistribution(values.texts)
            else:
                assert isinstance(values, Range)
                kind = kinds.IntDistribution if values.whole else kinds.FloatDistribution
                found[name] = kind(values.low, values.high, log=values.log)
        return found
