"""Run one command of the program in a fork of this process, under limits, and see how it ends.

A fork shares what is imported, so that a case costs what the command costs; it may hang, die, or use
up its memory without harm to the campaign.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib
import os
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PATIENCE = 30.0
"""Seconds of a command's own time after which it counts as hung."""
WALL = 150.0
"""Seconds by the clock after which it counts as hung, however busy the machine is."""
GIB = 1 << 30
WARM = (
    "matplotlib.backends.backend_agg",
    "optuna",
    "PIL.Image",
    "pyarrow.parquet",
    "scipy.stats",
    "sklearn.metrics",
    "torch._dynamo",
    "torch.func",
)


@dataclass(frozen=True)
class Limits:
    """What a command may use, and what happens to it.

    ``memory``: bytes of address space beyond those it starts with. ``file_size``: of each file it
    writes. ``output``: where its standard output goes. ``signals``: (seconds after its start, signal).
    """

    memory: int = 4 * GIB
    file_size: int | None = None
    output: Literal["kept", "closed", "full"] = "kept"
    signals: tuple[tuple[float, int], ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How a command ended: exit status (negative: the signal), what it said, whether it hung.

    ``seconds``: of processor time, its own and that of processes it waited for.
    """

    status: int
    seconds: float
    out: str
    err: str
    hung: bool = False


NO_LIMITS = Limits()


def warm_up() -> None:
    """Import, before any fork, what the commands would import each time."""
    from gibbsian.cli import COMMANDS

    for target, _ in COMMANDS.values():
        importlib.import_module(target.partition(":")[0])
    for name in WARM:
        importlib.import_module(name)
    import torch

    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()


def start(
    words: Sequence[str],
    folder: Path,
    limits: Limits = NO_LIMITS,
    environment: Mapping[str, str] | None = None,
    out: int | None = None,
    err: int | None = None,
    group: int = 0,
) -> int:
    """Fork; the child runs ``gibbsian WORDS`` in ``folder``. Returns its process id.

    ``out`` and ``err``: descriptors that take what it says; nothing does without them. ``group``: of
    processes, that it joins; its own without one.
    """
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.setpgid(0, group)
            os.environ.update(environment or {})
            code = _run(list(words), folder, limits, out, err)
        finally:
            os._exit(code)
    # Both sides set the group: whichever comes first. The child may have done it, or be gone.
    with contextlib.suppress(PermissionError, ProcessLookupError):
        os.setpgid(child, group or child)
    return child


def execute(words: Sequence[str], folder: Path, limits: Limits = NO_LIMITS) -> Outcome:
    """Run ``gibbsian WORDS`` in ``folder`` until it ends or counts as hung; its group ends with it.

    What it writes to standard output is left in the file ``.out`` there.
    """
    begun = time.monotonic()
    pipes = [os.pipe(), os.pipe()]
    child = start(words, folder, limits, None, pipes[0][1], pipes[1][1])
    for read, write in pipes:
        os.close(write)
        os.set_blocking(read, False)
    said = [bytearray(), bytearray()]
    due, hung = sorted(limits.signals), False
    while True:
        pid, status, used = os.wait4(child, os.WNOHANG)
        now = time.monotonic() - begun
        if pid:
            break
        while due and now >= due[0][0]:
            os.kill(child, due.pop(0)[1])
        if now > PATIENCE and (now > WALL or _processor_seconds(child) > PATIENCE):
            hung = True
            end(child)
            _, status, used = os.wait4(child, 0)
            break
        _drain(pipes, said)
        time.sleep(0.001 if limits.signals else min(0.02, 0.002 + now / 50))
    end(child)
    _drain(pipes, said)
    for read, _ in pipes:
        os.close(read)
    with contextlib.suppress(OSError):  # the case may have filled its file system
        (folder / ".out").write_bytes(said[0])
    code = os.waitstatus_to_exitcode(status)
    texts = [content.decode(errors="replace") for content in said]
    return Outcome(code, used.ru_utime + used.ru_stime, *texts, hung)


def _drain(pipes: Sequence[tuple[int, int]], said: Sequence[bytearray]) -> None:
    """Read what there is, so that the writer need not wait."""
    for (read, _), content in zip(pipes, said, strict=True):
        with contextlib.suppress(BlockingIOError):
            while part := os.read(read, 1 << 16):
                content += part


def end(group: int) -> None:
    """Kill what is left of a command and of the processes it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _processor_seconds(pid: int) -> float:
    """Seconds of processor time a process has used."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _run(words: list[str], folder: Path, limits: Limits, out: int | None, err: int | None) -> int:
    """In the child: exit status of the command, as the interpreter would give it."""
    os.chdir(folder)
    sink = os.open("/dev/full" if limits.output == "full" else os.devnull, os.O_WRONLY)
    os.dup2(out if out is not None and limits.output == "kept" else sink, 1)
    os.dup2(sink if err is None else err, 2)
    os.closerange(3, 64)
    sys.stdin = open(os.devnull)  # noqa: SIM115 - until the process ends
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115
    if limits.output == "closed":
        os.close(1)
        sys.stdout = None  # what the interpreter makes of a closed descriptor
    faulthandler.dump_traceback_later(PATIENCE - 1, file=sys.stderr)
    _set_limits(limits)
    random.seed(0)
    sys.path.insert(0, str(folder))  # what a file may name lies within reach
    from gibbsian.cli import main

    try:
        code = main(words)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:  # noqa: BLE001 - a traceback is what the campaign looks for
        traceback.print_exc()
        code = 1
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        sys.stderr.write("Traceback: standard output was not flushed\n")
        code = 120
    sys.stderr.flush()
    return code


def _set_limits(limits: Limits) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    space = pages * os.sysconf("SC_PAGE_SIZE") + limits.memory
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if limits.file_size is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limits.file_size, limits.file_size))
