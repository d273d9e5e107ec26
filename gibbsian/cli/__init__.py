"""The command line: ``gibbsian COMMAND ...``. Options are read off the types they fill.

May import every package.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence

from gibbsian import __version__
from gibbsian.cli.allocator import keep_freed_memory
from gibbsian.cli.console import say
from gibbsian.cli.standard_streams import replace_closed_streams

COMMANDS: Mapping[str, tuple[str, str]] = {
    "train": ("gibbsian.cli.training_commands:train", "train a method on data, or continue a run"),
    "sample": ("gibbsian.cli.model_commands:sample", "draw from a trained model"),
    "score": ("gibbsian.cli.model_commands:score", "say how normal each row of a file is"),
    "detect": ("gibbsian.cli.detecting:detect", "find the strange rows of a table, with reasons"),
    "evaluate": (
        "gibbsian.cli.model_commands:evaluate",
        "measure a trained model on held-out data",
    ),
    "report": (
        "gibbsian.cli.reporting:report",
        "write one page about a run, or several side by side",
    ),
    "watch": ("gibbsian.cli.watching:watch", "show the page of a run while it trains"),
    "upscale": ("gibbsian.cli.upscale:upscale", "enlarge a photograph by a trained model"),
    "classifier": (
        "gibbsian.cli.other_commands:classifier",
        "train a classifier, to label samples with",
    ),
    "compare": (
        "gibbsian.cli.comparing:compare_",
        "train methods alike and rank them, on one page",
    ),
    "sweep": ("gibbsian.cli.sweeping:sweep_", "train at many settings and compare them"),
    "log-z": ("gibbsian.cli.partition_function:log_z_", "integrate exp(-energy) of any energy"),
    "list": ("gibbsian.cli.listing:list_", "show methods, data, recipes or networks"),
    "demo": ("gibbsian.cli.other_commands:demo", "train on handwritten digits and write a report"),
}

WITHOUT_TORCH = ("report", "watch")
"""Commands that read run folders only."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status: 0 done, 1 the run failed, 2 unusable input."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if argv is None:  # a process of our own
        keep_freed_memory()
    replace_closed_streams()
    with warnings.catch_warnings():
        warnings.showwarning = _warn
        try:
            status = _status(arguments)
            sys.stdout.flush()  # what it does not take is an error here, and not at exit
            return status
        except KeyboardInterrupt:
            say("interrupted")
            return 130
        except (ValueError, ImportError) as error:
            return _fail(error, 2)
        except (MemoryError, RuntimeError) as error:
            if not _is_memory(error):
                raise
            return _fail(
                MemoryError("not enough memory for this; ask for less, or for it in parts"), 1
            )
        except BrokenPipeError:  # the reader of our output has gone, as `head` does
            _discard_output()
            return 141
        except OSError as error:
            _discard_output()
            where = f" {error.filename}" if error.filename else ""
            why = f"cannot read or write{where}: {error.strerror or error}"
            return _fail(ValueError(f"{why}; check the path, its permissions and free space"), 2)


def _status(arguments: list[str]) -> int:
    """The exit status of the command, of its ``--help`` too."""
    try:
        return _run(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        print(f"gibbsian {__version__}")
        return 0
    if arguments[0] in WITHOUT_TORCH:
        return _command(arguments[0])(arguments[1:])
    _import_torch()  # takes seconds, and what is above needs none of it
    import torch

    from gibbsian.core import DivergenceError
    from gibbsian.training import TrainingInterrupted

    # PyTorch lets a GPU's convolutions round to TF32; here they do so only where --float-precision says it.
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
    try:
        return _command(arguments[0])(arguments[1:])
    except DivergenceError as error:
        return _fail(error, 1)
    except TrainingInterrupted as error:
        number, state = error.args
        again = arguments[0] == "train" and state is not None
        how = f"; `gibbsian train --resume {state.parent}` goes on" if again else ""
        # A run that has no folder, as those of `gibbsian detect`, keeps nothing.
        kept = (
            "nothing was written"
            if state is None
            else "everything up to the last finished round is saved"
        )
        say(f"interrupted; {kept}{how}")
        return 128 + int(number)


def _import_torch() -> None:
    """Import PyTorch with the garbage collector off, and leave its objects out of every later collection.

    The import makes some 170 000 objects, and all of them stay: the collections that it sets off, and each
    full one after it, would look through them and free none.
    """
    if "torch" in sys.modules or not gc.isenabled():
        return
    gc.disable()
    try:
        import torch  # noqa: F401
    finally:
        gc.enable()
    gc.freeze()


OUT_OF_MEMORY = ("allocate memory", "out of memory", "can't start new thread")
"""What PyTorch and Python say of it in a RuntimeError."""
NO_PRIMITIVE = "could not create a primitive"
"""What oneDNN says of it, and no more; of a convolution that it has not it says which."""


def _is_memory(error: BaseException) -> bool:
    """Whether an allocation failed: PyTorch has a type for that on accelerators only."""
    said = str(error)
    told = said == NO_PRIMITIVE or any(words in said for words in OUT_OF_MEMORY)
    return isinstance(error, MemoryError) or told


def _discard_output() -> None:
    """Drop what standard output does not take: flushed again at exit, it would change the status."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _command(name: str) -> Callable[[list[str]], int]:
    from gibbsian.core import nearest

    if name not in COMMANDS and name[:1] == "-":
        raise ValueError(f"{name} stands before any command; `gibbsian COMMAND {name} ...`")
    if name not in COMMANDS:
        raise nearest("command", name, COMMANDS)
    module, _, function = COMMANDS[name][0].partition(":")
    return getattr(importlib.import_module(module), function)


def _fail(error: BaseException, status: int) -> int:
    if os.environ.get("GIBBSIAN_DEBUG"):
        raise error
    say(f"error: {error}")
    return status


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    say(f"warning: {message}")


def _overview() -> str:
    lines = ["usage: gibbsian COMMAND ...", ""]
    lines += ["Train, sample, score and compare energy-based and adversarial models.", ""]
    lines += [f"  {name:12s}{text}" for name, (_, text) in COMMANDS.items()]
    lines += ["", "`gibbsian COMMAND --help` explains each; start with `gibbsian demo`."]
    return "\n".join(lines)
