"""Photographs of any sizes: square patches cut at random, split by image."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np

from gibbsian.core.paths import roots
from gibbsian.data.image_files import ImageFiles, channels_first, copies
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
    return _decoded(ImageFiles(path), greyscale)


def _decoded(files: ImageFiles, greyscale: bool) -> dict[str, np.ndarray]:
    arrays = [channels_first(picture.convert("L") if greyscale else picture) for picture in files]
    most = max(len(array) for array in arrays)
    found: dict[str, np.ndarray] = {}
    for name, array in zip(files.names, arrays, strict=True):
        stem = PurePosixPath(name).with_suffix("").as_posix()
        found[name if stem in found else stem] = np.repeat(array, most // len(array), 0)
    return found


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


def read_patches(
    path: Path,
    side: int,
    n: int,
    seed: int,
    greyscale: bool = False,
    skip_unreadable: bool = False,
) -> Rows:
    """``n`` patches for training, an eighth as many each for validation and test: ``[N, C, side, side]``.

    Whole images are held out, so that no test patch overlaps one of training, but where an image is there
    twice. Raises ValueError for
    an image smaller than a patch, naming it.
    """
    files = ImageFiles(path, skip_unreadable)
    pictures = _decoded(files, greyscale)
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
    notes = (note, *files.notes(), *copies(list(pictures), pictures.values()))
    return Rows(
        x,
        notes=notes,
        valids=counts["valid"],
        tests=counts["test"],
        levels=256,
        unreadable=files.unreadable,
    )
