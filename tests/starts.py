"""Many processes start at once on one folder; exactly one may win, and the others must name it.

    python -m tests.starts --number 50

prints a line for `train --out r` and one for `train --resume r`; exit status 1 if one is not so.
"""

import argparse
import os
import re
import signal
import sys
import tempfile
from pathlib import Path

import gibbsian.cli.training_commands  # noqa: F401 - imported once, before the forks
from gibbsian.cli import main

SMALL = [
    *("--max-rows", "200", "--batch", "32", "--rounds", "1000000", "--save-every", "0"),
    *(
        "--chains",
        "16",
        "--sampler.steps",
        "2",
        "--sampler.steps-per-sample",
        "2",
        "--device",
        "cpu",
    ),
    *("--energy.width", "8", "--energy.fourier-features", "4"),
]
TRAIN = ("train", "cd", "--data", "moons", *SMALL, "--out", "r")
RESUME = ("train", "--resume", "r", "--rounds", "2000000")


def start(words, number):
    """Exit status and what was said of each process, by its id; the last one is asked to stop."""
    ready, go = os.pipe()
    pids = []
    for _ in range(number):
        pid = os.fork()
        if pid == 0:
            os.close(go)
            said = os.open(f"said-{os.getpid()}", os.O_CREAT | os.O_WRONLY)
            os.dup2(said, 1)
            os.dup2(said, 2)
            os.read(ready, 1)  # until the parent closes the other end
            status = 1
            try:
                status = main(words)
            finally:
                sys.stderr.flush()
                os._exit(status)
        pids.append(pid)
    os.close(go)
    os.close(ready)
    found = {}
    for _ in range(number - 1):
        pid, status = os.wait()
        found[pid] = os.waitstatus_to_exitcode(status)
    last = next(pid for pid in pids if pid not in found)
    os.kill(last, signal.SIGTERM)
    found[last] = os.waitstatus_to_exitcode(os.waitpid(last, 0)[1])
    return {pid: (status, Path(f"said-{pid}").read_text()) for pid, status in found.items()}


def check(found):
    """The process that won; AssertionError unless it is one, and every other named it with status 2."""
    winners = [pid for pid, (status, _) in found.items() if status != 2]
    assert len(winners) == 1, found
    for pid, (status, said) in found.items():
        if pid not in winners:
            assert status == 2, said
            assert re.search(rf"is being written by process {winners[0]} on \S+ since", said), said
            assert said.count("\n") == 1, said
    return winners[0]


def run():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=50)
    number = parser.parse_args().number
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        check(start(TRAIN, number))
        print(f"train --out r: 1 of {number} won, {number - 1} named it", flush=True)
        check(start(RESUME, number))
        print(f"train --resume r: 1 of {number} won, {number - 1} named it", flush=True)
        Path("empty").mkdir()
        check(start([*TRAIN[:-1], "empty"], number))
        print(f"train --out an empty folder: 1 of {number} won, {number - 1} named it", flush=True)


if __name__ == "__main__":
    run()
