"""Kill training with SIGKILL at random moments; the resumed run must equal the uninterrupted one.

    python -m tests.crash --kills 20

prints one line a kill and exits with 1 if any resumed run differs by a single bit.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from gibbsian.core.files import read_tensors

ROUNDS, EVERY = 200, 10
TRAIN = [
    *("--data", "ring8", "--limit", "2000", "--rounds", str(ROUNDS), "--save-every", str(EVERY)),
    *("--log-every", "10", "--batch", "64", "--seed", "1", "--device", "cpu"),
]


def gibbsian(*words):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "gibbsian", *map(str, words)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def finish(process):
    _, errors = process.communicate()
    if process.returncode:
        raise SystemExit(f"training failed:\n{errors}")


def newest_round(run):
    rounds = [int(p.name[6:14]) for p in (run / "state").glob("round-*.safetensors")]
    return max(rounds, default=-1)


def final_state(run):
    state, facts = read_tensors(run / "state" / f"round-{ROUNDS:08d}.rank0.safetensors")
    model, _ = read_tensors(run / "model" / "model.safetensors")
    return state | {f"model/{name}": value for name, value in model.items()}, facts


def differences(one, two):
    (a, facts), (b, other) = one, two
    if facts != other or a.keys() != b.keys():
        return ["facts or names"]
    return [name for name in a if not torch.equal(a[name], b[name])]


def crash(method, kills, seed, folder):
    """Differences per kill; the moment of each is uniform over the time the rounds take."""
    whole = folder / "whole"
    process = gibbsian("train", method, *TRAIN, "--out", whole)
    while newest_round(whole) < 0 and process.poll() is None:
        time.sleep(0.002)
    begun = time.monotonic()
    finish(process)
    duration = time.monotonic() - begun
    expected, clock = final_state(whole), random.Random(seed)
    found = []
    for number in range(kills):
        run = folder / f"killed{number}"
        process = gibbsian("train", method, *TRAIN, "--out", run)
        while newest_round(run) < 0 and process.poll() is None:
            time.sleep(0.002)
        time.sleep(clock.uniform(0, duration))
        process.send_signal(signal.SIGKILL)
        process.wait()
        at = newest_round(run)
        finish(gibbsian("train", "--resume", run))
        found.append(differences(expected, final_state(run)))
        print(
            f"{method}, kill {number}: last checkpoint {at}, {len(found[-1])} tensors differ",
            flush=True,
        )
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", default="vgan")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = crash(options.method, options.kills, options.seed, Path(folder))
    print(f"{sum(not d for d in found)} of {len(found)} resumed runs equal the uninterrupted one")
    return int(any(found))


if __name__ == "__main__":
    sys.exit(main())
