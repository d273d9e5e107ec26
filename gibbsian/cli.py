"""The command line: ``gibbsian COMMAND ...``. Options are read off the types they fill."""

from __future__ import annotations

import dataclasses
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from gibbsian.core import NonFiniteError
from gibbsian.training import Interrupted

Positional = tyro.conf.Positional


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status: 0 done, 1 the run failed, 2 unusable input."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        return 0 if arguments else 2
    warnings.showwarning = _warn
    try:
        return _command(arguments[0])(arguments[1:])
    except NonFiniteError as error:
        return _fail(error, 1)
    except Interrupted as error:
        _say("interrupted; everything up to the last finished round is saved")
        return 128 + int(error.args[0])
    except KeyboardInterrupt:
        return 130
    except (ValueError, ImportError) as error:
        return _fail(error, 2)
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        return _fail(ValueError(f"cannot read or write{where}: {error.strerror or error}"), 2)


def _command(name: str) -> Callable[[list[str]], int]:
    from gibbsian.config import nearest

    if name not in COMMANDS:
        raise nearest("command", name, COMMANDS)
    return COMMANDS[name]


def _fail(error: BaseException, status: int) -> int:
    if os.environ.get("GIBBSIAN_DEBUG"):
        raise error
    _say(f"error: {error}")
    return status


def _say(text: str) -> None:
    print(f"gibbsian: {text}", file=sys.stderr)


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    _say(f"warning: {message}")


def _overview() -> str:
    lines = ["usage: gibbsian COMMAND ...", ""]
    lines += ["Train, sample, score and compare energy-based and adversarial models.", ""]
    for name, command in COMMANDS.items():
        lines.append(f"  {name:10s}{(command.__doc__ or '').splitlines()[0]}")
    lines += ["", "`gibbsian COMMAND --help` explains each; start with `gibbsian demo`."]
    return "\n".join(lines)


def _parse(record: type, arguments: Sequence[str], name: str, default: Any = None) -> Any:
    extra = {} if default is None else {"default": default}
    return tyro.cli(record, args=list(arguments), prog=f"gibbsian {name}", **extra)


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
        from gibbsian.methods import METHODS

        print(
            f"methods: {', '.join(METHODS)}; `gibbsian train METHOD --help` lists the options of one"
        )
    wish = _parse(Continue, arguments, "train")
    from gibbsian import recipes
    from gibbsian.config import replace
    from gibbsian.facade import resume

    if (wish.resume is None) == (wish.recipe is None):
        raise ValueError("give either --resume RUN or --recipe NAME, or name a method first")
    if wish.resume is not None:
        resume(wish.resume, wish.rounds, wish.device)
        _say(f"model saved in {wish.resume / 'model'}")
        return 0
    if wish.scale not in ("cpu", "paper"):
        raise ValueError(f"--scale must be cpu or paper, not {wish.scale!r}")
    config = recipes.recipe(wish.recipe, wish.scale)
    changes = {"rounds": wish.rounds, "device": wish.device}
    config = replace(config, training={k: v for k, v in changes.items() if v is not None})
    return _start(config, wish.out, wish.print_config)


def _train_method(arguments: list[str], config_file: str | None) -> int:
    from gibbsian import recipes
    from gibbsian.config import config_type, from_json, method_class
    from gibbsian.files import read_json

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
    wish = _parse(record, arguments, f"train {base.method}", record(**values))
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


def _start(config: Any, out: Path | None, show: bool) -> int:
    import json

    from gibbsian.config import to_json
    from gibbsian.facade import train_config
    from gibbsian.runs import default_path, new_run
    from gibbsian.training import processes

    if show:
        print(json.dumps(to_json(config), indent=2))
        return 0
    run = new_run(out if out is not None else default_path(config))
    train_config(config, run)
    if processes.rank() == 0:
        _say(f"model saved in {run.model}; next: `gibbsian evaluate {run.path}`")
    return 0


COMMANDS: Mapping[str, Callable[[list[str]], int]] = {
    "train": train,
}
