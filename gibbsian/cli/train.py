"""``gibbsian train``: a method's options are read off its configuration record."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from gibbsian import recipes
from gibbsian.cli.console import parse, say
from gibbsian.config import (
    Config,
    config_type,
    from_json,
    method_class,
    replace,
    to_json,
)
from gibbsian.facade import resume, train_config
from gibbsian.files import read_json
from gibbsian.methods import METHODS
from gibbsian.runs import default_path, new_run
from gibbsian.training import processes


@dataclasses.dataclass(frozen=True)
class Continue:
    """Continue a run, or start a named one.

    Args:
        resume: folder of the run to continue.
        recipe: name of a published run (see `gibbsian list recipes`).
        scale: size of the recipe: cpu fits a laptop, paper wants a GPU.
        rounds: train until this many rounds in all are done.
        device: where to train.
        out: folder of the new run.
        print_config: print the configuration and stop.
    """

    resume: Path | None = None
    recipe: str | None = None
    scale: str = "cpu"
    rounds: int | None = None
    device: str | None = None
    out: Path | None = None
    print_config: bool = False


def train(arguments: list[str]) -> int:
    """Train a method on data: `train METHOD --data DATA`, or `train --resume RUN`."""
    config_file, arguments = _take(arguments, "--config")
    if config_file is not None or (arguments and not arguments[0].startswith("-")):
        return _train_method(arguments, config_file)
    if not arguments:
        raise ValueError("say what to train: `gibbsian train METHOD --data DATA`, or --resume RUN")
    if arguments[0] in ("-h", "--help"):
        print(
            f"methods: {', '.join(METHODS)}; `gibbsian train METHOD --help` lists the options of one"
        )
    wish = parse(Continue, arguments, "train")
    if (wish.resume is None) == (wish.recipe is None):
        raise ValueError("give either --resume RUN or --recipe NAME, or name a method first")
    if wish.resume is not None:
        resume(wish.resume, wish.rounds, wish.device)
        say(f"model saved in {wish.resume / 'model'}")
        return 0
    if wish.scale not in ("cpu", "paper"):
        raise ValueError(f"--scale must be cpu or paper, not {wish.scale!r}")
    config = recipes.recipe(wish.recipe, wish.scale)
    changes = {"rounds": wish.rounds, "device": wish.device}
    config = replace(config, training={k: v for k, v in changes.items() if v is not None})
    return _start(config, wish.out, wish.print_config)


def _train_method(arguments: list[str], config_file: str | None) -> int:
    if config_file is not None:
        if not Path(config_file).is_file():
            raise ValueError(f"there is no configuration file {config_file}")
        entries = read_json(Path(config_file))
        base = from_json(entries.get("config", entries))
        if arguments and not arguments[0].startswith("-") and arguments.pop(0) != base.method:
            raise ValueError(f"{config_file} is a configuration of {base.method}")
    else:
        method_class(arguments[0])
        data = _take(arguments, "--data")[0]
        base = recipes.default(arguments.pop(0), data if data is not None else tyro.MISSING)
    out: Any = Annotated[Path | None, tyro.conf.arg(help="folder of the new run")]
    show: Any = Annotated[bool, tyro.conf.arg(help="print the resolved configuration and stop")]
    record = dataclasses.make_dataclass(
        "Train",
        [("out", out, None), ("print_config", show, False)],
        bases=(config_type(base.method),),
        frozen=True,
    )
    record.__doc__ = config_type(base.method).__doc__
    values = {f.name: getattr(base, f.name) for f in dataclasses.fields(base)}
    wish = parse(record, arguments, f"train {base.method}", record(**values))
    config = type(base)(**{name: getattr(wish, name) for name in values})
    return _start(config, wish.out, wish.print_config)


def _take(arguments: Sequence[str], option: str) -> tuple[str | None, list[str]]:
    """The value of ``--option VALUE`` or ``--option=VALUE``, and the arguments without it."""
    rest = list(arguments)
    for place, word in enumerate(rest):
        if word.startswith(f"{option}="):
            return word.partition("=")[2], rest[:place] + rest[place + 1 :]
        if word == option:
            if place + 1 == len(rest):
                raise ValueError(f"{option} needs a value")
            return rest[place + 1], rest[:place] + rest[place + 2 :]
    return None, rest


def _start(config: Config, out: Path | None, show: bool) -> int:
    if show:
        print(json.dumps(to_json(config), indent=2))
        return 0
    run = new_run(out if out is not None else default_path(config))
    train_config(config, run)
    if processes.rank() == 0:
        say(f"model saved in {run.model}; next: `gibbsian evaluate {run.path}`")
    return 0
