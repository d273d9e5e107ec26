"""The guard: looks at a run now and then; one that leaves what is healthy goes back, with smaller rates.

Where it goes back to, and with which random numbers, depends on nothing but the run: looks and snapshots
come at fixed rounds, whatever is logged and saved, so that a run that was killed goes the same way.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor

from gibbsian.core import TrainingMethod
from gibbsian.core.healthy_ranges import HealthyRange
from gibbsian.core.randomness import seed_from, seed_global
from gibbsian.core.types import DivergenceError
from gibbsian.training import checkpoints, processes
from gibbsian.training.checkpoints import Progress
from gibbsian.training.health import LR_FACTOR, MOST_RECOVERIES, Recovery

LOOK_EVERY = 25
"""Rounds between two looks, at which the host waits for the device."""
SNAPSHOT_EVERY = 250
"""Rounds between two snapshots in main memory; a multiple of the above. The last two are kept."""


def begin(progress: Progress, recover: bool) -> None:
    """Keep the first round to go back to, where there is none yet."""
    if recover and not progress.health.good:
        progress.health.good = [checkpoints.copy_state(progress)]


def look(progress: Progress, logs: Mapping[str, Tensor], recover: bool, check: bool) -> None:
    """See whether the run is sound, and keep a snapshot now and then while it is.

    ``logs``: of the round just played. ``check``: whether numbers must be finite now, also between two looks.
    Raises NonFiniteError where they are not, DivergenceError where a range of the method was left; where
    the run must not ``recover`` the latter is a warning, once for each range.
    """
    due = progress.index % LOOK_EVERY == 0
    if due or check:
        progress.stepper.check(progress.index)
    if not due:
        return
    ranges, left = progress.method.healthy, _left(progress, logs)
    found = next((r for r in ranges if left.get(r.name, 0) >= r.looks), None)
    device = progress.stepper.device
    if ranges and processes.any_process(found is not None, device):
        error = DivergenceError(_said(found, progress, logs), progress.index)
        if recover:
            raise error
        _warn_once(progress, found, str(error))
    if not recover or progress.index % SNAPSHOT_EVERY > 0:
        return
    if not (ranges and processes.any_process(bool(left), device)):
        good = [*progress.health.good, checkpoints.copy_state(progress)]
        progress.health.good = good[-2:]


def _left(progress: Progress, logs: Mapping[str, Tensor]) -> dict[str, int]:
    """Update and return the looks in a row at which each range was left; those that hold are left out."""
    outside = progress.health.outside
    for expected in progress.method.healthy:
        left = expected.left(logs, _dimension(progress.method))
        if left:
            outside[expected.name] = outside.get(expected.name, 0) + 1
        elif left is not None:
            outside.pop(expected.name, None)
    return outside


def _dimension(method: TrainingMethod) -> int:
    """Numbers of an observation."""
    return int(torch.Size(method.measure.shape).numel())


def _said(left: HealthyRange | None, progress: Progress, logs: Mapping[str, Tensor]) -> str:
    if left is None:
        return f"another process saw what is not healthy in round {progress.index}"
    value = left.value(logs)
    assert value is not None
    low, high = left.limits(_dimension(progress.method))
    limit, side = (high, "above") if float(value) > high else (low, "below")
    return (
        f"{left.name} is {float(value):.3g} in round {progress.index}, {side} {limit:g} for "
        f"{LOOK_EVERY * left.looks} rounds: {left.why}"
    )


def _warn_once(progress: Progress, left: HealthyRange | None, said: str) -> None:
    if left is not None and left.name not in progress.health.warned:
        progress.health.warned.append(left.name)
        warnings.warn(f"training has left what is healthy: {said}", stacklevel=3)


def go_back(progress: Progress, error: DivergenceError, seed: int) -> None:
    """Go on from the last good round but one, with smaller rates and other random numbers; warn.

    Raises an error of the same kind, with all that was seen, when the run has gone back often enough.
    ``seed``: of the run, from which the new random numbers come.
    """
    health = progress.health
    if len(health.recoveries) >= MOST_RECOVERIES:
        before = " and ".join(
            f"from round {recovery.round} to {recovery.back_to} ({recovery.reason.partition(':')[0]})"
            for recovery in health.recoveries
        )
        said = f"{error}; training stops. Before, it went back {before}"
        raise type(error)(said, error.round) from error
    seen = progress.index if error.round is None else error.round
    good = health.good[0]
    factor = LR_FACTOR ** (len(health.recoveries) + 1)
    health.recoveries.append(Recovery(seen, good.index, factor, str(error)))
    health.good, health.outside = [good], {}
    copies = {name: value.clone() for name, value in good.tensors.items()}  # it may be needed again
    checkpoints.put_back(progress, copies, good.metadata)
    stepper = progress.stepper
    stepper.lr_factor = health.lr_factor
    stepper.forget_fault()
    fresh = seed_from(torch.tensor([seed, len(health.recoveries), processes.rank()]))
    progress.rng.manual_seed(fresh)
    seed_global(fresh, stepper.device)
    if processes.rank() == 0:
        count = f"{len(health.recoveries)} of at most {MOST_RECOVERIES}"
        warnings.warn(f"{health.recoveries[-1]} (recovery {count})", stacklevel=3)
