"""How each named set's files become rows; nothing here looks for them."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from gibbsian.core import limits
from gibbsian.data.arrays import read_array
from gibbsian.data.image_files import read_images
from gibbsian.data.rows import Rows
from gibbsian.data.tables import read_csv


@dataclass(frozen=True)
class Named:
    """A data set: one line on it, its files under the data root, and how they become rows.

    ``side``: the longer side of its images in pixels, 0 where it has none.
    """

    description: str
    files: tuple[str, ...]
    read: Callable[[list[Path]], Rows]
    side: int = 0


def area_average(x: np.ndarray, size: int) -> np.ndarray:
    """``[N, C, H, W]`` bytes to ``[N, C, size, size]`` float32 means over equal areas."""
    parts = torch.from_numpy(x).split(4096)
    pool = torch.nn.AdaptiveAvgPool2d(size)
    return torch.cat([pool(part.float()) for part in parts]).numpy()


def _sklearn_table(loader: str) -> Callable[[list[Path]], Rows]:
    def read(paths: list[Path]) -> Rows:
        import sklearn.datasets

        bunch = getattr(sklearn.datasets, loader)()
        return Rows(
            bunch.data, tuple(str(name) for name in bunch.feature_names), targets=bunch.target
        )

    return read


def _digits(paths: list[Path]) -> Rows:
    import sklearn.datasets

    bunch = sklearn.datasets.load_digits()
    return Rows(bunch.images.astype(np.uint8)[:, None], targets=bunch.target, levels=17)


def _idx(path: Path) -> np.ndarray:
    """An idx file of unsigned bytes (LeCun): magic 0, 0, 8, number of dimensions; sizes big-endian."""
    try:
        most = limits.limit("BYTES")
        with gzip.open(path) as file:
            content = file.read(most + 1)
        if len(content) > most:
            raise limits.refusal("BYTES", len(content), f"{path} unpacks to at least")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is not an intact gzip file ({error}); copy it again") from error
    header = 4 + 4 * content[3] if len(content) > 3 else 4
    shape = np.frombuffer(content[4:header], ">i4") if len(content) >= header else np.zeros(1, int)
    if content[:3] != b"\0\0\x08" or len(content) != header + int(shape.prod()):
        raise ValueError(f"{path} is not an intact idx file of bytes; copy it again")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _mnist(paths: list[Path]) -> Rows:
    images = np.concatenate([_idx(paths[0]), _idx(paths[2])])[:, None]
    targets = np.concatenate([_idx(paths[1]), _idx(paths[3])])
    return Rows(images, targets=targets, tests=len(_idx(paths[3])), levels=256)


def _idx_files(folder: str) -> tuple[str, ...]:
    return tuple(
        f"{folder}/{part}-{kind}-ubyte.gz"
        for part in ("train", "t10k")
        for kind in ("images-idx3", "labels-idx1")
    )


STACKS = 128_000


def _stacked_mnist(paths: list[Path]) -> Rows:
    """Three random digits as the colours of one image (Srivastava et al. 2017; Du et al. 2020).

    The target is the number of its mode out of 1000, d1 + 10 d2 + 100 d3.
    """
    rows = _mnist(paths)
    assert rows.targets is not None
    pick = np.random.default_rng(0).integers(len(rows.x), size=(STACKS, 3))
    modes = rows.targets[pick].astype(np.int64) @ np.array([1, 10, 100])
    note = f"{STACKS} random stacks of the {len(rows.x)} digits, training and test ones alike"
    return Rows(rows.x[pick, 0], notes=(note,), targets=modes, levels=256)


def _table_without_target(paths: list[Path]) -> Rows:
    rows = read_csv(paths[0])
    note = f"{paths[0].name}: the last column is a target and was dropped"
    return Rows(rows.x[:, :-1], notes=(note,), targets=rows.x[:, -1])


def _unpacked(path: Path, name: str, width: int) -> np.ndarray:
    return np.unpackbits(read_array(path, name), axis=1)[:, :width]


def _packed(paths: list[Path]) -> Rows:
    bits = _unpacked(paths[0], "bits", int(read_array(paths[0], "width")))
    return Rows(bits, targets=read_array(paths[0], "labels"))


def _binarized_mnist(paths: list[Path]) -> Rows:
    parts = [_unpacked(paths[0], part, 784) for part in ("train", "valid", "test")]
    return Rows(np.concatenate(parts), valids=len(parts[1]), tests=len(parts[2]))


INK = 0.3
"""Share of a pixel's area that makes it ink when Omniglot's bits are reduced."""


def _omniglot(paths: list[Path]) -> Rows:
    side = int(read_array(paths[0], "side"))
    bits = _unpacked(paths[0], "bits", side * side).reshape(-1, 1, side, side)
    ink = (area_average(bits, 28) >= INK).astype(np.uint8)
    note = f"strokes of {side}x{side} reduced to 28x28: ink where it covers {INK:.0%} of a pixel"
    alphabet = read_array(paths[0], "alphabet")
    return Rows(ink.reshape(len(ink), -1), notes=(note,), targets=alphabet)


def _faces(target: str | None) -> Callable[[list[Path]], Rows]:
    def read(paths: list[Path]) -> Rows:
        labels = None if target is None else read_array(paths[0], target)
        return Rows(read_array(paths[0], "images")[:, None], targets=labels, levels=256)

    return read


def _cifar(paths: list[Path]) -> Rows:
    rows = read_images(paths[0])
    if rows.targets is None or rows.targets.max() != 19:
        raise ValueError(
            f"{paths[0]} does not hold {{train,test}}/CLASS folders of 10 classes each"
        )
    order = np.argsort(rows.targets < 10, kind="stable")  # folders test/* sort before train/*
    return replace(
        rows,
        x=rows.x[order],
        notes=rows.notes[:1],
        targets=rows.targets[order] % 10,
        tests=int((rows.targets < 10).sum()),
    )


NAMED: dict[str, Named] = {
    "digits": Named("1797 handwritten digits, 8x8, 17 grey levels", (), _digits, 8),
    "wine": Named("178 wines, 13 measurements", (), _sklearn_table("load_wine")),
    "breast-cancer": Named("569 tumours, 30 features", (), _sklearn_table("load_breast_cancer")),
    "mnist": Named("70000 digits, 28x28", _idx_files("mnist"), _mnist, 28),
    "stacked-mnist": Named(
        "128000 stacks of three digits in 1000 modes, 28x28 RGB",
        _idx_files("mnist"),
        _stacked_mnist,
        28,
    ),
    "fashion-mnist": Named("70000 garments, 28x28", _idx_files("fashion-mnist"), _mnist, 28),
    "wine-quality-red": Named(
        "1599 red wines, 11 measurements", ("tabular/winequality-red.csv",), _table_without_target
    ),
    "wine-quality-white": Named(
        "4898 white wines, 11 measurements",
        ("tabular/winequality-white.csv",),
        _table_without_target,
    ),
    "parkinsons": Named(
        "5875 voice recordings, 20 features", ("tabular/parkinsons.csv.gz",), _table_without_target
    ),
    "protein": Named(
        "45730 protein structures, 9 features", ("tabular/protein.csv.gz",), _table_without_target
    ),
    "binarized-mnist": Named(
        "70000 digits, 784 bits", ("binary/binarized_mnist.npz",), _binarized_mnist
    ),
    "ocr-letters": Named("52152 letters, 128 bits", ("binary/ocr_letters.npz",), _packed),
    "dna": Named("3186 splice junctions, 180 bits", ("binary/dna.npz",), _packed),
    "omniglot": Named(
        "5840 characters reduced to 28x28, 784 bits", ("images/omniglot_small.npz",), _omniglot
    ),
    "frey-faces": Named(
        "1965 frames of a face, 28x20", ("images/frey_faces.npz",), _faces(None), 28
    ),
    "orl-faces": Named(
        "400 faces of 40 people, 112x92", ("images/orl_faces.npz",), _faces("person"), 112
    ),
    "cifar10-jpeg75": Named(
        "30000 CIFAR-10 images as JPEG of quality 75, 32x32",
        ("images/cifar10_jpeg75.zip",),
        _cifar,
        32,
    ),
}
"""Name -> data set; image sets also answer to NAME-SIZE, area-averaged to SIZE x SIZE, and both to
NAME-binary, their pixels thresholded at half of the brightest level."""
