"""Commands that need no run: ``list``, ``classifier`` and ``demo``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import torch
import tyro
from tyro.conf import Positional

from gibbsian import data
from gibbsian.cli.console import parse
from gibbsian.cli.training_commands import about
from gibbsian.config import recipes
from gibbsian.config.config import check_seed
from gibbsian.core import nearest
from gibbsian.evaluation.features.classifier import save_classifier, train_classifier
from gibbsian.methods import METHODS
from gibbsian.models.build import known_networks
from gibbsian.report.outputs import check_output


def list_(arguments: list[str]) -> int:
    """Show what there is: `list methods|data|recipes|networks`."""
    tables: dict[str, Callable[[], list[tuple[str, str]]]] = {
        "methods": lambda: [(name, about(cls)) for name, cls in METHODS.items()],
        "data": lambda: [(entry.name, entry.description) for entry in data.names()],
        "recipes": lambda: [(name, about(f)) for name, f in recipes.RECIPES.items()],
        "networks": lambda: [(role, ", ".join(names)) for role, names in known_networks().items()],
    }
    what = arguments[0] if arguments else "--help"
    if what in ("-h", "--help"):
        print("usage: gibbsian list methods|data|recipes|networks")
        return 0
    if what not in tables:
        raise nearest("list", what, tables)
    if len(arguments) > 1:
        raise ValueError(f"one list at a time: leave out {' '.join(arguments[1:])}")
    rows = tables[what]()
    width = max(19, *(len(name) for name, _ in rows))
    for name, text in rows:
        print(f"{name:{width}s} {text}")
    if what == "data":
        print(
            "picture sets also averaged to a SIZE, as in mnist-14, and as bits, as in digits-binary"
        )
    return 0


def classifier(arguments: list[str]) -> int:
    """Train a classifier of pictures: `classifier mnist-14 --output digits.safetensors`."""
    args = parse(TrainClassifier, arguments, "classifier")
    check_output(args.output, (".safetensors",))
    check_seed(args.seed)
    torch.set_num_threads(1)
    found = train_classifier(data.load(args.data, root=args.root), args.epochs, args.seed)
    save_classifier(found, args.output)
    print(f"accuracy on the test rows: {found.accuracy:.2%}")
    return 0


@dataclasses.dataclass(frozen=True)
class TrainClassifier:
    """Train a small convolutional classifier of labelled pictures.

    Args:
        data: a set of pictures with labels, such as mnist-14, or a folder with one folder per class.
        output: where to, .safetensors; its accuracy on the test rows is kept with it.
        epochs: passes over the training rows.
        seed: of weights and batches.
        root: folder of data sets; otherwise $GIBBSIAN_DATA, then the user's cache.
    """

    data: Annotated[Positional[str], tyro.conf.arg(metavar="DATA")]
    output: Path
    epochs: int = 5
    seed: int = 0
    root: Path | None = None


def demo(arguments: list[str]) -> int:
    """Train on handwritten digits, sample, score, and write a report with pictures (minutes)."""
    from gibbsian.cli.demo import run_demo  # matplotlib takes a second to import

    args = parse(Demo, arguments, "demo")
    return run_demo(args.out, args.quick)


@dataclasses.dataclass(frozen=True)
class Demo:
    """Train on real handwritten digits and on one 2-D density; write pictures and a report.

    Args:
        out: folder for the two runs; earlier demo runs in it are replaced.
        quick: a few rounds only, to see that everything works.
    """

    out: Path = Path("runs/demo")
    quick: bool = False
