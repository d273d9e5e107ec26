"""Photographs of any sizes: square patches cut at random, split by image."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np

from gibbsian.core.paths import roots
from gibbsian.data.image_files import SUFFIXES, contents, opened
from gibbsian.data.rows import Rows

PHOTOS = "photos"
"""The folder of that name under a data root."""
HELD_OUT = (
    "astronaut",
    "barbara",
    "chelsea",
    "coffee",
    "kodim23",
    "monarch",
    "sail",
    "tulips",
)
"""Names, without ending, of the images that are never trained on: the test images of the studies."""
PATCHES = 4_000


def folder_of(source: str | Path, root: Path | None = None) -> Path:
    """Where the photographs called ``source`` lie; ValueError saying what to do where they do not."""
    if str(source) != PHOTOS or Path(source).exists():
        return Path(source)
    places = [place / PHOTOS for place in roots(root)]
    for place in places:
        if place.is_dir():
            return place
    raise ValueError(
        f"the photographs called {PHOTOS!r} are in none of {', '.join(map(str, places))}; put a folder of "
        "images there, name its folder by --data-root or $GIBBSIAN_DATA, or give a folder of your own"
    )


def photographs(path: Path, greyscale: bool = False) -> dict[str, np.ndarray]:
    """Name without ending -> image ``[C, H, W]`` uint8, in order of name, from a folder, zip or file.

    Grey on request (luma of BT.601) or where all are, otherwise RGB. ValueError as ``read_images``.
    """
    pictures = {name: opened(content, f"{name} in {path}") for name, content in contents(path)}
    if not pictures:
        raise ValueError(f"{path} holds no images ({', '.join(SUFFIXES)})")
    mode = "L" if greyscale or all(picture.mode == "L" for picture in pictures.values()) else "RGB"
    arrays = {name: np.asarray(picture.convert(mode)) for name, picture in pictures.items()}
    return {
        PurePosixPath(name).with_suffix("").as_posix(): array[None]
        if array.ndim == 2
        else np.moveaxis(array, 2, 0)
        for name, array in arrays.items()
    }


def split(names: list[str]) -> dict[str, list[str]]:
    """``names`` for training, validation and test: by ``HELD_OUT``, else every eighth name.

    At least one of each where there are three images; a single image is in all of them.
    """
    if len(names) < 3:
        return {"train": names, "valid": names[:1], "test": names[-1:]}
    test = [name for name in names if PurePosixPath(name).name in HELD_OUT]
    if len(test) in (0, len(names)) or len(names) - len(test) < 2:
        test = names[::8]
    rest = [name for name in names if name not in test]
    valid = rest[::8] if len(rest) > 1 else rest
    return {"train": [n for n in rest if n not in valid] or rest, "valid": valid, "test": test}


def cut(pictures: list[np.ndarray], n: int, side: int, rng: np.random.Generator) -> np.ndarray:
    """``[n, C, side, side]``: patches at random places, images in proportion to their places.

    Mirrored left to right half of the time.
    """
    places = np.array([(p.shape[1] - side + 1) * (p.shape[2] - side + 1) for p in pictures])
    found = []
    for number in rng.choice(len(pictures), n, p=places / places.sum()):
        picture = pictures[number]
        row, column = (int(rng.integers(extent - side + 1)) for extent in picture.shape[1:])
        patch = picture[:, row : row + side, column : column + side]
        found.append(patch[:, :, ::-1] if rng.random() < 0.5 else patch)
    return np.stack(found)


def read_patches(path: Path, side: int, n: int, seed: int, greyscale: bool = False) -> Rows:
    """``n`` patches for training, an eighth as many each for validation and test: ``[N, C, side, side]``.

    Whole images are held out, so that no test patch overlaps one of training. Raises ValueError for
    an image smaller than a patch, naming it.
    """
    pictures = photographs(path, greyscale)
    for name, picture in pictures.items():
        if min(picture.shape[1:]) < side:
            raise ValueError(
                f"{name} in {path} is {picture.shape[2]}x{picture.shape[1]}, smaller than a patch of "
                f"{side}x{side}; use smaller patches or remove it"
            )
    rng = np.random.default_rng(seed)
    parts = split(list(pictures))
    counts = {"train": n, "valid": -(-n // 8), "test": -(-n // 8)}
    rows = [
        cut([pictures[name] for name in parts[part]], count, side, rng)
        for part, count in counts.items()
    ]
    kind = "grey" if rows[0].shape[1] == 1 else "RGB"
    held = ", ".join(PurePosixPath(name).name for name in parts["test"])
    note = (
        f"{counts['train']} {kind} patches of {side}x{side} from {len(parts['train'])} of "
        f"{len(pictures)} images; for test: {held}"
    )
    x = np.ascontiguousarray(np.concatenate(rows))
    return Rows(x, notes=(note,), valids=counts["valid"], tests=counts["test"], levels=256)
