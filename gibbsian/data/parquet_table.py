"""The files of a Parquet table: what they have, and their rows in order or in blocks.

A table is one file, or those of a folder in order of their names.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from gibbsian.core import limits
from gibbsian.core.text import one_line
from gibbsian.data.decoding import SUFFIXES
from gibbsian.data.layout import names_of
from gibbsian.data.tables import polars

if TYPE_CHECKING:
    import polars as pl

BUFFER = 2**18
"""Bytes of a column that are fetched at a time, so that the size of a row group does not matter."""
VALUE_BYTES = 8
"""Of a cell once it is a number."""


def holds_parquet(path: Path) -> bool:
    """Whether ``path`` is a folder of Parquet files: neither images nor folders beside them.

    Names that begin with a point or an underscore, as of the marks that other programs leave, do not count.
    """
    if not path.is_dir():
        return False
    found = False
    with os.scandir(path) as entries:
        for entry in entries:
            name = entry.name.lower()
            if name.startswith((".", "_")):
                continue
            if name.endswith(SUFFIXES) or entry.is_dir():
                return False
            found |= name.endswith(".parquet")
    return found


@dataclass(frozen=True)
class ParquetFile:
    """A file as it was when it was first opened; ``written``: when it was last changed, in ns."""

    path: Path
    size: int
    written: int
    metadata: Any
    schema: Any

    @property
    def has_changed(self) -> bool:
        """Whether it is another one now, or none."""
        if not self.path.exists():
            return True
        now = self.path.stat()
        return (now.st_size, now.st_mtime_ns) != (self.size, self.written)


@dataclass(frozen=True)
class Piece:
    """Rows of neighbouring row ``groups`` of a file: ``count`` of them after the first ``skip``."""

    file: int
    groups: tuple[int, ...]
    skip: int
    count: int


@dataclass(frozen=True)
class ParquetTable:
    """Files with the same columns: ``raw`` names as they stand there, ``names`` for messages.

    ``kinds``: of each column ``number``, ``text`` or a type of PyArrow's, "" where no file has a value.
    """

    path: Path
    files: tuple[ParquetFile, ...]
    raw: tuple[str, ...]
    names: tuple[str, ...]
    kinds: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(file.metadata.num_rows for file in self.files)

    @property
    def nbytes(self) -> int:
        """Bytes of all cells as numbers."""
        return VALUE_BYTES * self.rows * len(self.raw)

    @property
    def size(self) -> int:
        """Bytes of the files."""
        return sum(file.size for file in self.files)

    def batches(self, rows: int) -> Iterator[Any]:
        """All rows in order as PyArrow's batches, at most ``rows`` in one."""
        for number, file in enumerate(self.files):
            yield from self._batches(number, range(file.metadata.num_row_groups), None, rows)

    def blocks(self, most: int) -> list[tuple[Piece, ...]]:
        """All rows in order, at most ``most`` together: small row groups as they are, large ones cut."""
        found: list[tuple[Piece, ...]] = []
        small: list[Piece] = []
        for number, file in enumerate(self.files):
            for group in range(file.metadata.num_row_groups):
                count = file.metadata.row_group(group).num_rows
                if small and sum(piece.count for piece in small) + count > most:
                    found.append(tuple(small))
                    small = []
                if count > most:
                    cuts = range(0, count, most)
                    found += [
                        (Piece(number, (group,), first, min(most, count - first)),)
                        for first in cuts
                    ]
                elif count and small and small[-1].file == number:
                    last = small.pop()
                    groups = (*last.groups, group)
                    small.append(Piece(number, groups, 0, last.count + count))
                elif count:
                    small.append(Piece(number, (group,), 0, count))
        return [*found, tuple(small)] if small else found

    def block(self, pieces: Sequence[Piece], places: Sequence[int]) -> pl.DataFrame:
        """The cells of the columns at ``places`` in a block, plain."""
        return next(self.in_order([pieces], places))

    def in_order(
        self, blocks: Sequence[Sequence[Piece]], places: Sequence[int]
    ) -> Iterator[pl.DataFrame]:
        """Block after block; pieces of one row group that follow each other are read in one go."""
        supply: _Supply | None = None
        for block in blocks:
            taken: list[Any] = []
            for piece in block:
                source = (piece.file, piece.groups)
                if supply is None or (supply.source, supply.done) != (source, piece.skip):
                    found = self._batches(piece.file, piece.groups, places, piece.count)
                    supply = _Supply(source, found)
                    supply.take(piece.skip, keep=False)
                rows = supply.take(piece.count)
                if sum(batch.num_rows for batch in rows) < piece.count:
                    path = self.files[piece.file].path
                    raise ValueError(f"{path} has fewer rows than it promises; write it again")
                taken += rows
            yield self.plain(self.as_it_stands(taken), places)

    def _batches(
        self, number: int, groups: Sequence[int], places: Sequence[int] | None, rows: int
    ) -> Iterator[Any]:
        """Batches of some row groups of a file, with the columns in the order of the first file's."""
        file = self.files[number]
        names = list(self.raw) if places is None else [self.raw[j] for j in places]
        with intact(file.path):
            if file.has_changed:
                raise _changed(file.path)
            options = {"metadata": file.metadata, "buffer_size": BUFFER, "pre_buffer": False}
            try:
                with pyarrow_parquet().ParquetFile(file.path, **options) as opened:
                    chosen = None if places is None else names
                    for batch in opened.iter_batches(rows, list(groups), chosen):
                        yield batch if batch.schema.names == names else batch.select(names)
            except Exception as error:
                if file.has_changed:  # whatever is wrong with it then
                    raise _changed(file.path) from error
                raise
            if file.has_changed:
                raise _changed(file.path)

    def as_it_stands(self, batches: Sequence[Any]) -> pl.DataFrame:
        """PyArrow's batches as a frame, whose columns are called by their places."""
        import pyarrow

        pl = polars()
        frames = []
        for batch in batches:  # one by one, since each may have other dictionaries
            names = [str(j) for j in range(batch.num_columns)]
            frame = pl.from_arrow(pyarrow.Table.from_batches([batch]).rename_columns(names))
            coded = [
                pl.col(n) for n, kind in frame.schema.items() if kind in (pl.Categorical, pl.Enum)
            ]
            frames.append(frame.with_columns(c.cast(pl.String) for c in coded) if coded else frame)
        return frames[0] if len(frames) == 1 else pl.concat(frames, how="vertical_relaxed")

    def plain(self, frame: pl.DataFrame, places: Sequence[int]) -> pl.DataFrame:
        """Its columns, those at ``places``, as ones of float64, text, booleans or days."""
        columns = zip(places, frame.iter_columns(), strict=True)
        return polars().DataFrame(
            [_plain(column, self.names[j], self.path, self.kinds[j]) for j, column in columns]
        )


class _Supply:
    """Batches of row groups, ``source``, from which rows are taken; ``done`` of them so far."""

    def __init__(self, source: tuple[int, tuple[int, ...]], batches: Iterator[Any]):
        self.source, self.done = source, 0
        self._batches = batches

    def take(self, count: int, keep: bool = True) -> list[Any]:
        """The next ``count`` rows as batches, fewer where there are no more; () unless ``keep``."""
        taken = []
        while count:
            batch = next(self._batches, None)
            if batch is None:
                break
            part = batch.slice(0, count)
            if part.num_rows < batch.num_rows:
                rest = batch.slice(part.num_rows)
                self._batches = itertools.chain([rest], self._batches)
            count -= part.num_rows
            self.done += part.num_rows
            if keep:
                taken.append(part)
        return taken


def pyarrow_parquet() -> ModuleType:
    """The reader of Parquet files; ValueError naming the extra where it is missing."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ValueError(
            "reading .parquet needs pyarrow; install it with pip install 'gibbsian[parquet]'"
        ) from error
    return pyarrow.parquet


@contextmanager
def intact(path: Path) -> Iterator[None]:
    """Within the block, ValueError in place of what PyArrow or the system say of a damaged file."""
    pyarrow_parquet()
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError) as error:
        said = one_line(str(error).strip())
        raise ValueError(f"{path} is not an intact Parquet file ({said})") from error


def _changed(path: Path) -> ValueError:
    return ValueError(f"{path} changed while it was read; leave it as it is until that is over")


def parquet_table(path: Path) -> ParquetTable:
    """The table at ``path``, a file or a folder, by what the ends of its files say.

    ValueError where there are no rows, too many columns, others than in the first file, or nested ones.
    """
    polars()
    paths = [path]
    if path.is_dir():
        paths = sorted(
            entry
            for entry in path.iterdir()
            if entry.name.lower().endswith(".parquet") and not entry.name.startswith((".", "_"))
        )
    files = tuple(map(_opened, paths))
    raw = tuple(files[0].schema.names)
    names = names_of([one_line(name) for name in raw], files[0].path)
    kinds: dict[str, tuple[str, Any, Path]] = {}
    for file in files:
        _check_columns(file, raw, files[0].path)
        for name in raw:
            _check_kind(file, name, kinds)
    return ParquetTable(path, files, raw, names, tuple(kinds[name][0] for name in raw))


def _opened(path: Path) -> ParquetFile:
    with intact(path):
        found = path.stat()
        if found.st_size == 0:
            raise ValueError(f"{path} is an empty file; it needs rows of numbers")
        with pyarrow_parquet().ParquetFile(path) as file:
            metadata, schema = file.metadata, file.schema_arrow
            limits.check("COLUMNS", metadata.num_columns, f"{path} has")
            if not schema.names or metadata.num_rows == 0:
                raise ValueError(f"{path} is empty; it needs rows of numbers")
            return ParquetFile(path, found.st_size, found.st_mtime_ns, metadata, schema)


def _check_columns(file: ParquetFile, raw: tuple[str, ...], first: Path) -> None:
    names = file.schema.names
    if len(set(names)) < len(names):
        names_of([one_line(name) for name in names], file.path)
    if lacking := [name for name in raw if name not in names]:
        raise ValueError(
            f"{file.path} lacks the column {one_line(lacking[0])!r}, which {first.name} has; give all "
            "files of a folder the same columns"
        )
    if more := [name for name in names if name not in raw]:
        raise ValueError(
            f"{file.path} has the column {one_line(more[0])!r}, which {first.name} lacks; give all "
            "files of a folder the same columns"
        )


def _check_kind(file: ParquetFile, name: str, kinds: dict[str, tuple[str, Any, Path]]) -> None:
    """ValueError for a nested column, or one of another kind than in the files before, of ``kinds``."""
    import pyarrow

    found = file.schema.field(name).type
    if pyarrow.types.is_nested(found):
        raise ValueError(
            f"{file.path} holds nested values ({found}) in column {one_line(name)!r}; write the file "
            "without it, or its parts as columns of their own"
        )
    kind = _kind(found)
    was, type_there, there = kinds.setdefault(name, (kind, found, file.path))
    if "" in (was, kind):  # a column without any value is of no kind
        kinds[name] = (was or kind, found if kind else type_there, file.path if kind else there)
    elif was != kind:
        raise ValueError(
            f"{file.path} holds {found} values in column {one_line(name)!r}, where {there.name} holds "
            f"{type_there}; give all files of a folder the same columns"
        )


def _kind(found: Any) -> str:
    """What counts as one type: all numbers, all texts; "" where there are no values."""
    from pyarrow import types

    if types.is_dictionary(found):
        return _kind(found.value_type)
    if types.is_null(found):
        return ""
    if types.is_integer(found) or types.is_floating(found) or types.is_decimal(found):
        return "number"
    is_text = (types.is_string, types.is_large_string, types.is_string_view)
    return "text" if any(is_one(found) for is_one in is_text) else str(found)


def _plain(cells: pl.Series, name: str, path: Path, of: str) -> pl.Series:
    """A column as one of float64, text, booleans or days; ValueError for others.

    Without any value it is what ``of`` says that it is in other files.
    """
    pl = polars()
    kind = cells.dtype
    if kind == pl.Null and of in ("text", "bool"):
        return cells.cast(pl.String if of == "text" else pl.Boolean)
    if kind.is_numeric() or kind == pl.Null:
        return cells.cast(pl.Float64)
    if kind in (pl.Categorical, pl.Enum):
        return cells.cast(pl.String)
    if kind in (pl.String, pl.Boolean) or kind.is_temporal():
        return cells
    raise ValueError(f"{path} holds {kind} values in column {name!r}; write the file without it")
