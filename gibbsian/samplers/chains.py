"""Running a kernel: ``run`` and what it returns, ``Chains``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor
from tqdm import tqdm

from gibbsian.samplers.kernel import Kernel, State


@dataclass(frozen=True)
class Chains:
    """The draws of many chains and how they went.

    ``draws [kept, chains, *event]``; ``state``: the last one, from which ``run`` can go on;
    ``acceptance [chains]``: mean acceptance probability; ``divergences [chains]``: how many
    proposals were broken (``Info.diverging``); ``evaluations``: energy or gradient evaluations per
    chain in all.
    """

    draws: Tensor
    state: State
    acceptance: Tensor
    divergences: Tensor
    steps: int
    thin: int
    evaluations: int


def run(
    kernel: Kernel,
    x0: Tensor | State,
    steps: int,
    rng: Generator,
    *,
    keep: Literal["all", "last"] = "all",
    thin: int = 1,
    on_draw: Callable[[Tensor], None] | None = None,
    progress: bool = False,
) -> Chains:
    """Take ``steps`` steps from start points ``x0 [chains, *event]`` or on from a state.

    ``keep``: ``"all"`` keeps every ``thin``-th draw in memory allocated once; ``"last"`` only the
    last, so that memory does not depend on ``steps``. ``on_draw(x)`` sees every ``thin``-th
    draw as it comes (streaming). ``progress`` shows a bar on stderr if that is a terminal.

    Raises ValueError if ``steps`` or ``thin`` is below 1, ``thin`` leaves no draw, or the start
    points do not fit (``kernel.init``).
    """
    if steps < 1 or thin < 1 or (keep == "all" and thin > steps):
        raise ValueError(
            f"run needs steps >= 1 and 1 <= thin <= steps; got steps={steps}, thin={thin}"
        )
    device = x0.x.device if isinstance(x0, State) else x0.device
    with torch.autocast(device.type, enabled=False):
        state = x0 if isinstance(x0, State) else kernel.init(x0)
        x = state.x
        acceptance, divergences = x.new_zeros(len(x)), x.new_zeros(len(x), dtype=torch.int64)
        draws = x.new_empty(steps // thin, *x.shape) if keep == "all" else None
        evaluations = 0
        for i in tqdm(range(1, steps + 1), disable=not (progress and sys.stderr.isatty())):
            state, info = kernel.step(state, rng)
            acceptance += info.acceptance
            divergences += info.diverging
            evaluations += info.evaluations
            if i % thin == 0:
                if draws is not None:
                    draws[i // thin - 1] = state.x
                if on_draw is not None:
                    on_draw(state.x)
    kept = state.x[None] if draws is None else draws
    return Chains(kept, state, acceptance / steps, divergences, steps, thin, evaluations)
