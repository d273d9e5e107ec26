"""Rows of the user's files to be scored: they must be like those the model was trained on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from gibbsian.core.names import first_few
from gibbsian.core.text import cell
from gibbsian.data.addresses import fetched
from gibbsian.data.cells import is_missing
from gibbsian.data.classes import Target
from gibbsian.data.readers import is_table, read_parts
from gibbsian.data.rows import Rows, arranged, counted
from gibbsian.data.table_rows import Labels
from gibbsian.data.table_schema import Selection, TableSchema, filled
from gibbsian.data.tables import ROWS
from gibbsian.data.transforms import Transform


def read_points(
    path: str | Path,
    like: Transform,
    *,
    image_size: int | None = None,
    class_column: str | None = None,
    table: TableSchema | None = None,
) -> Tensor:
    """Rows to be scored, ``[N, *event]`` in the user's units, from any file ``load`` reads.

    ``image_size`` and ``class_column`` as the data were loaded with; a column of classes may be there or not.
    ``table``: columns of the training data's table: cells are read as its were, and gaps filled as there.
    Checked against the data the model was trained on, which its transform ``like`` describes: number
    and names of columns, shape and values of images. Raises ValueError naming both.
    """
    return torch.cat(
        list(
            read_points_in_parts(
                path, like, image_size=image_size, class_column=class_column, table=table
            )
        )
    )


def read_points_in_parts(
    path: str | Path,
    like: Transform,
    *,
    image_size: int | None = None,
    class_column: str | None = None,
    table: TableSchema | None = None,
    rows: int = ROWS,
    say: Callable[[str], None] | None = None,
    skip_unreadable: bool = False,
    greyscale: bool = False,
    files: list[str] | None = None,
) -> Iterator[Tensor]:
    """The same as at most ``rows`` rows at a time, of kinds of files that can be read so.

    ``say``: what is told that columns which ``table`` does not know are left out; without it they are
    refused. ``skip_unreadable``: image files that cannot be read are left out, and ``say`` is told.
    ``greyscale``: as the data were loaded with.
    ``files``: is given the names of image files, in the order of the rows.
    """
    others = math.prod(like.shape) if table is None else len(table.columns)
    classes = None if class_column is None else Target(class_column, others)
    imputes = table is not None and table.missing == "impute"
    more = say is not None and table is not None
    selection = Selection(missing="impute" if imputes else "refuse", schema=table, more=more)
    with fetched(path) as file:
        done = 0
        parts = read_parts(
            file,
            image_size,
            classes,
            rows,
            selection,
            skip_unreadable=skip_unreadable,
            greyscale=greyscale,
        )
        for part in parts:
            if say is not None and part.ignored and not done:
                names = first_few(part.ignored)
                say(f"{path}: left out, columns that the model does not know: {names}")
            if say is not None and part.unreadable:
                names = first_few(part.unreadable)
                say(f"{path}: left out, unreadable, so that rows number the other images: {names}")
            if table is not None and imputes and part.x.shape[1:] == (len(table.kept),):
                part = replace(part, x=filled(part.x, table), table=None)
            if files is not None:
                files.extend(part.files)
            found = arranged(part, str(path), done)
            done += len(found.x)
            yield from checked(found, like, str(path)).split(rows)


def read_labelled_points(
    path: str | Path, like: Transform, class_column: str, table: TableSchema | None = None
) -> tuple[Tensor, list[str]]:
    """Rows ``[N, d]`` of a table as ``read_points``, and the cells of its column ``class_column``.

    Raises ValueError where there is no such column, or a label is missing.
    """
    with fetched(path) as file:
        labels = Labels()
        imputes = table is not None and table.missing == "impute"
        selection = Selection(missing="impute" if imputes else "refuse", schema=table)
        if not is_table(file):
            raise ValueError(
                f"{path} is no table with a column of labels; use a .csv or .parquet file"
            )
        parts: list[Tensor] = []
        for part in read_parts(file, None, Target(class_column), ROWS, selection, labels):
            if table is not None and imputes and part.x.shape[1:] == (len(table.kept),):
                part = replace(part, x=filled(part.x, table), table=None)
            done = sum(len(x) for x in parts)
            parts.append(checked(arranged(part, str(path), done), like, str(path)))
        for i, label in enumerate(labels.cells, 1):
            if is_missing(label):
                raise ValueError(
                    f"{path} has no label at row {i}, {class_column}; fill or drop such rows"
                )
        return torch.cat(parts), labels.cells


def checked(rows: Rows, like: Transform, name: str) -> Tensor:
    """Arranged ``rows``, called ``name``, as ``[N, *event]`` in the user's units.

    ValueError unless they are like the training data, which ``like`` describes.
    """
    x = torch.tensor(rows.x)
    if like.mode == "binary":
        x = x.flatten(1)
    if x.ndim == 2 and len(like.shape) == 1 and x.shape[1:] != like.shape:
        raise ValueError(
            f"this model was trained on {counted(like.shape[0], 'column')}; {name} has {x.shape[1]}: "
            "give it the same columns in the same order"
        )
    if x.shape[1:] != like.shape:
        raise ValueError(
            f"this model was trained on observations of shape {list(like.shape)}; those in {name} "
            f"have shape {list(x.shape[1:])}"
        )
    for j, (old, new) in enumerate(zip(like.columns, rows.columns, strict=False)):
        if new not in (old, cell(old)):  # as it was, or as `gibbsian sample` writes it
            raise ValueError(
                f"column {j + 1} of {name} is called {new!r}; this model was trained on {old!r} "
                "there: give it the same columns in the same order"
            )
    like.check_values(x, name)
    return x.to(like.dtype)
