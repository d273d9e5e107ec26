"""What every command does: parse its record, speak on standard error."""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ANSI = re.compile(r"\x1b\[[0-9;]*m")
FRAME = " │|╭╮╰╯├┤─-"
PLAINER = {
    r"invalid literal for int\(\) with base 10: (.*)": r"\1 is not a whole number",
    r"could not convert string to float: (.*)": r"\1 is not a number",
    r"^Error parsing (\w+: (?=--))?": "",
    r"\. Expected 1 values": "",
}


MEANT = {
    "train": {
        "--epochs": "--rounds",
        "--iterations": "--rounds",
        "--steps": "--rounds",
        "--batch-size": "--batch",
        "--learning-rate": "--PLAYER-optimizer.lr",
        "--lr": "--PLAYER-optimizer.lr",
        "--output": "--out",
    },
    "sample": {"--num": "--num-samples", "--out": "--output", "-o": "--output"},
    "report": {"--out": "--output", "-o": "--output"},
    "detect": {"--output": "--out", "-o": "--out"},
    "log-z": {
        "--dims": "--dim",
        "--dimension": "--dim",
        "-d": "--dim",
        "--samples": "--samples-from",
    },
}
"""What people type out of habit, by command, and the option that it is here."""


def parse(record: type, arguments: Sequence[str], name: str, default: Any = None) -> Any:
    """Fill ``record`` from the command line; an unusable option is a ValueError in one sentence.

    Leaves by SystemExit(0) after ``--help``.
    """
    import tyro  # takes a tenth of a second, which the overview and `list` do without

    extra = {} if default is None else {"default": default}
    program, said = f"gibbsian {name}", io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(record, args=list(arguments), prog=program, **extra)
    except SystemExit as stop:
        if not stop.code:
            raise
        why = _sentence(said.getvalue())
        help_at = f"see `{program} --help`"
        raise ValueError(
            f"{why}{_meant(name, why)}{_dashes(arguments)}{_data(why, arguments)}; {help_at}"
        ) from None


def _dashes(arguments: Sequence[str]) -> str:
    """How to give a value that looks like an option: an existing file with such a name."""
    pairs = itertools.pairwise(arguments)
    for option, value in pairs:
        if option[:2] == "--" and value[:1] == "-" and Path(value).is_file():
            return f"; a name that begins with a dash is given as {option}=./{value}"
    return ""


def _meant(command: str, said: str) -> str:
    """The option that an unrecognized one is called here; "" where none is known."""
    typed = said.partition("unrecognized options: ")[2].partition(";")[0]
    word = typed.replace(",", " ").partition(" ")[0].partition("=")[0]
    meant = MEANT.get(command.partition(" ")[0], {}).get(word, "")
    return f"; {word} is {meant} here" if meant else ""


def _data(said: str, arguments: Sequence[str]) -> str:
    """How to give data where the file stands alone, as it does in other commands."""
    if "--data" not in said.partition(";")[0]:
        return ""
    pairs = itertools.pairwise(["", *arguments])
    alone = [word for before, word in pairs if before[:1] != "-" and word[:1] != "-"]
    found = [word for word in alone if Path(word).exists()]
    return f"; did you mean --data {found[0]}?" if found else ""


def say(text: str) -> None:
    """One line on standard error; results go to standard output."""
    from gibbsian.core.text import printable  # that package imports PyTorch

    print(f"gibbsian: {printable(text)}", file=sys.stderr)


def _sentence(box: str) -> str:
    """What a framed message of several lines says, without frame, title and help texts."""
    lines = ANSI.sub("", box).splitlines()
    paragraphs: list[list[str]] = [[]]
    for line in lines[1:] or lines:
        if line.strip(FRAME):
            paragraphs[-1].append(line.strip("│|").rstrip())
        else:
            paragraphs.append([])
    first, *others = [paragraph for paragraph in paragraphs if paragraph]
    said = " ".join(line.strip() for line in first).removesuffix(".")
    for pattern, plain in PLAINER.items():
        said = re.sub(pattern, plain, said)
    if said.startswith("Missing from"):
        said = f"missing: {', '.join(_named(first))}"
    for paragraph in others:
        if paragraph[0].strip().startswith("Unrecognized"):
            said += f"; unrecognized options: {' '.join(_named(paragraph))}"
        elif paragraph[0].strip().startswith(("Perhaps", "Arguments similar")):
            said += (
                f"; did you mean {', '.join(_long_name(name) for name in _named(paragraph)[:3])}?"
            )
    return said[0].lower() + said[1:]


def _long_name(option: str) -> str:
    """``--num-samples`` of ``-n, --num-samples INT``."""
    names = option.replace(",", " ").split()
    return next((name for name in names if name.startswith("--")), names[0])


def _named(paragraph: list[str]) -> list[str]:
    """The options a paragraph is about: its lines indented by four, their help texts by eight."""
    margin = len(paragraph[0]) - len(paragraph[0].lstrip()) + 4
    return [line.strip() for line in paragraph if len(line) - len(line.lstrip()) == margin]
