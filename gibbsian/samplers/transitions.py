"""The transitions of a run, one by one or many to a compiled graph, and the choice between the two.

The graph is made of the kernel's own ``move``, unrolled; its noise is drawn outside, step by step, as
eager steps draw theirs, so that both see the same random numbers. The networks' weights are inputs
of the graph: training changes them without compiling again.
"""

from __future__ import annotations

import math
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, ClassVar, Generic

import torch
from torch import Generator
from torch.utils._python_dispatch import TorchDispatchMode

from gibbsian.core.execution import Compile, ambient_compile
from gibbsian.samplers.kernel import ChainState, MarkovKernel, Noise, S, TransitionInfo

Move = Callable[[S, Noise], tuple[S, TransitionInfo]]
NoiseOfSteps = tuple[tuple[Noise, ...], ...]
"""What was drawn for each step, several steps to each state that is kept."""

EVALUATIONS_PER_GRAPH = 20
"""Unrolled in one graph: the cost of a call is shared by so many, and compiling takes longer with each."""
NOISE_PER_GRAPH = 2**24
"""Numbers of noise held at once."""
BLOCK, DEAR = 2048, 10_000
"""Chains that go through a graph together on the CPU, where a step of one takes so many operations or more.

Of more chains, what a network computes on the way no longer fits into the cache: a Langevin step on 32 768
chains of a 2-128-128-1 network took 1.3 to 1.5 times as long at once. Where steps are cheap, the calls cost
more than that. The choice is by operations, not by time, so that a run can be repeated bit by bit.
"""
PROBE = 10
"""Eager steps that ``auto`` times before it decides; it looks at runs of four times as many."""
FIRST_GUESS = 30.0
"""Seconds that compiling takes, where none has been timed in this process."""
MOST_REFUSALS = 3
"""Kernels with the same moves that may fail to compile before others are no longer tried."""
LEAST_SPEEDUP = 1.5
"""What ``auto`` counts on: 1.5 on networks, more on cheap energies (docs/results/bench-samplers.md)."""


class Operations(TorchDispatchMode):
    """Counts the operations of products and convolutions while it is on, backward passes included.

    PyTorch's own counter also follows modules, by hooks that a gradient by the input does not admit.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        from torch.utils.flop_counter import flop_registry  # slow to import

        kwargs = kwargs or {}
        found = func(*args, **kwargs)
        count = flop_registry.get(func._overloadpacket)
        self.total += 0 if count is None else count(*args, **kwargs, out_val=found)
        return found


@dataclass
class Progress(Generic[S]):
    """Where a run stands: its state, the steps that are left, and how they are made, in words."""

    state: S
    left: int
    execution: str = "eager"


Transitions = Iterator[tuple[TransitionInfo, int]]
"""What happened, with acceptance and diverging summed over so many steps."""


def transitions(
    kernel: MarkovKernel[S], run: Progress[S], rng: Generator, thin: int, compile: Compile | None
) -> Transitions:
    """Move ``run.state`` on until no steps are left; every ``thin``-th state is seen, 0 for the last.

    Raises ValueError where a kernel is to be compiled that has no ``move``.
    """
    chosen = ambient_compile() if compile is None else compile
    if kernel.move is None and compile is True:
        raise ValueError("this kernel has no deterministic move to compile; run it uncompiled")
    if kernel.move is None or chosen is False:
        return eager(kernel, run, rng)
    if chosen is True:
        return chain(compiled(kernel, run, rng, thin), eager(kernel, run, rng))
    return automatic(kernel, run, rng, thin)


def eager(kernel: MarkovKernel[S], run: Progress[S], rng: Generator, until: int = 0) -> Transitions:
    """Steps one by one, until so many are left."""
    while run.left > until:
        run.left -= 1
        if run.left == 0 and kernel.last is not None and kernel.noise is not None:
            run.state, info = kernel.last(run.state, kernel.noise(run.state, rng))
        else:
            run.state, info = kernel.step(run.state, rng)
        yield info, 1


def compiled(
    kernel: MarkovKernel[S],
    run: Progress[S],
    rng: Generator,
    thin: int,
    worth: float = math.inf,
) -> Transitions:
    """Steps in graphs of one length while enough are left, and none takes over ``worth`` seconds a step."""
    assert kernel.move is not None and kernel.noise is not None
    draws, steps = plan(kernel, run, thin)
    loop = loop_of(kernel.move, kernel.last if draws * steps == run.left else None)
    while run.left >= draws * steps and loop.seconds_a_step <= worth:
        noise = tuple(
            tuple(kernel.noise(run.state, rng) for _ in range(steps)) for _ in range(draws)
        )
        for state, info in loop(run.state, noise):
            run.state, run.left = state, run.left - steps
            yield info, steps
        run.execution = loop.execution


def automatic(kernel: MarkovKernel[S], run: Progress[S], rng: Generator, thin: int) -> Transitions:
    """Compiled where what that saves of the steps left exceeds what compiling has been seen to take."""
    assert kernel.move is not None
    probe = -(-PROBE // max(1, thin)) * max(1, thin)
    if run.left >= 4 * probe:
        begun = time.perf_counter()
        yield from eager(kernel, run, rng, run.left - probe)
        seconds = (time.perf_counter() - begun) / probe
        saved = seconds * run.left * (1 - 1 / LEAST_SPEEDUP)
        if saved > loop_of(kernel.move, None).seconds_to_compile(run.state):
            yield from compiled(kernel, run, rng, thin, seconds)
    yield from eager(kernel, run, rng)


def plan(kernel: MarkovKernel[S], run: Progress[S], thin: int) -> tuple[int, int]:
    """Of one graph: how many states are seen, and the steps from one to the next."""
    held = NOISE_PER_GRAPH // max(1, run.state.x.numel())
    longest = max(1, min(EVALUATIONS_PER_GRAPH // kernel.evaluations, held, run.left))
    if thin == 0:  # as few steps as can be are left for the end, which is eager
        return 1, min(range(longest, longest // 2, -1), key=run.left.__mod__)
    steps = max(n for n in range(1, longest + 1) if thin % n == 0)
    return longest // steps if steps == thin else 1, steps


class Loop(Generic[S]):
    """The compiled graphs of one kernel; uncompiled steps where there can be none, which it says once."""

    seconds_seen: ClassVar[list[float]] = []
    """What compiling took in this process."""
    refused: ClassVar[Counter[object]] = Counter()
    """By the code of their moves, how many kernels could not be compiled."""

    def __init__(self, move: Move[S], last: Move[S] | None):
        self.move, self.last = move, last
        self.known: set[tuple[object, ...]] = set()
        self.code = getattr(move, "__code__", move)
        self.execution = "eager" if self.refused[self.code] >= MOST_REFUSALS else "compiled"
        self.seconds_a_step = 0.0  # the best yet
        self.dear: bool | None = None  # not known yet

    def seconds_to_compile(self, state: S) -> float:
        """A prediction: nothing for chains of a known shape, else the longest of this process yet."""
        if self.execution != "compiled":
            return math.inf
        if any(key[0] == state.x.shape for key in self.known):
            return 0.0
        return max(self.seconds_seen, default=FIRST_GUESS)

    def __call__(self, state: S, noise: NoiseOfSteps) -> tuple[tuple[S, TransitionInfo], ...]:
        """The states seen, one for each ``noise``, with the sums of what happened on the way there."""
        begun = time.perf_counter()
        seen = self.compiled(state, noise) if self.execution == "compiled" else None
        if seen is None:
            return unrolled(self.move, self.last, state, noise)
        taken = time.perf_counter() - begun
        key = (state.x.shape, state.x.dtype, state.x.device, len(noise), len(noise[0]))
        if key in self.known:
            each = taken / (len(noise) * len(noise[0]))
            self.seconds_a_step = min(self.seconds_a_step or each, each)
        else:
            self.known.add(key)
            self.seconds_seen.append(taken)
        return seen

    def blocks(self, state: S, noise: NoiseOfSteps) -> list[tuple[Any, NoiseOfSteps]]:
        """The chains in equal parts of at most ``BLOCK``, where that is faster, or all of them in one.

        Other states than a ``ChainState`` may say something of all chains together, and stay whole.
        """
        n = len(state.x)
        few, many = -(-n // BLOCK), 2 * n // BLOCK  # of more than half a BLOCK each
        parts = next((k for k in range(few, many + 1) if n % k == 0), 1)
        if parts == 1 or not state.x.is_cpu:
            return [(state, noise)]
        if not isinstance(state, ChainState) or not self.is_dear(state, noise[0][0]):
            return [(state, noise)]
        slices = [slice(k, k + n // parts) for k in range(0, n, n // parts)]
        return [
            (
                state.select(part),
                tuple(tuple(rows(one, part) for one in several) for several in noise),
            )
            for part in slices
        ]

    def is_dear(self, state: ChainState, noise: Noise) -> bool:
        """Whether a step of a chain takes ``DEAR`` operations, by those of products and convolutions."""
        if self.dear is None:
            first = slice(0, 1)
            move: Move[Any] = self.move
            with Operations() as counted:
                _, info = move(state.select(first), rows(noise, first))
            self.dear = counted.total >= DEAR * info.evaluations
        return self.dear

    def compiled(
        self, state: S, noise: NoiseOfSteps
    ) -> tuple[tuple[S, TransitionInfo], ...] | None:
        """None, with a warning, where PyTorch finds no compiler or the energy cannot be traced."""
        # Slow to import.
        from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException

        try:
            graph = graphs(state.x.device.type)
            parts = self.blocks(state, noise)
            with torch.no_grad():
                return joined([graph(self.move, self.last, *part) for part in parts])
        except (TorchDynamoException, FailOnRecompileLimitHit) as error:
            self.execution = "eager"
            self.refused[self.code] += 1
            reason = str(error).strip().splitlines()[0]
            warnings.warn(f"chains run eagerly, as they cannot be compiled: {reason}", stacklevel=2)
            return None


def joined(
    parts: Sequence[tuple[tuple[Any, TransitionInfo], ...]],
) -> tuple[tuple[Any, TransitionInfo], ...]:
    """What was seen of all chains, from what was seen of each block of them."""
    if len(parts) == 1:
        return parts[0]
    seen = []
    for several in zip(*parts, strict=True):
        states, infos = zip(*several, strict=True)
        info = TransitionInfo(
            torch.cat([one.acceptance for one in infos]),
            torch.cat([one.diverging for one in infos]),
            infos[0].evaluations,
        )
        seen.append((ChainState.together(states), info))
    return tuple(seen)


def rows(noise: Noise, part: slice) -> Noise:
    """The noise of some of the chains."""
    return tuple(tensor[part] if tensor.ndim else tensor for tensor in noise)


@lru_cache(maxsize=16)
def loop_of(move: Move[S], last: Move[S] | None) -> Loop[S]:
    """The same object for the same kernel: runs share what they compiled."""
    return Loop(move, last)


@lru_cache(maxsize=4)
def graphs(device: str) -> Callable[..., Any]:
    """``unrolled``, compiled: PyTorch keeps the graphs of all kernels, and finds the one that fits."""
    compile: Callable[..., Callable[..., Any]] = torch.compile  # whose stubs lack the limit
    return compile(
        unrolled,
        fullgraph=True,
        dynamic=False,
        options=cpu_options() if device == "cpu" else None,
        recompile_limit=64,
    )


def cpu_options() -> dict[str, Any]:
    """What makes graphs faster on the CPU, of what this PyTorch offers: none of it is needed."""
    # On the CPU the calls between a graph's parts take a tenth of the time in C++ that they do in Python.
    options: dict[str, Any] = {"cpp_wrapper": True}
    try:
        from gibbsian.samplers.narrow_products import NarrowProducts  # slow to import
    except ImportError:  # passes over graphs are no public part of PyTorch, and may move
        return options
    return {**options, "post_grad_custom_pre_pass": NarrowProducts()}


def unrolled(
    move: Move[S], last: Move[S] | None, state: S, noise: NoiseOfSteps
) -> tuple[tuple[S, TransitionInfo], ...]:
    """A step for each ``noise[i][j]``: the states after every ``i``, and what happened on the way, summed."""
    moves = [[move] * len(several) for several in noise]
    if last is not None:
        moves[-1][-1] = last
    seen = []
    for several, how in zip(noise, moves, strict=True):
        acceptance = state.x.new_zeros(len(state.x))
        diverging = torch.zeros_like(acceptance, dtype=torch.int64)
        evaluations = 0
        for one, step in zip(several, how, strict=True):
            state, info = step(state, one)
            acceptance = acceptance + info.acceptance
            diverging = diverging + info.diverging
            evaluations += info.evaluations
        seen.append((state, TransitionInfo(acceptance, diverging, evaluations)))
    return tuple(seen)
