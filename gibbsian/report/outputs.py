"""Points and tables into the file formats people ask for."""

from __future__ import annotations

import csv
import errno
import io
import math
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from gibbsian.core.dialect import Dialect
from gibbsian.core.files import replacing, write_atomic
from gibbsian.core.text import cell
from gibbsian.report.figures import as_pictures, name_axes, sample_grid_image

PLAIN = Dialect()
Values = Sequence[Sequence[str]]
"""Of each column of a table the texts of its categories, () where it holds numbers."""


def write_points(
    path: Path,
    x: Tensor,
    columns: int | None = None,
    header: Sequence[str] = (),
    values: Values = (),
    dialect: Dialect = PLAIN,
) -> None:
    """Write ``x [n, *event]`` as .npy, .npz (array ``x``), .csv (flattened rows) or .png.

    A .png has ``columns`` images in a row, by default 8 or as many as make a square, or is a scatter of the
    first two columns, whose names are in ``header``, if any. A .csv begins with these names and has the
    texts of categories in ``values``.
    """
    if path.suffix in IN_PARTS:
        write_points_in_parts(path, len(x), [x], header, values, dialect)
        return
    buffer = io.BytesIO()
    if path.suffix == ".npz":
        np.savez_compressed(buffer, x=x.numpy())
    else:
        square = max(8, math.ceil(len(x) ** 0.5))
        _picture(buffer, x.numpy(), square if columns is None else columns, header)
    write_atomic(path, buffer.getvalue())


IN_PARTS = (".csv", ".npy")
SHORTEST = 2
"""Bytes that a number takes in a file at least."""


def write_points_in_parts(
    path: Path,
    n: int,
    parts: Iterable[Tensor],
    header: Sequence[str] = (),
    values: Values = (),
    dialect: Dialect = PLAIN,
) -> None:
    """Write ``parts`` of ``x [n, *event]`` one after another, as .npy or .csv with texts for categories.

    OSError at the first part where the file system has no place for all.
    """
    with replacing(path) as file:
        if path.suffix == ".csv":
            file.write(dialect.mark)
        if path.suffix == ".csv" and header:
            line = io.StringIO()
            csv.writer(line, lineterminator="\n", delimiter=dialect.separator).writerow(
                map(cell, header)
            )
            file.write(line.getvalue().encode())
        for number, part in enumerate(parts):
            array = np.ascontiguousarray(part.numpy())
            if not number:
                _check_space(path, n * array[0].size)
            if path.suffix == ".csv" and (any(values) or dialect.decimal != "."):
                flat = array.reshape(len(array), -1)
                known = values if any(values) else ((),) * flat.shape[1]
                file.write(_rows_with_texts(flat, known, dialect).encode())
                continue
            if path.suffix == ".csv":
                np.savetxt(
                    file, array.reshape(len(array), -1), delimiter=dialect.separator, fmt="%.9g"
                )
                continue
            if not number:
                kind = np.lib.format.dtype_to_descr(array.dtype)
                entries = {"descr": kind, "fortran_order": False, "shape": (n, *array.shape[1:])}
                np.lib.format.write_array_header_1_0(file, entries)
            file.write(array.data)


def _rows_with_texts(array: np.ndarray, values: Values, dialect: Dialect) -> str:
    """Rows ``[n, d]`` as text, where a column has ``values`` the one whose place stands in it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", delimiter=dialect.separator)
    for row in array.tolist():
        writer.writerow(
            cell(known[int(entry)]) if known else dialect.number(f"{entry:.9g}")
            for entry, known in zip(row, values, strict=True)
        )
    return text.getvalue()


def _check_space(path: Path, numbers: int) -> None:
    if numbers * SHORTEST > shutil.disk_usage(path.parent).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _picture(buffer: io.BytesIO, array: np.ndarray, columns: int, header: Sequence[str]) -> None:
    from gibbsian.report.canvas import Figure, FigureCanvasAgg

    array = as_pictures(array)
    if array.ndim == 4:
        from PIL import Image

        sheet = np.round(255 * sample_grid_image(array, columns)).astype(np.uint8)
        height, width = sheet.shape[:2]
        factor = max(1, 512 // max(height, width))
        image = Image.fromarray(sheet).resize(
            (width * factor, height * factor), Image.Resampling.NEAREST
        )
        image.save(buffer, "png")
        return
    figure = Figure((4.5, 4.5), layout="constrained", dpi=120)
    axes = figure.subplots()
    if array.shape[1] == 1:
        axes.hist(array[:, 0], 80)
    else:
        size = 2 if len(array) > 2000 else 12
        axes.scatter(array[:, 0], array[:, 1], s=size, alpha=0.5, linewidths=0)
        name_axes(axes, header)
    FigureCanvasAgg(figure).print_png(buffer)


def write_tables(
    path: Path | None,
    tables: Iterable[Mapping[str, Tensor]],
    files: Sequence[str] = (),
    dialect: Dialect = PLAIN,
) -> None:
    """Write tables with the same columns one below another as CSV to ``path``, or to standard output.

    Rows are numbered through from 1, as a table's are below its header and as messages count them.
    ``files``: where given, the name of each row's file, a column of its own.
    """
    if path is None:
        for text in _lines(tables, files, dialect):
            sys.stdout.write(text)
        return
    with replacing(path) as file:
        file.write(dialect.mark)
        for text in _lines(tables, files, dialect):
            file.write(text.encode())


def _lines(
    tables: Iterable[Mapping[str, Tensor]], files: Sequence[str], dialect: Dialect
) -> Iterator[str]:
    """The text of each table, the first one's with the header."""
    done = 0
    for columns in tables:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n", delimiter=dialect.separator)
        if not done:
            writer.writerow(["row", *(["file"] if files else []), *columns])
        values = [column.tolist() for column in columns.values()]
        for row in zip(*values, strict=True):
            done += 1
            name = [files[done - 1]] if files else []
            writer.writerow([done, *name, *(dialect.number(f"{value:.7g}") for value in row)])
        yield text.getvalue()
