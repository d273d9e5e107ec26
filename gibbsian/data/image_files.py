"""Folders and zips of images; a single image is a folder of one."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from gibbsian.core import limits
from gibbsian.data import archives
from gibbsian.data.rows import Rows

SUFFIXES = (".png", ".jpg", ".jpeg")


def read_images(path: Path, size: int | None = None) -> Rows:
    """Every ``.png`` and ``.jpg`` under a folder or in a zip, in order of name: ``[N, C, H, W]`` uint8.

    Grey if all are, otherwise RGB. ``size`` resizes (area-averaged) to size x size; without it a mixture of
    sizes is refused. Where the files lie in several folders, the folder's number is the target.
    Raises ValueError naming the file that cannot be read, or both sizes.
    """
    place = path.parent if path.suffix.lower() in SUFFIXES and not path.is_dir() else path
    return _gather(place, contents(path), size)


def contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every image under a folder or in a zip, in order of name, or of one image."""
    if path.is_dir():
        names = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
        for name in _pictures(names):
            yield name, (path / name).read_bytes()
        return
    if path.suffix.lower() in SUFFIXES:
        yield path.name, path.read_bytes()
        return
    with archives.opened(path) as archive:
        names = _pictures(sorted(archive.namelist()))
        for name in names:
            archives.check_member(archive.getinfo(name), path)
        size = sum(archive.getinfo(name).file_size for name in names)
        limits.check("BYTES", size, f"{path} unpacks to")
        for name in names:
            yield name, archive.read(name)


def _pictures(names: Iterable[str]) -> list[str]:
    """The images among ``names``, without what file managers hide beside them."""
    return [
        name
        for name in names
        if name.lower().endswith(SUFFIXES)
        and not PurePosixPath(name).name.startswith(".")
        and not name.startswith("__MACOSX/")
    ]


def _gather(place: Path, found: Iterable[tuple[str, bytes]], size: int | None) -> Rows:
    names: list[str] = []
    pictures, first = [], None
    if size is not None:
        limits.check("PIXELS", size * size, f"images brought to {size}x{size} have")
    for name, content in found:
        picture = opened(content, f"{name} in {place}")
        names.append(name)
        if size is not None and picture.size != (size, size):
            picture = picture.resize((size, size), Image.Resampling.BOX)
        first = first or picture.size
        if picture.size != first:
            raise ValueError(
                f"{place} holds images of several sizes: {names[0]} is {first[0]}x{first[1]}, {name} is "
                f"{picture.size[0]}x{picture.size[1]}; bring them to one size, as --image-size 64 does, or "
                "cut squares out of photographs by --patch-size 48"
            )
        pictures.append(picture)
    if not names:
        raise ValueError(f"{place} holds no images ({', '.join(SUFFIXES)})")
    grey = all(picture.mode == "L" for picture in pictures)
    arrays = [np.asarray(p if grey else p.convert("RGB")) for p in pictures]
    x = np.stack(arrays)
    x = x[:, None] if grey else np.moveaxis(x, 3, 1)
    folders = [PurePosixPath(name).parent.as_posix() for name in names]
    distinct = sorted(set(folders))
    targets = np.array([distinct.index(f) for f in folders]) if len(distinct) > 1 else None
    note = f"{len(x)} {'grey' if grey else 'RGB'} images of {x.shape[3]}x{x.shape[2]} pixels"
    return Rows(np.ascontiguousarray(x), notes=(note,), targets=targets, levels=256)


def opened(content: bytes, name: str) -> Image.Image:
    """An 8-bit grey or RGB image."""
    try:
        with Image.open(io.BytesIO(content)) as picture:
            limits.check("PIXELS", picture.width * picture.height, f"{name} holds")
            picture.load()
            if picture.mode.startswith(("I", "F")):
                raise ValueError(f"{name} has more than 8 bits per channel; save it with 8")
            return picture.convert("L" if picture.mode in ("1", "L", "LA") else "RGB")
    except (OSError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise ValueError(f"{name} cannot be read as an image ({error}); remove it") from error
