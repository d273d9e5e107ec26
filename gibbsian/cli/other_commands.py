"""Commands that need no run: ``classifier`` and ``demo``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import torch
import tyro
from tyro.conf import Positional

from gibbsian import data
from gibbsian.cli.console import parse
from gibbsian.config.config import check_seed
from gibbsian.evaluation.features.classifier import save_classifier, train_classifier
from gibbsian.report.page_files import check_output


def classifier(arguments: list[str]) -> int:
    """Train a classifier of images: `classifier mnist-14 --output digits.safetensors`."""
    args = parse(TrainClassifier, arguments, "classifier")
    check_output(args.output, (".safetensors",))
    check_seed(args.seed)
    torch.set_num_threads(1)
    found = train_classifier(
        data.load_dataset(args.data, data_root=args.data_root), args.epochs, args.seed
    )
    save_classifier(found, args.output)
    print(f"accuracy on the test rows: {found.accuracy:.2%}")
    return 0


@dataclasses.dataclass(frozen=True)
class TrainClassifier:
    """Train a small convolutional classifier of labelled images.

    Args:
        data: a set of images with labels, such as mnist-14, or a folder with one folder per class.
        output: where to, .safetensors; its accuracy on the test rows is kept with it.
        epochs: passes over the training rows.
        seed: of weights and batches.
        data_root: folder of data sets; otherwise $GIBBSIAN_DATA, then the user's cache.
    """

    data: Annotated[Positional[str], tyro.conf.arg(metavar="DATA")]
    output: Path
    epochs: int = 5
    seed: int = 0
    data_root: Path | None = None


def demo(arguments: list[str]) -> int:
    """Train on handwritten digits, sample, score, and write a report with images (minutes)."""
    from gibbsian.cli.demo import run_demo  # matplotlib takes a second to import

    args = parse(Demo, arguments, "demo")
    return run_demo(args.out, args.quick)


@dataclasses.dataclass(frozen=True)
class Demo:
    """Train on real handwritten digits and on one 2-D density; write images and a report.

    Args:
        out: folder for the two runs; earlier demo runs in it are replaced.
        quick: a few rounds only, to see that everything works.
    """

    out: Path = Path("runs/demo")
    quick: bool = False
