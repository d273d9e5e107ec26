"""log p(x) = -E(x) + log b(x) - log Z from both sides, from an interval for log Z."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gibbsian.core import Energy, Estimate, Interval, NotDefined, check_energy
from gibbsian.core.measures import Measure
from gibbsian.core.numerics import as_double


def log_prob_bounds(
    energy: Energy, measure: Measure, log_z: Interval, x: Tensor
) -> tuple[Tensor, Tensor]:
    """Lower and upper side of log p(x), ``[B]`` each, in nats.

    The lower side uses the upper one of log Z and has its standing and standard error, the same in
    every row; the upper side the other way round. -inf where x lies outside the measure.
    """
    with torch.no_grad():
        potential = check_energy(energy(x), len(x)) - measure.log_density(x)
    return -potential - log_z.upper.value, -potential - log_z.lower.value


ONE_ROW, FEWEST = 0.5, 20
"""A row with more than this share of the squared deviations from the median is told, from so many rows on."""


def held_out_log_likelihood(
    energy: Energy,
    measure: Measure,
    log_z: Interval | NotDefined,
    x: Tensor,
    numbers: Sequence[int] | None = None,
) -> Interval | NotDefined:
    """Mean of log p over held-out rows ``x [B, *event]``, in nats, from both sides.

    The standard errors join that of log Z and that of the mean over rows, which are independent
    where x had no part in log Z. A "bound in expectation" of log Z from above is one of the
    likelihood from below. The warnings of log Z are carried over, and one row that makes most of the
    error is told, by its number if ``numbers [B]`` of the rows are given. Raises ValueError for fewer than
    two rows.
    """
    if isinstance(log_z, NotDefined):
        return log_z
    if len(x) < 2:
        raise ValueError(f"a held-out likelihood needs at least two rows; got {len(x)}")
    below, above = log_prob_bounds(energy, measure, log_z, x)
    rows = float(as_double(below).std() / math.sqrt(len(x)))

    def side(values: Tensor, opposite: Estimate, name: str) -> Estimate:
        exact = opposite.standing == "exact"
        return Estimate(
            value=float(as_double(values).mean()),
            stderr=math.hypot(rows, opposite.stderr),
            side="both" if exact else name,  # type: ignore[arg-type]
            standing=opposite.standing,
            how=f"mean over {len(x)} held-out rows, log Z by {opposite.how}",
            diagnostics={"rows": len(x), "stderr_rows": rows, "stderr_log_z": opposite.stderr},
        )

    return Interval(
        side(below, log_z.upper, "lower"),
        side(above, log_z.lower, "upper"),
        name="log p",
        warnings=(*log_z.warnings, *_one_row(below, numbers)),
    )


def _one_row(log_p: Tensor, numbers: Sequence[int] | None) -> tuple[str, ...]:
    """A sentence where one row of ``log_p [B]`` makes most of the mean's standard error."""
    away = as_double(log_p) - as_double(log_p).median()
    if len(away) < FEWEST or not away.isfinite().all():
        return ()
    square = away.square()
    row = int(square.argmax())
    if not square[row] > ONE_ROW * square.sum():
        return ()
    which = "" if numbers is None else f" (row {numbers[row]} of the file)"
    side = "below" if away[row] < 0 else "above"
    return (
        f"one of the {len(away)} held-out rows{which} lies {float(away[row].abs()):.3g} nats {side} the "
        "median and makes most of the error of the mean log p",
    )
