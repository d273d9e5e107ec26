"""What a saved model says of its data, checked before anything is built from it."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from gibbsian.core.files import CorruptFileError
from gibbsian.core.text import one_line, printable
from gibbsian.core.types import DataSpace
from gibbsian.data.table_schema import Column, Kind, TableSchema
from gibbsian.data.transforms import Transform

LARGEST = 2**31
"""Of a side of an observation and of the number of its levels: beyond, nothing could be computed."""


def space_of(entries: Any, path: Path) -> DataSpace:
    """The space in the entries of a model's ``config.json``; CorruptFileError naming what is none."""
    entries = _with(entries, categories=[])
    _fields(entries, DataSpace, "space", path)
    kind, box = entries["kind"], entries["box"]
    shape = _whole(entries["shape"], _is_size, "space.shape", path)
    if not 1 <= len(shape) <= 3:
        raise _damaged(path, "space.shape", entries["shape"])
    if kind not in ("vector", "image", "binary", "mixed"):
        raise _damaged(path, "space.kind", kind)
    categories = entries["categories"]
    if not isinstance(categories, list) or bool(categories) != (kind == "mixed"):
        raise _damaged(path, "space.categories", categories)
    if categories:
        counts = _whole(categories, _is_size, "space.categories", path)
        if len(shape) != 1 or sum(counts) > shape[0] or box is not None:
            raise _damaged(path, "space.categories", categories)
        return DataSpace(shape, kind, None, counts)
    if box is None:
        return DataSpace(shape, kind)
    ends = _floats(box, _is_finite, "space.box", path)
    if len(ends) != 2 or not ends[0] < ends[1]:
        raise _damaged(path, "space.box", box)
    return DataSpace(shape, kind, (ends[0], ends[1]))


def transform_of(entries: Any, space: DataSpace, path: Path) -> Transform:
    """The scaling in the entries of a model's ``config.json``; CorruptFileError naming what is none."""
    entries = _with(entries, categories=[])
    _fields(entries, Transform, "transform", path)
    if entries["mode"] not in ("standardise", "none", "pixels", "binary"):
        raise _damaged(path, "transform.mode", entries["mode"])
    shape = _whole(entries["shape"], _is_size, "transform.shape", path)
    numbers = math.prod(space.shape) - sum(space.categories)
    if shape != ((numbers + len(space.categories),) if space.categories else space.shape):
        raise _damaged(path, "transform.shape", entries["shape"])
    categories = entries["categories"]
    counts = _whole(categories, _is_count, "transform.categories", path) if categories else ()
    if tuple(count for count in counts if count) != space.categories or (
        counts and len(counts) != shape[0]
    ):
        raise _damaged(path, "transform.categories", categories)
    origin = _floats(entries["origin"], _is_finite, "transform.origin", path)
    unit = _floats(entries["unit"], _is_positive, "transform.unit", path)
    levels = _whole(entries["levels"], _is_count, "transform.levels", path)
    shift = _floats(entries["shift"], _is_finite, "transform.shift", path)
    scale = _floats(entries["scale"], _is_positive, "transform.scale", path)
    rows = {"origin": origin, "unit": unit, "levels": levels, "shift": shift, "scale": scale}
    for name, row in rows.items():
        if len(row) != len(unit) or len(row) not in (1, shape[0] if len(shape) == 1 else 1):
            raise _damaged(path, f"transform.{name}", entries[name])
    columns = entries["columns"]
    if not isinstance(columns, list) or len(columns) not in (0, math.prod(shape)):
        raise _damaged(path, "transform.columns", columns)
    if not all(isinstance(name, str) and one_line(name) == name for name in columns):
        raise _damaged(path, "transform.columns", columns)
    names = tuple(columns)
    return Transform(entries["mode"], shape, origin, unit, levels, shift, scale, names, counts)


def table_of(entries: Any, space: DataSpace, path: Path) -> TableSchema | None:
    """The table in the entries of a model's ``config.json``, None where it was trained on no table.

    CorruptFileError naming what is none.
    """
    if entries is None:
        return None
    _fields(entries, TableSchema, "table", path)
    if entries["decimal"] not in (".", ",") or not isinstance(entries["named"], bool):
        raise _damaged(path, "table.decimal", entries["decimal"])
    if entries["missing"] not in ("refuse", "drop", "impute"):
        raise _damaged(path, "table.missing", entries["missing"])
    if not isinstance(entries["columns"], list):
        raise _damaged(path, "table.columns", entries["columns"])
    columns = tuple(_column(column, path) for column in entries["columns"])
    table = TableSchema(columns, entries["named"], entries["decimal"], entries["missing"])
    counts = tuple(count for count in table.categories if count)
    width = len(table.kept) - len(counts) + sum(counts)
    if counts != space.categories or (width,) != space.shape:
        raise _damaged(path, "table.columns", [column.name for column in table.kept])
    return table


def _column(entries: Any, path: Path) -> Column:
    entries = _with(entries, values=[])
    _fields(entries, Column, "table.columns", path)
    name, marks, fill = entries["name"], entries["marks"], entries["fill"]
    values = entries["values"]
    sound = (
        (isinstance(name, str) and one_line(name) == name)
        and entries["kind"] in get_args(Kind)
        and (isinstance(marks, list) and all(isinstance(mark, str) for mark in marks))
        and isinstance(entries["kept"], bool)
        and (fill is None or _is_finite(fill))
        and isinstance(values, list)
        and all(isinstance(value, str) and one_line(value) == value for value in values)
        and len(set(values)) == len(values)
    )
    if not sound:
        raise _damaged(path, "table.columns", entries)
    return Column(name, entries["kind"], tuple(marks), entries["kept"], fill, tuple(values))


def check_reference(
    held_out: Tensor | None, moments: Tensor | None, space: DataSpace, path: Path
) -> None:
    """CorruptFileError unless the reference energies are sorted numbers, the moments finite ones."""
    if held_out is not None:
        sound = held_out.ndim == 1 and held_out.is_floating_point()
        if not sound or not bool((held_out.diff() >= 0).all()) or bool(held_out.isnan().any()):
            raise CorruptFileError(
                f"{path} is damaged: its held_out is no sorted list of energies; restore it from a copy"
            )
    if moments is not None:
        sound = moments.shape == (2, *space.shape) and moments.is_floating_point()
        if not sound or not bool(torch.isfinite(moments).all()):
            raise CorruptFileError(
                f"{path} is damaged: its moments are no means and deviations of observations of shape "
                f"{list(space.shape)}; restore it from a copy"
            )


def _with(entries: Any, **later: Any) -> Any:
    """``entries`` with those that models of an earlier version have not."""
    return later | entries if isinstance(entries, dict) else entries


def _fields(entries: Any, kind: type, where: str, path: Path) -> None:
    names = {field.name for field in dataclasses.fields(kind)}
    if not isinstance(entries, dict) or entries.keys() != names:
        raise CorruptFileError(
            f"{path} is damaged: its {where} must have the entries {', '.join(sorted(names))}; restore "
            "it from a copy"
        )


def _whole(value: Any, kind: Callable[[Any], bool], where: str, path: Path) -> tuple[int, ...]:
    if not isinstance(value, list) or not value or not all(map(kind, value)):
        raise _damaged(path, where, value)
    return tuple(value)


def _floats(value: Any, kind: Callable[[Any], bool], where: str, path: Path) -> tuple[float, ...]:
    if not isinstance(value, list) or not value or not all(map(kind, value)):
        raise _damaged(path, where, value)
    return tuple(map(float, value))


def _is_finite(value: Any) -> bool:
    real = isinstance(value, (int, float)) and not isinstance(value, bool)
    return real and abs(value) <= sys.float_info.max


def _is_positive(value: Any) -> bool:
    return _is_finite(value) and value > 0


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= LARGEST


def _is_size(value: Any) -> bool:
    return _is_count(value) and value > 0


def _damaged(path: Path, where: str, value: Any) -> CorruptFileError:
    text = repr(value)
    text = text if len(text) <= 60 else f"{text[:60]}..."
    return CorruptFileError(
        f"{path} is damaged: its {where} cannot be {printable(text)}; restore it from a copy"
    )
