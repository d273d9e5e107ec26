"""A script for Slurm: an array of tasks that work on one sweep."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from gibbsian.experiments.trials.storage_url import StorageURL

VARIABLE = "GIBBSIAN_STORAGE"
SCRIPT = """\
#!/bin/bash
#SBATCH --job-name=gibbsian-sweep
#SBATCH --array=0-{last}
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --time=04:00:00
#SBATCH --signal=TERM@120
# Two minutes before the time limit SIGTERM saves the training; the same script goes on.
# Submit it from a folder that all nodes see, so that a trial goes on from its checkpoint anywhere.
{check}srun {command}
"""


def slurm_script(arguments: Sequence[str], storage: str | None, tasks: int) -> str:
    """The script of ``tasks`` tasks that each run `sweep` with ``arguments``, one process each.

    A URL with a password, and one that is not given, is taken from the environment of the job.
    """
    words = ["gibbsian", "sweep", *_without(arguments, ("--storage", "--workers"), ("--slurm",))]
    if storage is not None and not StorageURL(storage).has_secret:
        return SCRIPT.format(
            last=tasks - 1, check="", command=shlex.join([*words, "--storage", storage])
        )
    check = f': "${{{VARIABLE}:?set it to the URL of the database}}"\n'
    command = f'{shlex.join(words)} --storage "${VARIABLE}"'
    return SCRIPT.format(last=tasks - 1, check=check, command=command)


def _without(arguments: Sequence[str], pairs: tuple[str, ...], flags: tuple[str, ...]) -> list[str]:
    """``arguments`` without some options and their values."""
    kept, skip = [], False
    for word in arguments:
        name = word.partition("=")[0]
        if not skip and name not in (*pairs, *flags):
            kept.append(word)
        skip = not skip and word in pairs
    return kept
