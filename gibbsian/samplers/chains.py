"""Running a kernel: ``run_chains`` and what it returns, ``Chains``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal

import torch
from torch import Generator, Tensor

from gibbsian.core.execution import Compile
from gibbsian.core.html_tables import html_table
from gibbsian.core.progress import open_bar
from gibbsian.samplers import diagnostics
from gibbsian.samplers.kernel import MarkovKernel, S, eager_on_cpu
from gibbsian.samplers.summary import HEAD, ChainSummary, summarise_chains
from gibbsian.samplers.transitions import Progress, transitions


@dataclass(frozen=True)
class Chains(Generic[S]):
    """The draws of many chains and how they went.

    ``draws [kept, chains, *event]``; ``state``: the last one, from which ``run_chains`` can go on;
    ``acceptance [chains]``: mean acceptance probability; ``divergences [chains]``: how many
    proposals were broken (``TransitionInfo.diverging``); ``evaluations``: energy or gradient evaluations per
    chain in all; ``superchains``: how many groups of chains shared their start, 0 for none.
    ``record``: where ``run_chains`` was asked for it, per draw ``[kept, chains]`` the ``acceptance_rate``
    of the steps since the draw before, whether one of them was ``diverging``, and the ``step_size``
    (NaN for kernels without). ``start_std [*event]``: the spread of the start points, None for one
    chain; ``exact``: whether the kernel keeps its target; ``execution``: eager or compiled.
    """

    draws: Tensor
    state: S
    acceptance: Tensor
    divergences: Tensor
    steps: int
    thin: int
    evaluations: int
    superchains: int = 0
    record: Mapping[str, Tensor] = field(default_factory=dict)
    start_std: Tensor | None = None
    exact: bool = True
    execution: str = "eager"

    @property
    def x(self) -> Tensor:
        """All kept draws of all chains, ``[kept * chains, *event]``."""
        return self.draws.flatten(0, 1)

    def expectation(self, f: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """E[f] and its Monte Carlo standard error, each of the shape of one row of ``f(x)``.

        Raises ValueError for fewer than 4 kept draws per chain, which show no autocorrelation.
        """
        values = f(self.x)
        columns = values.reshape(*self.draws.shape[:2], -1)
        error = diagnostics.mcse_mean(columns).to(values.dtype).reshape(values.shape[1:])
        return values.mean(0), error

    def summary(self) -> ChainSummary:
        """Diagnostics per coordinate and the verdict in words."""
        share = float(self.divergences.sum()) / (self.steps * len(self.divergences))
        return summarise_chains(
            self.draws, share, self.superchains, start_std=self.start_std, exact=self.exact
        )

    def to_arviz(self) -> dict[str, dict[str, Any]]:
        """Arrays in ArviZ's layout (chain, draw, *shape): ``arviz.from_dict(**to_arviz())``."""
        groups = {"posterior": {"x": self.draws.transpose(0, 1).cpu().numpy()}}
        if self.record:
            groups["sample_stats"] = {k: v.T.cpu().numpy() for k, v in self.record.items()}
        return groups

    def __repr__(self) -> str:
        return f"Chains({self._head()})"

    def __str__(self) -> str:
        return f"{self._head()}\n{self.summary()}"

    def _repr_html_(self) -> str:
        found = self.summary()
        columns = HEAD if found.names else ()
        return html_table(self._head(), columns, found.rows(), found.notes())

    def _head(self) -> str:
        kept, chains = self.draws.shape[:2]
        return (
            f"{chains} chains, {self.steps} steps, {kept} draws kept of each, acceptance "
            f"{float(self.acceptance.mean()):.2f}, {int(self.divergences.sum())} divergences"
            + (", compiled" if self.execution == "compiled" else "")
        )


def run_chains(
    kernel: MarkovKernel[S],
    x0: Tensor | S,
    steps: int,
    rng: Generator,
    *,
    keep: Literal["all", "last"] = "all",
    thin: int = 1,
    on_draw: Callable[[Tensor], None] | None = None,
    superchains: int = 0,
    record: bool = False,
    progress: bool = False,
    compile: Compile | None = None,
) -> Chains[S]:
    """Take ``steps`` steps from start points ``x0 [chains, *event]`` or on from a state.

    ``keep``: ``"all"`` keeps every ``thin``-th draw in memory allocated once; ``"last"`` only the
    last, so that memory does not depend on ``steps``. ``on_draw(x)`` sees every ``thin``-th
    draw as it comes (streaming). ``superchains``: the start points are that many equal groups of
    consecutive equal rows, which nested R-hat needs. ``record`` keeps how each kept draw came about
    (``Chains.record``). ``progress`` shows a bar on stderr if that is
    a terminal. ``compile`` makes graphs of about 20 gradients each: it costs some seconds once per
    kernel and number of chains. ``"auto"`` does so in runs so long that it pays, once a few eager
    steps have been timed, and ``Chains.execution`` says whether it did; None is what
    ``core.execution.compiled_chains`` says around the call, else False. Compiled and eager
    chains see the same random numbers and agree up to rounding: choose one of the two where a run
    is to be repeated bit by bit.

    Raises ValueError if ``steps`` or ``thin`` is below 1, ``thin`` leaves no draw, the kernel cannot
    be compiled, or the start points do not fit (``kernel.init``, ``superchains``).
    """
    if steps < 1 or thin < 1 or (keep == "all" and thin > steps):
        raise ValueError(
            f"run needs steps >= 1 and 1 <= thin <= steps; got steps={steps}, thin={thin}"
        )
    start = x0 if isinstance(x0, Tensor) else x0.x
    if start.ndim == 0 or start.numel() == 0:
        raise ValueError(
            f"run needs at least one chain of at least one dimension, [n, *event]; x0 is {list(start.shape)}"
        )
    if superchains:
        check_superchains(start, superchains)
    # With gradients enabled for the whole loop no step has to enable them for itself.
    with torch.autocast(start.device.type, enabled=False), torch.enable_grad():
        run = Progress(kernel.init(x0) if isinstance(x0, Tensor) else x0, steps)
        x = run.state.x
        acceptance, divergences = x.new_zeros(len(x)), x.new_zeros(len(x), dtype=torch.int64)
        evaluations = all_moved = 0
        draws = x.new_empty(steps // thin, *x.shape) if keep == "all" else None
        sums: list[tuple[Tensor, Tensor, Tensor]] = []
        watched = thin if record or on_draw is not None or draws is not None else 0
        with open_bar("chains", asked=progress, total=steps) as bar:
            for info, taken in transitions(kernel, run, rng, watched, compile):
                evaluations += info.evaluations
                if info.all_moved:
                    all_moved += taken
                else:
                    acceptance += info.acceptance
                    # Dearer to add than to ask.
                    if not eager_on_cpu(x) or bool(info.diverging.any()):
                        divergences += info.diverging
                bar.update(taken)
                i = steps - run.left
                if i % thin == 0:
                    if draws is not None:
                        draws[i // thin - 1] = run.state.x
                    if record:
                        size = getattr(run.state, "step_size", x.new_full((), torch.nan))
                        sums.append(
                            (acceptance + all_moved, divergences.clone(), size.expand(len(x)))
                        )
                    if on_draw is not None:
                        on_draw(run.state.x)
    state = run.state
    kept = state.x[None] if draws is None else draws
    return Chains(
        kept,
        state,
        (acceptance + all_moved) / steps,
        divergences,
        steps,
        thin,
        evaluations,
        superchains,
        recorded(sums, thin) if keep == "all" else {},
        start.std(0) if len(start) > 1 else None,
        kernel.exact,
        run.execution,
    )


def recorded(sums: Sequence[tuple[Tensor, Tensor, Tensor]], thin: int) -> dict[str, Tensor]:
    """From running sums ``[chains]`` at every kept draw to what happened between two draws."""
    if not sums:
        return {}
    acceptance, divergences, sizes = (torch.stack(column) for column in zip(*sums, strict=True))
    first = torch.zeros_like(divergences[:1])
    return {
        "acceptance_rate": acceptance.diff(dim=0, prepend=first.to(acceptance.dtype)) / thin,
        "diverging": divergences.diff(dim=0, prepend=first) > 0,
        "step_size": sizes,
    }


def check_superchains(start: Tensor, superchains: int) -> None:
    """ValueError unless ``start`` is ``superchains`` equal groups of equal rows."""
    if superchains < 2 or len(start) % superchains or len(start) == superchains:
        raise ValueError(
            f"{len(start)} chains do not split into {superchains} superchains of at least 2 chains"
        )
    groups = start.unflatten(0, (superchains, -1))
    if not bool((groups == groups[:, :1]).all()):
        raise ValueError(
            "the chains of a superchain must start at the same point; use "
            "x0.repeat_interleave(chains_per_group, 0)"
        )
