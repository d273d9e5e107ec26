"""``gibbsian train``: a method's options are read off its configuration record."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, cast

import tyro

from gibbsian.cli.console import parse, say
from gibbsian.cli.listing import about
from gibbsian.cli.train_options import fill
from gibbsian.config import recipes
from gibbsian.config.config import Config, Source, from_json, method_class, replace, to_json
from gibbsian.config.recipes.defaults import Scale
from gibbsian.config.run_folder import default_path, new_run, open_run
from gibbsian.core.files import read_json
from gibbsian.core.formats import check_format
from gibbsian.core.progress import shown
from gibbsian.core.signatures import options_of
from gibbsian.core.types import DataSpace
from gibbsian.data import Dataset
from gibbsian.data.named import holds_pictures
from gibbsian.methods import TRAINING_METHODS
from gibbsian.models.train import (
    device_of,
    load_data,
    load_data_of_run,
    load_source,
    resume,
    train_config,
    untrained,
)
from gibbsian.training import checkpoints, processes
from gibbsian.training.loggers import watching

OVERVIEW = """usage: gibbsian train [METHOD] --data DATA [--rounds N] [--out RUN] [OPTIONS]
       gibbsian train [METHOD] --config FILE [--trust-code] [OPTIONS]  (what --print-config printed)
       gibbsian train --recipe NAME [--scale cpu|paper] [--data DATA] [OPTIONS]
       gibbsian train --resume RUN [--rounds N] [--trust-code]

DATA is a built-in name (`gibbsian list data`), a .csv, .npy, .npz or .parquet file or its address, - for a
table on standard input, a folder of .parquet files, or a folder or zip of images.
For example: gibbsian train cd --data moons --out runs/moons
Without METHOD it is the one that docs/which-method.md starts with for such data.

methods, each with options of its own (`gibbsian train METHOD --help`):
"""


@dataclasses.dataclass(frozen=True)
class Continue:
    """Without a method: continue a run, or start a known one.

    Args:
        resume: folder of the run to continue, to the same bits as if never stopped.
        recipe: a known run (see `gibbsian list recipes`); takes every option of its method.
        scale: size of a recipe: cpu fits a laptop, paper wants a GPU.
        data: a file with the rows of a run that was trained on an array in Python.
        rounds: train until this many rounds in all are done.
        device: where to train: cpu, cuda, cuda:1, mps or auto.
        print_config: print the configuration and stop.
        log_with: also send each logged row to tensorboard, or to package.module:function.
        trust_code: import code that the run names as package.module:Class; it runs with all your rights.
    """

    resume: Annotated[Path | None, tyro.conf.arg(metavar="RUN")] = None
    recipe: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    data: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    scale: Literal["cpu", "paper"] = "cpu"
    rounds: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    device: Annotated[str | None, tyro.conf.arg(metavar="DEVICE")] = None
    print_config: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    log_with: Annotated[str | None, tyro.conf.arg(metavar="TRACKER")] = None
    trust_code: bool = False


def train(arguments: list[str]) -> int:
    """Train a method on data: `train METHOD --data DATA`, or `train --resume RUN`."""
    if not arguments:
        raise ValueError("say what to train: `gibbsian train METHOD --data DATA`, or --resume RUN")
    if "--resume" not in {word.partition("=")[0] for word in arguments}:
        config_file, rest = _take(arguments, "--config")
        name, rest = _take(rest, "--recipe")
        if config_file is not None and name is not None:
            raise ValueError("give either --config FILE or --recipe NAME")
        if config_file is not None:
            trust_code = "--trust-code" in rest
            rest = [word for word in rest if word != "--trust-code"]
            config = _read_config(Path(config_file), trust_code, rest)
            return _train_from(config, config_file, rest)
        if name is not None:
            scale, rest = _take(rest, "--scale")
            if scale not in (None, "cpu", "paper"):
                raise ValueError(f"--scale is cpu or paper, not {scale!r}")
            return _train_from(recipes.recipe(name, cast("Scale", scale or "cpu")), name, rest)
        if not arguments[0].startswith("-"):
            return _train_method(arguments)
        data, rest = _take(arguments, "--data")
        if data is not None and not {"-h", "--help", "--help-all"} & set(arguments):
            return _train_recommended(data, rest)
    arguments = ["--help" if word == "--help-all" else word for word in arguments]
    if {"-h", "--help"} & set(arguments):
        print(
            OVERVIEW
            + "\n".join(f"  {name:16s} {about(cls)}" for name, cls in TRAINING_METHODS.items())
        )
        print()
    _check_continued(arguments)
    args = parse(Continue, arguments, "train")
    if args.resume is None or args.recipe is not None:
        raise ValueError("give either --resume RUN or --recipe NAME, or name a method first")
    changes = {"rounds": args.rounds, "device": args.device}
    changes = {name: value for name, value in changes.items() if value is not None}
    run = open_run(args.resume)
    config = replace(run.config(args.trust_code), training=changes)
    if args.print_config:
        return _show(config)
    dataset = None if args.data is None else load_data_of_run(run, config, args.data)
    done = max(checkpoints.rounds(run.state), default=0)
    if args.rounds is None and done >= config.training.rounds:
        say(
            f"note: all {done} rounds of this run were done already; --rounds M, above that, goes on"
        )
    with shown(), watching(args.log_with, args.resume, to_json(config)) as watch:
        resume(
            args.resume,
            args.rounds,
            args.device,
            dataset=dataset,
            watch=watch,
            trust_code=args.trust_code,
        )
    if processes.rank() == 0:
        say(f"model saved in {args.resume / 'model'}")
    return 0


def _check_continued(arguments: list[str]) -> None:
    """ValueError where ``--resume`` stands beside what a continued run keeps, or without its folder."""
    words = [word.partition("=")[0] for word in arguments]
    if "--resume" not in words:
        if "--out" in words:
            raise ValueError("without a method or --recipe there is no --out")
        return
    run = next(
        (arguments[k + 1] for k, word in enumerate(arguments[:-1]) if word == "--resume"), ""
    )
    if "--resume" in arguments and (not run or run[:1] == "-"):
        raise ValueError("--resume needs the folder of a run: `gibbsian train --resume RUN`")
    if words[0][:1] != "-" or "--out" in words:
        named = run or "RUN"
        raise ValueError(
            "a run that is continued keeps its method, data, settings and folder: "
            f"`gibbsian train --resume {named}`, with --rounds N for more rounds"
        )


def _train_from(base: Config, source: str, arguments: list[str]) -> int:
    """Train the configuration ``base`` of a file or recipe, changed by the options that follow."""
    if arguments and not arguments[0].startswith("-") and arguments.pop(0) != base.method:
        raise ValueError(f"{source} is a configuration of {base.method}")
    return _train_with(base, arguments)


def _train_method(arguments: list[str]) -> int:
    name, *options = arguments
    method_class(name)
    data = _take(options, "--data")[0]
    sides = (_take(options, option)[0] for option in ("--image-size", "--patch-size"))
    side = next((int(side) for side in sides if side and side.isdecimal()), 0)
    return _train_with(recipes.default_config(name, data or "", image_side=side), options)


def _train_recommended(data: str, options: list[str]) -> int:
    """Train the method that suits the data, which are looked at first."""
    if not data.strip():
        raise ValueError("--data is an empty name; give a file, a folder or a built-in set")
    words = [] if "--greyscale" not in options else ["--greyscale"]
    for name, option in options_of(Source).items():
        value = None if option.type is bool else _take(options, f"--{name.replace('_', '-')}")[0]
        words += [] if value is None else [f"--{name.replace('_', '-')}", value]
    source = fill(recipes.default_config("cd", data), words).config.source
    dataset = load_source(data, source)
    method, kind = recommended(dataset.space, source.patch_size > 0)
    say(f"no method was named: {method}, which docs/which-method.md starts with for {kind}")
    base = recipes.default_config(method, data, dataset.space)
    return _train_with(base, options, dataset)


def recommended(space: DataSpace, patches: bool = False) -> tuple[str, str]:
    """The method that docs/which-method.md starts with for data of ``space``, and their name there."""
    if patches:
        return "super-resolution", "photographs"
    if space.kind == "mixed":
        return "nce", "a table with categories"
    if space.kind != "vector":
        return "vae", "images" if space.kind == "image" else "bits"
    columns = space.shape[0]
    return ("cd", "1 to 3 columns") if columns <= 3 else ("nce", "a table of more columns")


def _train_with(base: Config, arguments: list[str], dataset: Dataset | None = None) -> int:
    given = fill(base, arguments)
    return _start(given.config, given.out, given.print_config, given.log_with, dataset)


def _read_config(path: Path, trust_code: bool, typed: Sequence[str]) -> Config:
    """The configuration in a file, a run's ``config.json`` too; ValueError naming the file.

    A role that is ``typed`` among the options is what it says there, so the file's name is not needed.
    """
    if not path.is_file():
        raise ValueError(f"there is no configuration file {path}; --print-config prints one")
    entries = read_json(path)
    if isinstance(entries, dict) and "config" in entries:
        check_format(entries, path)
    given = [word.removeprefix("--").partition("=")[0] for word in typed if word[:2] == "--"]
    values = entries.get("config", entries) if isinstance(entries, dict) else entries
    try:
        return from_json(values, "it", trust_code, given)
    except ValueError as error:
        raise ValueError(f"{path} cannot be used: {error}") from error


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


def _start(
    config: Config,
    out: Path | None,
    show: bool,
    log_with: str | None,
    dataset: Dataset | None = None,
) -> int:
    if show:
        return _show(_resolved(config, dataset))
    run = new_run(out if out is not None else default_path(config))
    with shown(), watching(log_with, run.path, to_json(config)) as watch:
        train_config(config, run, dataset, log=say, watch=watch)
    if processes.rank() == 0:
        use = "upscale" if method_class(config.method).conditional else "evaluate"
        more = ""
        if use == "evaluate" and holds_pictures(config.data):
            use, more = "sample", " --output new.png"
        say(f"model saved in {run.model}; next: `gibbsian {use} {run.path}{more}`")
    return 0


def _resolved(config: Config, dataset: Dataset | None) -> Config:
    """As it will be trained; where the data are not at hand, as it is.

    ValueError where they are at hand and cannot be used.
    """
    try:
        dataset = load_data(config) if dataset is None else dataset
    except (ValueError, ImportError) as error:
        if Path(config.data).exists():
            raise
        say(f"what depends on the data is not filled in: {error}")
        return config
    return untrained(config, dataset)[0]


def _show(config: Config) -> int:
    """Print it; ValueError for a device that training would refuse."""
    device_of(config.training.device)
    print(json.dumps(to_json(config), indent=2))
    return 0
