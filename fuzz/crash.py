"""Kill training at random moments: every run that goes on must end with the bits of the uninterrupted one.

    python -m fuzz.crash [--kills 300] [--seed 0] [--only WORD] [--keep FOLDER]

Kills (SIGKILL, to the process or to it and its workers) are spread over all methods, sweeps, comparisons,
torchrun, two processes that train together, and the moments at which a checkpoint is being written. A run
is killed one to three times before it may end; the kinds take turns. Exit status 1 if one differs in a
single bit, cannot go on or hangs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

from fuzz.corpus import SPACE, weights
from fuzz.execute import NO_LIMITS, end, execute, start, warm_up

DATA = {"bihm": "digits-4-binary", "super-resolution": "digits"}
SMALL: Mapping[str, Any] = {
    **{
        "width": 16,
        "num_experts": 8,
        "layer_sizes": "8,4",
        "channels": 4,
        "orientations": 2,
        "fourier_features": 4,
    },
    **{"chains": 32, "steps": 2, "steps_per_sample": 2, "negative_steps": 2},
    **{"upscaling_steps": 2, "energy_burst_steps": 2, "statistics_fine_tuning_start_round": 20},
}
TRAINING = {"rounds": 60, "batch": 32, "save_every": 5, "log_every": 5, "seed": 1, "device": "cpu"}
WIDE = {"width": 700, "depth": 3}
MOST = 150.0
"""Seconds after which what was killed has to be done, if it takes but a few undisturbed."""
DONE = "it was done before"
HUNG = "HUNG"


@dataclass(frozen=True)
class Job:
    """What is killed: ``command`` starts it in a folder, ``again`` goes on with it there.

    ``left`` says what it has left, to be compared; ``writing`` kills only while a file is written;
    ``launch`` starts a command and gives its process group.
    """

    name: str
    command: Sequence[str]
    again: Callable[[Path], Sequence[str]]
    left: Callable[[Path], str]
    launch: Callable[[Sequence[str], Path], int] = start
    writing: bool = False
    prepare: Callable[[Path], None] | None = None


def methods() -> list[str]:
    """The names of all methods."""
    from gibbsian.methods import TRAINING_METHODS

    return list(TRAINING_METHODS)


def small_config(method: str, folder: Path, **training: Any) -> Path:
    """A configuration file of a short run of ``method`` with small networks."""
    words = ("train", method, "--data", DATA.get(method, "ring8"), "--print-config")
    outcome = execute(words, folder)
    if outcome.status:
        raise RuntimeError(f"no configuration of {method}: {outcome.err}")
    config = _shrunk(json.loads(outcome.out))
    config["training"] |= {**TRAINING, **training}
    config["source"]["max_rows"] = 400
    path = folder / f"{method}.json"
    path.write_text(json.dumps(config))
    return path


def _shrunk(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {
        key: SMALL[key] if key in SMALL and not isinstance(entry, dict) else _shrunk(entry)
        for key, entry in value.items()
    }


def training_job(method: str, folder: Path) -> Job:
    """A run of a method."""
    command = ("train", "--config", str(small_config(method, folder)), "--out", "run")
    return Job(method, command, _resumed(command), run_left)


def writing_job(folder: Path) -> Job:
    """A run of large networks with a checkpoint each round, killed only while one is written."""
    path = small_config("gan", folder, rounds=12, save_every=1)
    config = json.loads(path.read_text())
    for name in ("critic", "generator"):
        config[name] |= WIDE
    path.write_text(json.dumps(config))
    command = ("train", "--config", str(path), "--out", "run")
    return Job("a checkpoint's writing", command, _resumed(command), run_left, writing=True)


def torchrun_job(folder: Path) -> Job:
    """A run of contrastive divergence, whose chains differ by process, in two processes."""
    path = small_config("cd", folder, rounds=40)
    command = ("train", "--config", str(path), "--out", "run")
    return Job("torchrun", command, _resumed(command), run_left, torchrun)


def torchrun(words: Sequence[str], folder: Path) -> int:
    """Start two processes that train together; the id of their group."""
    run = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2")
    command = (*run, "--master-port", str(_free_port()), "-m", "gibbsian", *words)
    with (folder / ".err").open("wb") as err:
        started = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.DEVNULL, stderr=err, start_new_session=True
        )
    return started.pid


def processes_job(folder: Path) -> Job:
    """The same run in processes that are what torchrun starts, without the seconds that it takes."""
    return replace(torchrun_job(folder), name="processes", launch=two_processes)


def two_processes(words: Sequence[str], folder: Path) -> int:
    """Fork a process that starts two to train together and ends both where one fails; its group."""
    leader = os.fork()
    if leader == 0:
        code = 70
        try:
            os.setpgid(0, 0)
            code = _lead(words, folder)
        finally:
            os._exit(code)
    with contextlib.suppress(PermissionError, ProcessLookupError):
        os.setpgid(leader, leader)
    return leader


def _lead(words: Sequence[str], folder: Path) -> int:
    """In the leader: status of the workers; those that are left die with the first that fails."""
    common = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    common["MASTER_PORT"] = str(_free_port())
    workers = [
        start(
            words, folder, NO_LIMITS, common | {"RANK": rank, "LOCAL_RANK": rank}, group=os.getpid()
        )
        for rank in "01"
    ]
    code = 0
    while workers:
        worker, status = os.wait()
        workers.remove(worker)
        if status and not code:
            code = abs(os.waitstatus_to_exitcode(status))
            for other in workers:
                os.kill(other, signal.SIGKILL)
    return code


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _resumed(command: Sequence[str]) -> Callable[[Path], Sequence[str]]:
    def again(folder: Path) -> Sequence[str]:
        begun = (folder / "run" / "config.json").is_file()
        return ("train", "--resume", "run") if begun else command

    return again


def run_left(folder: Path) -> str:
    """The tensors and whole numbers of a finished run: last checkpoint of every process, and model."""
    states = (folder / "run" / "state").glob("round-*.safetensors")
    last: dict[str, Path] = {}
    for path in sorted(states):
        last[path.name.split(".")[1]] = path
    found = {rank: f"{path.name} {weights(path)}" for rank, path in sorted(last.items())}
    model = weights(folder / "run" / "model" / "model.safetensors")
    rounds = [json.loads(line)["round"] for line in (folder / "run" / "metrics.jsonl").open()]
    return json.dumps([found, model, rounds])


def sweep_job(folder: Path) -> Job:
    """A sweep of four trials by two workers."""
    space = SPACE | {"rounds": [30], "save-every": [5], "margin": [0.5, 1.0, 2.0, 4.0]}
    path = folder / "space.json"
    path.write_text(json.dumps(space))
    command = (
        *("sweep", "ebgan", "--data", "ring8", "--search-space", str(path), "--out", "out"),
        *("--target-metric", "high-quality", "--num-samples", "50", "--workers", "2"),
    )

    def left(place: Path) -> str:
        trials = json.loads((place / "out" / "summary.json").read_text())["trials"]
        rows = sorted(json.dumps([t["values"], t.get("figures")]) for t in trials)
        return json.dumps([rows, sorted(map(weights, (place / "out").rglob("model.safetensors")))])

    return Job("sweep", command, lambda _: command, left)


def compare_job(folder: Path) -> Job:
    """A comparison of two methods by two workers, whose numbers of rounds stand before it is killed."""
    command = (
        *(
            "compare",
            "--data",
            "ring8",
            "--methods",
            "gan,vae",
            "--num-seeds",
            "1",
            "--max-rows",
            "400",
        ),
        *("--time-per-run", "1s", "--num-samples", "50", "--workers", "2", "--out", "out"),
    )

    def prepare(place: Path) -> None:
        whole = folder / "compare-whole" / "out"
        kept = [whole / "comparison.json", *whole.glob("*/rounds.json")]
        for path in kept if whole.exists() else ():
            target = place / "out" / path.relative_to(whole)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)

    def left(place: Path) -> str:
        figures = {
            str(path.relative_to(place)): json.loads(path.read_text())["figures"]
            for path in sorted((place / "out").rglob("figures.json"))
        }
        timed = ("seconds", "time")
        for found in figures.values():
            for name in [name for name in found if any(word in name for word in timed)]:
                del found[name]
        return json.dumps([figures, [weights(p) for p in _models(place)]])

    return Job("compare", command, lambda _: command, left, prepare=prepare)


def _models(place: Path) -> list[Path]:
    return sorted((place / "out").rglob("model.safetensors"))


def wait(pid: int, job: Job, most: float) -> int | None:
    """Exit status of a process; None where it took more than ``most`` seconds and was ended."""
    begun = time.monotonic()
    while time.monotonic() - begun < most:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            end(pid)
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    end(pid)
    os.waitpid(pid, 0)
    return None


def kill(job: Job, words: Sequence[str], folder: Path, span: float, rng: random.Random) -> str:
    """Start ``words`` and kill it at a random moment of ``span`` seconds; how, in words."""
    pid = job.launch(words, folder)
    begun, moment = time.monotonic(), rng.uniform(0, span)
    nth, seen = rng.randrange(1, 12), 0
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if job.writing:
            seen += _being_written(folder)
            if seen >= nth:
                time.sleep(rng.uniform(0, 0.01))
                break
        elif time.monotonic() - begun > moment:
            break
        time.sleep(0.0005 if job.writing else 0.002)
    else:
        end(pid)
        return DONE
    workers = _children(pid)
    alone = rng.random()
    if workers and alone < 0.3:  # one worker dies, what started it sees to the rest
        os.kill(rng.choice(workers), signal.SIGKILL)
        if wait(pid, job, patience(span)) is None:
            return f"one worker killed, and the rest {HUNG}"
        return "one worker killed"
    os.kill(pid, signal.SIGKILL)
    if alone < 0.6:
        time.sleep(0.2)  # its workers are left alone for a moment
    end(pid)
    os.waitpid(pid, 0)
    parts = len(list(folder.rglob("*.part")))
    return f"killed after {time.monotonic() - begun:.2f} s, {parts} files half written"


def _being_written(folder: Path) -> bool:
    state = folder / "run" / "state"
    return state.is_dir() and any(name.endswith(".part") for name in os.listdir(state))


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in path.read_text().split()] if path.exists() else []


def patience(span: float) -> float:
    """Seconds after which a command hangs that takes ``span`` undisturbed."""
    return max(MOST, 20 * span)


class Target:
    """A job with what its undisturbed run has left, and the tally of the runs that were killed.

    ``kills`` are still to be done. RuntimeError where the job fails without a kill.
    """

    def __init__(self, job: Job, kills: int, seed: int, folder: Path, keep: Path | None):
        self.job, self.kills, self.folder, self.keep = job, kills, folder, keep
        self.name = job.name.replace(" ", "-")
        self.rng = random.Random(f"{seed} {job.name}")
        self.whole = folder / f"{self.name}-whole"
        self.whole.mkdir()
        begun = time.monotonic()
        status = wait(job.launch(job.command, self.whole), job, 10 * MOST)
        if status != 0:
            raise RuntimeError(f"{job.name} failed without a kill: {status}")
        self.span, self.expected = time.monotonic() - begun, job.left(self.whole)
        self.runs = self.killed = self.equal = 0

    def run(self) -> str:
        """Kill one run one to three times and let it end: what came of it, in words."""
        job, place = self.job, self.folder / f"{self.name}-{self.runs}"
        place.mkdir()
        if job.prepare:
            job.prepare(place)
        told = []
        for _ in range(min(self.kills, self.rng.choice((1, 1, 2, 3)))):
            told.append(kill(job, job.again(place), place, self.span, self.rng))
            if told[-1] == DONE:
                break
            self.kills -= 1
            self.killed += 1
        for _ in range(2):  # a worker that was left alone may hold the last trial
            status = wait(job.launch(job.again(place), place), job, patience(self.span))
        verdict = f"LOST (status {status})" if status else HUNG if status is None else "DIFFERENT"
        if status == 0 and job.left(place) == self.expected:
            verdict = HUNG if any(HUNG in words for words in told) else "equal"
        self.runs += 1
        self.equal += verdict == "equal"
        if self.keep is not None and verdict != "equal":
            for folder in (place, self.whole):
                shutil.copytree(folder, self.keep / folder.name, dirs_exist_ok=True)
        shutil.rmtree(place)
        return f"{job.name}, run {self.runs}: {'; '.join(told)}: {verdict}"


def jobs(folder: Path, only: str) -> Iterator[tuple[Job, int]]:
    """Everything that is killed, and its share of the kills; what is rare and slow comes first."""
    for name, make, share in (
        ("compare", compare_job, 8),
        ("torchrun", torchrun_job, 8),
        ("sweep", sweep_job, 12),
        ("processes", processes_job, 12),
        ("writing", writing_job, 20),
    ):
        if only in name:
            yield make(folder), share
    for method in methods():
        if only in method:
            yield training_job(method, folder), 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaign; print a line for each run and one for all."""
    parser = argparse.ArgumentParser(
        prog="python -m fuzz.crash", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--kills", type=int, default=300, help="over everything")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="jobs whose name contains this word")
    parser.add_argument("--keep", type=Path, help="folder for runs that differ")
    wish = parser.parse_args(arguments)
    warm_up()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="crash-") as name:
        folder = Path(name)
        planned = list(jobs(folder, wish.only))
        shares = sum(share for _, share in planned)
        targets = []
        for job, share in planned:
            count = max(1, round(wish.kills * share / shares))
            targets.append(Target(job, count, wish.seed, folder, wish.keep))
            _print(f"{job.name}: {targets[-1].span:.1f} s undisturbed, {count} kills to come")
        while left := [target for target in targets if target.kills]:
            for target in left:  # in turn, so that an interrupted campaign has seen them all
                _print(target.run())
    runs, killed, equal = (
        sum(getattr(target, field) for target in targets) for field in ("runs", "killed", "equal")
    )
    _print(
        f"seed {wish.seed}: {equal} of {runs} runs, killed {killed} times, equal the uninterrupted; "
        f"{time.monotonic() - begun:.0f} s"
    )
    return int(equal < runs)


def _print(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
