"""Folders and zips of images; a single image is a folder of one."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from gibbsian.core import limits, progress
from gibbsian.core.names import first_few
from gibbsian.data import archives
from gibbsian.data.decoding import SUFFIXES, Decoded, decoded, in_8_bits
from gibbsian.data.rows import Rows, counted

MANY = 1_000
"""Files from which on a bar is shown while they are read."""
PATCH = 48
"""Side of the squares that are proposed to be cut out of photographs, if all are as large."""
PARTS = 3
"""Images that a class needs to be in training, validation and test."""


def read_images(
    path: Path, size: int | None = None, skip_unreadable: bool = False, greyscale: bool = False
) -> Rows:
    """Every image under a folder or in a zip, in order of name: ``[N, C, H, W]`` uint8.

    Grey if all are or on request (``greyscale``), otherwise RGB; upright, on white, of 8 bits. ``size``
    resizes (area-averaged) to size x size; without it a mixture of sizes is refused. Where the files lie in
    several folders, the number of the folder in order of name is the target. Files that cannot be read are
    refused, or left out and named in ``unreadable``. Raises ValueError naming the files that cannot be read,
    and all sizes.
    """
    if size is not None:
        limits.check("PIXELS", size * size, f"images brought to {size}x{size} have")
    files = ImageFiles(path, skip_unreadable)
    x = np.empty((0, 1, 0, 0), np.uint8)
    coloured: list[str] = []
    sizes: dict[tuple[int, int], list[str]] = {}
    try:
        for k, picture in enumerate(files):
            if greyscale:
                picture = picture.convert("L")
            if size is not None and picture.size != (size, size):
                picture = picture.resize((size, size), Image.Resampling.BOX)
            sizes.setdefault(picture.size, []).append(files.names[k])
            if not k:
                x = _room(files, 1, picture.size)
            if len(sizes) > 1:
                continue  # all sizes are told at once, and what else is wrong with the files
            if picture.mode == "RGB" and x.shape[1] == 1:
                grey, x = x, _room(files, 3, picture.size)
                x[:k] = grey[:k]
            if picture.mode == "RGB":
                coloured.append(files.names[k])
            x[k] = channels_first(picture)
    except ValueError as error:
        raise ValueError("; ".join([str(error), *_several(sizes, files.place)])) from error
    for problem in _several(sizes, files.place):
        raise ValueError(problem)
    x = x[: len(files.names)]
    kind = "grey" if x.shape[1] == 1 else "RGB"
    targets, classes = _classes(files.names)
    notes = (
        f"{len(x)} {kind} images of {x.shape[3]}x{x.shape[2]} pixels",
        *_grey_but_few(coloured, len(x)),
        *classes,
        *files.notes(),
        *copies(files.names, x),
    )
    return Rows(
        x,
        notes=notes,
        targets=targets,
        levels=256,
        unreadable=files.unreadable,
        files=tuple(files.names),
    )


def first_size(path: Path) -> tuple[int, int]:
    """Width and height of the first image that can be read under a folder or in a zip; (0, 0) without one."""
    files = ImageFiles(path, skip_unreadable=True)
    with _listing(path) as (names, content):
        found = (files.decoded(name, content) for name in names)
        return next((image.picture.size for image in found if image is not None), (0, 0))


def _several(sizes: Mapping[tuple[int, int], Sequence[str]], place: Path) -> tuple[str, ...]:
    """A sentence where there are several sizes (width, height), the names of their files given."""
    if len(sizes) < 2:
        return ()
    ordered = sorted(sizes.items(), key=lambda found: -len(found[1]))
    listed = first_few(
        f"{width}x{height} ({names[0] if len(names) == 1 else f'{len(names)} files, {names[0]} first'})"
        for (width, height), names in ordered
    )
    least = min(map(min, sizes))
    cut = f", or cut squares out of photographs by --patch-size {PATCH}" if least >= PATCH else ""
    return (
        f"{place} holds images of several sizes: {listed}; bring them to one size, as --image-size "
        f"{max(ordered[0][0])} does{cut}",
    )


def _grey_but_few(coloured: Sequence[str], images: int) -> tuple[str, ...]:
    """A sentence where few files make many grey images RGB."""
    if not 0 < 2 * len(coloured) < images:
        return ()
    said = f"{counted(len(coloured), 'file')} of {images} in colour: {first_few(coloured)}"
    return (f"RGB because of {said}; --greyscale takes all images as grey",)


def channels_first(picture: Image.Image) -> np.ndarray:
    """``[C, H, W]`` uint8 of an image of 8 bits."""
    array = np.asarray(picture)
    return array[None] if array.ndim == 2 else np.moveaxis(array, 2, 0)


def _room(files: ImageFiles, channels: int, size: tuple[int, int]) -> np.ndarray:
    """Memory for all of the files, of which the system gives what is written to."""
    shape = (files.count, channels, size[1], size[0])
    limits.check(
        "MEMORY",
        files.count * channels * size[0] * size[1],
        f"{files.place} holds {files.count} images; at {size[0]}x{size[1]} pixels (--image-size 64 makes "
        "them smaller) they take",
    )
    return np.empty(shape, np.uint8)


class ImageFiles:
    """The images under a folder, in a zip or in a file, decoded one after the other, in order of name.

    ``names`` of those that were given out, ``count`` of all there are, and ``unreadable``: name of each that
    was left out, and why. Raises ValueError once all were read, naming the files that are no images, unless
    ``skip_unreadable``, and where nothing is left.
    """

    def __init__(self, path: Path, skip_unreadable: bool = False):
        self.path, self.skip_unreadable = path, skip_unreadable
        self.place = path.parent if _is_image(path) else path
        self.names: list[str] = []
        self.unreadable: dict[str, str] = {}
        self.count = self.see_through = self.deep = self.several = 0

    def __iter__(self) -> Iterator[Image.Image]:
        with _listing(self.path) as (names, content):
            if not names:
                raise ValueError(f"{self.place} holds no images ({', '.join(SUFFIXES)})")
            self.count = len(names)
            for name in progress.steps(names, "images") if len(names) >= MANY else names:
                found = self.decoded(name, content)
                if found is None:
                    continue
                picture, see_through = in_8_bits(found)
                self.see_through += see_through
                self.deep += found.deep
                self.several += found.several
                self.names.append(name)
                yield picture
        if self.unreadable and not self.skip_unreadable:
            raise ValueError(self._refusal())
        if not self.names:
            raise ValueError(
                f"{self.place} holds no image that can be read: {name} {self.unreadable[name]}"
            )

    def decoded(self, name: str, content: Callable[[str], bytes]) -> Decoded | None:
        """The image of that name, None where it cannot be read, which is then said in ``unreadable``."""
        try:
            return decoded(io.BytesIO(content(name)))
        except (OSError, ValueError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            why = str(error)
            if isinstance(error, OSError):
                why = f"cannot be read ({error.strerror or error}); make it readable"
            elif not isinstance(error, ValueError):
                why = f"is not an intact member of the archive ({error}); copy that again"
            self.unreadable[name] = why
            return None

    def _refusal(self) -> str:
        """What is wrong with the first file that cannot be read, and the names of the others."""
        (name, why), *others = self.unreadable.items()
        said = f"{name} in {self.place} {why}, remove it, or train with --skip-unreadable"
        if others:
            said += f"; {counted(len(others), 'other file')} cannot be read: "
            said += first_few(other for other, _ in others)
        return said

    def notes(self) -> tuple[str, ...]:
        """Sentences on what was done to them."""
        found = {
            f"{counted(self.see_through, 'image')} with transparency, put on white": self.see_through,
            f"{counted(self.deep, 'image')} of 16 bits per channel, reduced to 8": self.deep,
            f"{counted(self.several, 'file')} of several frames or pages, of which the first is "
            "taken": self.several,
            f"{counted(len(self.unreadable), 'file')} left out, unreadable: "
            f"{first_few(self.unreadable)}": len(self.unreadable),
        }
        return tuple(note for note, count in found.items() if count)


@contextmanager
def _listing(path: Path) -> Iterator[tuple[list[str], Callable[[str], bytes]]]:
    """Names of the images under a folder or in a zip, in order, or of one image; and what reads one."""
    if path.is_dir():
        yield (
            _images(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()),
            (partial(_content, path)),
        )
    elif _is_image(path):
        yield [path.name], partial(_content, path.parent)
    else:
        with archives.opened(path) as archive:
            names = _images(archive.namelist())
            for name in names:
                archives.check_member(archive.getinfo(name), path)
            size = sum(archive.getinfo(name).file_size for name in names)
            limits.check("BYTES", size, f"{path} unpacks to")
            yield names, archive.read


def _content(folder: Path, name: str) -> bytes:
    return (folder / name).read_bytes()


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.is_dir()


def _images(names: Iterable[str]) -> list[str]:
    """The images among ``names``, sorted, without what file managers hide beside them."""
    return sorted(
        name
        for name in names
        if name.lower().endswith(SUFFIXES)
        and not PurePosixPath(name).name.startswith(".")
        and not name.startswith("__MACOSX/")
    )


def _classes(names: Sequence[str]) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Numbers ``[N]`` of the folders that files lie in, in order of name, and sentences on these classes.

    None where there is one folder. In sentences their names begin below the folders that all share.
    """
    folders = [PurePosixPath(name).parent.as_posix() for name in names]
    counts = Counter(folders)
    if len(counts) == 1:
        return None, ()
    distinct = sorted(counts)
    parts = {folder: PurePosixPath(folder).parts for folder in distinct}
    levels = enumerate(zip(*parts.values(), strict=False))
    least = min(map(len, parts.values()))
    shared = next((i for i, names_there in levels if len(set(names_there)) > 1), least)
    called = {folder: "/".join(parts[folder][shared:]) or "(no folder)" for folder in distinct}
    listed = first_few(f"{called[folder]} {counts[folder]}" for folder in distinct)
    notes = [f"classes from folder names, numbered from 0: {listed}"]
    few = [called[folder] for folder in distinct if counts[folder] < PARTS]
    if few:
        notes.append(
            f"classes of fewer than {PARTS} images, which training, validation or test lack: {first_few(few)}"
        )
    number = {folder: i for i, folder in enumerate(distinct)}
    return np.array([number[folder] for folder in folders]), tuple(notes)


def copies(names: Sequence[str], images: Iterable[np.ndarray]) -> tuple[str, ...]:
    """A sentence on images whose shape and pixels are those of an earlier one, if there are any."""
    earlier: dict[bytes, str] = {}
    found = []
    for name, image in zip(names, images, strict=True):
        key = sha256(repr(image.shape).encode() + image.tobytes()).digest()
        first = earlier.setdefault(key, name)
        if first != name:
            found.append(f"{name} of {first}")
    if not found:
        return ()
    what = "1 exact copy" if len(found) == 1 else f"{len(found)} exact copies"
    return (f"{what} of other images, so training and test may overlap: {first_few(found)}",)
