"""The loop: rounds, logging, checkpoints, signals. Knows ``TrainingMethod``, nothing of any method."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from gibbsian.core import DivergenceError, TrainingMethod
from gibbsian.core.execution import compiled_chains
from gibbsian.core.protocols import HasStages
from gibbsian.core.randomness import seed_global
from gibbsian.core.recoveries import RECOVERIES
from gibbsian.core.signatures import RARE
from gibbsian.training import checkpoints, guard, metric_log, processes
from gibbsian.training.arithmetic import Precision, arithmetic, channels_last, check_precision
from gibbsian.training.checkpoints import Progress
from gibbsian.training.health import write_recoveries
from gibbsian.training.optimizers import OptimizerOptions
from gibbsian.training.rounds_shown import Forecast, rounds_bar, watched_numbers
from gibbsian.training.stepper import Stepper
from gibbsian.training.writer import Writer

Augmentation = Literal["none", "flips", "shifts", "flips-and-shifts"]


@dataclass(frozen=True)
class TrainingOptions:
    """How long and on what a run trains.

    Args:
        rounds: rounds of the game; what one round is stands in the method's page.
        batch: observations per batch, where 0 takes 256, or all rows if there are fewer.
        seed: of everything: initial weights, batches, noise.
        device: cpu, cuda, cuda:1, mps, or auto for the best one present.
        threads: CPU threads; one suits small networks, is kind to busy machines, and makes the
            bits of a run independent of the number of cores. 0 leaves PyTorch's choice.
        float_precision: float32; on a GPU with tensor cores tf32 (products of matrices and convolutions round
            their inputs to 10 bits) or bfloat16 (losses under autocast), which the CPU has too.
        deterministic: on a GPU, only algorithms that repeat to the bit; slower. The CPU's all do.
        compile: compile each loss once, and the steps of chains; pays on long runs of small networks.
        ema: decay of the moving average of the weights that is saved as the model; 0 saves the last.
        log_every: rounds between two lines of metrics.
        save_every: rounds between two checkpoints; 0 saves only at the end.
        validate_every: rounds between two looks at the validation rows, for methods with an exact
            log-density; the weights with the best log-likelihood seen there are saved as the model. 0
            does not look.
        recover: go back to the last good round with smaller learning rates, at most twice, where training
            leaves what is healthy; without, a number that is not finite ends it and the rest is a warning.
        augment: images mirrored left to right (flips), moved by up to a fourteenth of their side (shifts), or
            both, afresh in each batch; the model is then of such images too.
    """

    rounds: int = 5_000
    batch: int = 0
    seed: int = 0
    device: str = "auto"
    threads: Annotated[int, RARE] = 1
    float_precision: Annotated[Precision, RARE] = "float32"
    deterministic: Annotated[bool, RARE] = False
    compile: Annotated[bool, RARE] = False
    ema: Annotated[float, RARE] = 0.0
    log_every: Annotated[int, RARE] = 100
    save_every: Annotated[int, RARE] = 1_000
    validate_every: Annotated[int, RARE] = 0
    recover: Annotated[bool, RARE] = True
    augment: Annotated[Augmentation, RARE] = "none"

    def __post_init__(self) -> None:
        for name in ("rounds", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"--{name.replace('_', '-')} must be at least 1, not {getattr(self, name)}"
                )
        if not 0 <= self.ema < 1:
            raise ValueError(f"--ema must lie in [0, 1), not {self.ema}")
        for name in ("batch", "threads", "save_every", "validate_every"):
            if getattr(self, name) < 0:
                option = name.replace("_", "-")
                raise ValueError(f"--{option} must not be negative, not {getattr(self, name)}")


ASK_EVERY = 10
"""Rounds between two questions among several processes whether one was asked to stop."""

TrainingCallback = Callable[[Mapping[str, float]], None]
"""Sees each logged row: ``round`` (from 1), ``rounds_per_second``, and ``player/name`` -> value."""


class TrainingInterrupted(Exception):
    """The run was asked to stop by a signal and has saved its state.

    ``args`` are the signal and the folder of checkpoints, or None.
    """


def prepare_training(
    method: TrainingMethod,
    optimizers: Mapping[str, OptimizerOptions],
    options: TrainingOptions,
    stream: Any,
) -> Progress:
    """The state of a run before its first round; process r draws from its own generator."""
    device = next(method.parameters()).device
    check_precision(options.float_precision, device)
    if device.type == "cuda" and options.float_precision != "float32":
        channels_last(method)
    stepper = Stepper(method, optimizers, options.float_precision, options.compile)
    seed = options.seed * 1_000_003 + processes.rank()
    seed_global(seed, device)  # user modules that draw from the global generator (dropout)
    average = {n: p.detach().clone() for n, p in method.named_parameters()} if options.ema else {}
    return Progress(method, stepper, torch.Generator(device).manual_seed(seed), stream, average)


def run_training_loop(
    progress: Progress,
    options: TrainingOptions,
    state: Path | None = None,
    metrics: Path | None = None,
    on_save: Callable[[Progress], Callable[[], None]] | None = None,
    watch: TrainingCallback | None = None,
    validate: Callable[[Progress], float] | None = None,
) -> Progress:
    """Play rounds until ``options.rounds`` are done; return the progress.

    ``state``: folder of checkpoints; ``metrics``: a JSON-lines file; ``watch`` is called by process 0
    with each logged row, whether or not there is a file. Checkpoints are copied between two rounds
    and written by a thread while the next are played. ``on_save`` is called by process 0 at each: it
    takes its own copy and returns what that thread calls once the checkpoint is written. ``validate`` is
    called by every process after each ``options.validate_every`` rounds; what it returns is logged. A run
    that leaves what is healthy goes back (`guard`), and ``recoveries.json`` beside ``metrics`` says so.
    Raises DivergenceError, of which NonFiniteError is one, where it has gone back too often (the last
    checkpoint stays), TrainingInterrupted (after saving) on SIGINT or SIGTERM, and, one round later, OSError
    where a checkpoint could not be written (the one before stays).
    """
    device = progress.stepper.device
    guard.begin(progress, options.recover)
    if state is not None and not checkpoints.saved(state, progress.index, device):
        checkpoints.save_checkpoint(state, progress)
    saved = progress.index
    _forget_metrics(metrics, progress)
    begun, first = time.perf_counter(), progress.index
    computing = arithmetic(options.float_precision, options.deterministic, device)
    threads, writer = _threads(options.threads), Writer(options.threads or torch.get_num_threads())
    bar = rounds_bar(options.rounds, progress.index, options.compile)
    forecast = Forecast(bar, options.rounds, progress.index, progress.method.warmup)
    chains = compiled_chains(options.compile)
    with threads, computing, chains, writer, _signals() as caught, bar:
        while progress.index < options.rounds:
            try:
                logs = _round(progress, options)
                progress.index += 1
                if validate is not None and _due(options.validate_every, progress.index):
                    logs["validation/log_likelihood"] = torch.tensor(validate(progress))
                stop = _asked_to_stop(bool(caught), progress.index, device)
                last = progress.index == options.rounds or stop
                due = _due(options.save_every, progress.index)
                check = progress.index % options.log_every == 0 or last or due
                guard.look(progress, logs, options.recover, check)
            except DivergenceError as error:
                if not options.recover or (processes.world() > 1 and error.round is None):
                    raise
                guard.go_back(progress, error, options.seed)
                _settle(writer, state)
                if state is not None:
                    _save_instead(state, progress, on_save)
                _forget_metrics(metrics, progress)
                begun, first, saved = time.perf_counter(), progress.index, progress.index
                bar.update(progress.index - bar.n)
                continue
            if progress.index % options.log_every == 0 or last:
                values = {name: float(value) for name, value in logs.items()}
                elapsed = time.perf_counter() - begun
                bar.numbers = watched_numbers(progress.method, values)
                rate = (progress.index - first) / elapsed
                row = {"round": progress.index, "rounds_per_second": rate, **values}
                if recoveries := len(progress.health.recoveries):
                    row |= {"recoveries": recoveries, "lr_factor": progress.health.lr_factor}
                if metrics is not None and processes.rank() == 0:
                    metric_log.append(metrics, row, progress.run)
                if watch is not None and processes.rank() == 0:
                    watch(row)
            if state is not None and (last or due) and progress.index != saved:
                _save(writer, state, progress, on_save)
                saved = progress.index
            writer.check()
            bar.set_description_str("training", refresh=False)  # the first round has compiled
            bar.update()
            forecast.look(progress.index)
            if stop:
                _settle(writer, state)  # only what is written is said to be saved
                raise TrainingInterrupted(caught[0] if caught else signal.SIGTERM, state)
        _settle(writer, state)
    return progress


def _due(every: int, index: int) -> bool:
    """Whether ``index`` rounds are a multiple of ``every``; 0 is never."""
    return every > 0 and index % every == 0


def _asked_to_stop(caught: bool, index: int, device: torch.device) -> bool:
    """Whether a signal came; several processes ask each other now and then, because it makes them wait."""
    if processes.world() == 1:
        return caught
    return index % ASK_EVERY == 0 and processes.any_process(caught, device)


def _save(
    writer: Writer,
    state: Path,
    progress: Progress,
    on_save: Callable[[Progress], Callable[[], None]] | None,
) -> None:
    """Copy what is to be saved, and have it written."""
    _settle(writer, state)
    taken = checkpoints.snapshot(progress)
    finish = on_save(progress) if on_save is not None and processes.rank() == 0 else None

    def write() -> None:
        checkpoints.write(state, taken)
        if finish is not None:
            finish()

    writer.submit(write)


def _save_instead(
    state: Path,
    progress: Progress,
    on_save: Callable[[Progress], Callable[[], None]] | None,
) -> None:
    """Save where the run went back to, in the place of what it had saved since."""
    checkpoints.save_instead(state, progress)
    if on_save is not None and processes.rank() == 0:
        on_save(progress)()


def _forget_metrics(metrics: Path | None, progress: Progress) -> None:
    """Drop the lines of rounds that will be played again; say beside them how often the run went back."""
    if metrics is not None and processes.rank() == 0:
        metric_log.forget_after(metrics, progress.index, progress.run)
        write_recoveries(metrics.with_name(RECOVERIES), progress.health, progress.run)


def _settle(writer: Writer, state: Path | None) -> None:
    """Wait until every process has written its last file; those before the last two may then go."""
    writer.wait()
    if state is not None and processes.world() > 1:
        processes.barrier()
        checkpoints.prune(state)


def _round(progress: Progress, options: TrainingOptions) -> dict[str, Tensor]:
    """Play one round; return the last loss and logs of each player."""
    stepper, logs = progress.stepper, {}
    moved: set[str] = set()
    played, limit = progress.index - progress.stage_began, options.rounds
    if isinstance(progress.method, HasStages):
        limit = round(progress.method.stage_limit() * limit) - progress.stage_began
    stepper.set_rates(played, limit)
    for move in progress.method.round(progress.index, progress.stream, progress.rng):
        loss = stepper.step(move, progress.index)
        moved.add(move.player)
        logs[f"{move.player}/loss"] = loss.value
        for name, value in loss.logs.items():
            logs[f"{move.player}/{name}"] = value
    if progress.index == 0 and (
        still := set(progress.method.players) - moved - set(progress.method.staged)
    ):
        raise ValueError(
            f"player {min(still)!r} does not move in the first round: yield a PlayerUpdate of it in `round`, "
            "or name it in `staged` if its turn comes later"
        )
    if progress.average:
        averages = list(progress.average.values())
        # The average starts as a copy of the first weights and forgets them at the usual warm-up.
        decay = min(options.ema, (1 + played) / (10 + played))
        get_ema_multi_avg_fn(decay)(averages, stepper.weights, None)
    return logs


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Compute on ``number`` CPU threads, then on as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of dying; a second SIGINT interrupts at once."""
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return

    def remember(number: int, frame: object) -> None:
        if caught and number == signal.SIGINT:
            raise KeyboardInterrupt
        caught.append(number)

    before = {s: signal.signal(s, remember) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
