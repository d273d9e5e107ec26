"""Data sets: from a name, a file or an array to train, validation and test with their transform."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gibbsian.core import DataSpace, limits
from gibbsian.data import named, patches as photographs, readers
from gibbsian.data.addresses import fetched, is_address
from gibbsian.data.classes import Target
from gibbsian.data.densities import Density, is_density, toy_density
from gibbsian.data.frames import called, rows_of
from gibbsian.data.large_arrays import ArrayFile, TrainingBlocks, large_array
from gibbsian.data.large_tables import FirstPass, TableBlocks, chosen_rows, large_table
from gibbsian.data.parquet_table import ParquetTable
from gibbsian.data.rows import (
    FEWEST,
    Kind,
    Rows,
    arranged,
    counted,
    kind_of,
    kind_of_values,
    numbering_notes,
)
from gibbsian.data.splits import SPLIT, labels_of, orders
from gibbsian.data.streams import derived
from gibbsian.data.survey import distinct_numbers, survey
from gibbsian.data.table_notes import notes_of
from gibbsian.data.table_schema import Missing, Selection, TableSchema, filled, listed, with_medians
from gibbsian.data.transforms import Scaling, Transform, binary, columnwise, pixels, unscaled

DRAWS = (50_000, 10_000, 10_000)
HELD_OUT, SAMPLE = 10_000, 100_000
"""Of a file read in blocks: the most rows of validation and of test, and training rows that are held."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Three splits in the user's units and how the networks will see them.

    ``train``, ``valid``, ``test``: ``[N, *event]`` in ``transform.dtype``. ``space``: the event in
    model units. ``density``: the exact distribution, where known. ``targets``: split name -> labels ``[N]``.
    ``notes``: sentences on what was detected. ``columns``: names, where there are any. ``table``: what
    there is to know of the file's columns, where it is a table. ``blocks``: all training rows where they are
    too many to be held; ``train`` is then a sample of them. ``unreadable``: names of image files that were
    left out, and why. ``test_numbers``: of the test rows in their file, below its header from 1, where known.
    ``test_gaps``: bool like ``test``, of its cells that were missing and are filled; None where none can be.
    """

    name: str
    train: Tensor
    valid: Tensor
    test: Tensor
    transform: Transform
    space: DataSpace
    density: Density | None = None
    targets: dict[str, Tensor] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    columns: tuple[str, ...] | None = None
    table: TableSchema | None = None
    blocks: TrainingBlocks | None = None
    unreadable: Mapping[str, str] = field(default_factory=dict)
    test_numbers: tuple[int, ...] | None = None
    test_gaps: Tensor | None = None


def fingerprint(dataset: Dataset) -> str:
    """SHA-256 of the rows of the three splits, in their order and in single precision."""
    digest = hashlib.sha256()
    for part in (dataset.train, dataset.valid, dataset.test):
        digest.update(str(tuple(part.shape)).encode())
        digest.update(part.cpu().to(torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()


def load_dataset(
    source: str | Path,
    *,
    data_root: Path | None = None,
    seed: int = 0,
    column_scaling: Scaling = "standardise",
    max_rows: int | None = None,
    image_size: int | None = None,
    dequantise: bool = True,
    patch_size: int = 0,
    greyscale: bool = False,
    class_column: str | None = None,
    columns: str | Sequence[str] = (),
    drop_columns: str | Sequence[str] = (),
    missing_values: Missing = "refuse",
    category_columns: str | Sequence[str] = (),
    skip_unreadable: bool = False,
) -> Dataset:
    """The data set called ``source``, or the one in the file or folder at that path or address.

    ``data_root``: where named sets lie (then $GIBBSIAN_DATA, then the user's cache). ``seed``: of the
    split, or of the draws from a density. ``column_scaling``: of vectors; densities are in the networks'
    units already, images always go to [-1, 1]. ``max_rows``: at most this many rows altogether.
    ``image_size``: bring images to that many pixels a side. ``dequantise``: add noise to grid-valued columns.
    ``patch_size``: cut squares of that side out of photographs of any sizes (``max_rows`` of them for
    training, 4000 if none is given); ``photos`` is a folder of a root. ``greyscale``: of images in files, the
    brightness alone.
    ``class_column``: name, or number from 1, of the column of a table that holds classes: it leaves
    ``x`` for ``targets``. ``columns``, ``drop_columns``: the columns of a table that alone are modelled, or
    that are not, as ``"age,city"`` or a list. ``missing_values``: refuse them, drop their rows, or
    impute the median of the training rows. ``category_columns``: those that are categories although their
    cells are numbers. ``skip_unreadable``: leave image files out that cannot be read, instead of refusing.
    Raises ValueError, one sentence with the remedy, on anything unusable.
    """
    if column_scaling not in ("standardise", "none"):
        raise ValueError(f"scaling must be standardise or none, not {column_scaling!r}")
    if max_rows is not None and max_rows < FEWEST:
        raise ValueError(f"the limit on rows must be at least {FEWEST}, not {max_rows}")
    name = str(source)
    _check_name(name)
    with fetched(source) as file:
        built_in = isinstance(source, str) and (is_density(source) or named.is_named(source))
        selection = Selection(
            listed(columns), listed(drop_columns), missing_values, category=listed(category_columns)
        )
        patches = bool(patch_size) or (greyscale and name == photographs.PHOTOS)
        if built_in or patches:
            target = None if class_column is None else Target(class_column)
            readers.check_no_choice(target, selection, name)
        if image_size is not None and (built_in or patches or not readers.holds_images(file)):
            raise ValueError(
                f"{name} takes no --image-size: that is for the images of a folder or zip, taken whole; "
                "sets with a name have it there, as in mnist-14"
            )
        for option, given in (("skip-unreadable", skip_unreadable), ("greyscale", greyscale)):
            if given and (built_in or not (patches or readers.holds_images(file))):
                raise ValueError(
                    f"{name} takes no --{option}: that is for the images of a folder or zip"
                )
        if patches:
            folder = photographs.folder_of(file if is_address(name) else source, data_root)
            return _patches(name, folder, patch_size, greyscale, seed, max_rows, skip_unreadable)
        if isinstance(source, str) and is_density(source):
            return _drawn(name, toy_density(name), seed, max_rows)
        if isinstance(source, str) and named.is_named(source):
            rows = named.read(source, data_root)
        elif file.expanduser().exists() or readers.looks_like_path(name):
            target = None if class_column is None else Target(class_column)
            large = large_array(file)
            if large is not None:
                readers.check_no_choice(target, selection, name)
                return _of_large(name, large, seed, column_scaling, max_rows, dequantise)
            table = large_table(file)
            if table is not None and max_rows is not None and max_rows < table.rows:
                chosen = _chosen(table.rows, max_rows, seed)
                rows = chosen_rows(table, chosen, target, selection)
                return _split(name, rows, seed, column_scaling, None, dequantise)
            if table is not None and _in_blocks(table, target, selection):
                return _of_large_table(name, table, selection, seed, column_scaling, dequantise)
            rows = readers.read(file, image_size, target, selection, skip_unreadable, greyscale)
        else:
            raise ValueError(named.unknown(name))
        return _split(name, rows, seed, column_scaling, max_rows, dequantise)


def from_array(
    x: Any,
    *,
    name: str = named.ARRAY,
    seed: int = 0,
    scaling: Scaling = "standardise",
    targets: Tensor | np.ndarray | None = None,
    columns: Sequence[str] = (),
    dequantise: bool = True,
) -> Dataset:
    """A data set from ``x``: ``[N]``, ``[N, d]``, or images ``[N, H, W]``, ``[N, C, H, W]``.

    A tensor, a NumPy array or a data frame, whose ``columns`` are its own and whose texts are categories.
    """
    said = called(x) if name == named.ARRAY else name
    rows = rows_of(x, said)
    labels = None if targets is None else np.asarray(targets)
    rows = replace(rows, columns=tuple(columns) or rows.columns, targets=labels)
    return replace(_split(said, rows, seed, scaling, None, dequantise), name=name)


def _check_name(name: str) -> None:
    """ValueError for what names no data: nothing, a link that leads nowhere."""
    if not name.strip():
        raise ValueError("the data have an empty name; give a file, a folder or a built-in set")
    if is_address(name):
        return
    path = Path(name).expanduser()
    if path.is_symlink() and not path.exists():
        raise ValueError(f"{name} is a link that leads to no file; give the file itself")


def _patches(
    name: str,
    path: Path,
    side: int,
    greyscale: bool,
    seed: int,
    limit: int | None,
    skip_unreadable: bool,
) -> Dataset:
    """Patches of photographs; whole images are held out."""
    if side < 4:
        raise ValueError(
            f"patches of photographs need a side of at least 4 pixels, not {side}; try --patch-size 48"
        )
    if not path.exists():
        raise ValueError(f"{path} does not exist; patches are cut from a folder or zip of images")
    if not readers.holds_images(path):
        raise ValueError(
            f"{path} holds no images; patches are cut from a folder or zip of images: leave out "
            "--patch-size and --greyscale"
        )
    count = photographs.PATCHES if limit is None else limit
    rows = photographs.read_patches(path, side, count, seed, greyscale, skip_unreadable)
    return _split(name, rows, seed, "none", None, True)


def _drawn(name: str, law: Density, seed: int, limit: int | None) -> Dataset:
    """Independent draws from a distribution, by seed; already in the networks' units."""
    total = sum(DRAWS)
    share = 1.0 if limit is None else min(1.0, limit / total)
    sizes = [max(1, int(share * count)) for count in DRAWS]
    x = law.sample(sum(sizes), derived("cpu", seed, SPLIT))
    train, valid, test = x.split(sizes)
    note = f"{sizes[0]} / {sizes[1]} / {sizes[2]} draws for training / validation / test"
    space = DataSpace(law.shape, "vector")
    return Dataset(name, train, valid, test, unscaled(law.shape), space, law, {}, (note,))


def _split(
    name: str,
    rows: Rows,
    seed: int,
    scaling: Scaling,
    limit: int | None,
    dequantise: bool,
) -> Dataset:
    rows = arranged(rows, name)
    _check_count(len(rows.x), name)
    parts = orders(rows, seed, limit)
    gaps: Tensor | None = None
    if rows.table is not None and rows.table.missing == "impute":
        gaps = torch.from_numpy(np.isnan(rows.x[parts["test"]]))
        table, said = with_medians(rows.table, rows.x, parts["train"])
        rows = replace(rows, x=filled(rows.x, table), table=table, notes=(*rows.notes, said))
    kind, levels = kind_of(rows, name)
    x = {part: torch.from_numpy(rows.x[order]) for part, order in parts.items()}
    if kind == "binary":
        x = {part: value.flatten(1) for part, value in x.items()}
    shape = tuple(x["train"].shape[1:])
    if kind == "binary":
        transform, box = binary(shape, rows.columns), (0.0, 1.0)
    elif kind == "image":
        transform, box = pixels(shape, levels, dequantise), (-1.0, 1.0)
    else:
        held_out = (x["valid"], x["test"])
        categories = () if rows.table is None else rows.table.categories
        transform = columnwise(x["train"], rows.columns, scaling, dequantise, held_out, categories)
        box = None
    targets = {}
    if rows.targets is not None:
        labels = torch.from_numpy(labels_of(rows.targets))
        targets = {part: labels[torch.from_numpy(order)] for part, order in parts.items()}
    sizes = " / ".join(str(len(order)) for order in parts.values())
    notes = (
        *rows.notes,
        *numbering_notes(rows),
        *transform.notes,
        f"{sizes} rows for training / validation / test, split by seed {seed}",
    )
    return Dataset(
        name,
        x["train"].to(transform.dtype),
        x["valid"].to(transform.dtype),
        x["test"].to(transform.dtype),
        transform=transform,
        space=space_seen(transform, kind, box),
        targets=targets,
        notes=notes,
        columns=rows.columns or None,
        table=rows.table,
        unreadable=rows.unreadable,
        test_numbers=_numbers(rows, parts["test"]),
        test_gaps=gaps,
    )


def _numbers(rows: Rows, order: np.ndarray) -> tuple[int, ...] | None:
    """Places in the file of the rows of ``order``, from 1; None where rows with gaps were left out."""
    if rows.table is not None and rows.table.missing == "drop":
        return None
    return tuple(int(place) + 1 for place in order)


def _check_count(n: int, name: str) -> None:
    if n < FEWEST:
        raise ValueError(
            f"{name} has {counted(n, 'row')}; training, validation and test need at least {FEWEST} "
            "together"
        )


def _of_large(
    name: str,
    file: ArrayFile,
    seed: int,
    scaling: Scaling,
    limit: int | None,
    dequantise: bool,
) -> Dataset:
    """The array of a file that is not held: training in blocks, the rest a sample by ``seed``."""
    n = file.shape[0]
    _check_count(n, name)
    if limit is not None and limit < n:
        rows_held = Rows(file.rows(_chosen(n, limit, seed)))
        return _split(name, rows_held, seed, scaling, None, dequantise)
    held, chosen = _picked(n, seed)
    rows = TrainingBlocks(file, np.sort(chosen[: 2 * held]))
    found = survey(file, rows.held_out, chosen)
    kind, levels = kind_of_values(found.range, found.picked.dtype, found.picked.ndim, name)
    x, box = torch.from_numpy(found.picked), None
    if kind == "image":
        transform, box = pixels(tuple(x.shape[1:]), levels, dequantise), (-1.0, 1.0)
    elif kind == "binary":
        x = x.flatten(1)
        transform, box = binary(tuple(x.shape[1:])), (0.0, 1.0)
    else:
        transform = found.transform(scaling, dequantise)
    valid, test, train = x.to(transform.dtype).split([held, held, len(x) - 2 * held])
    notes = (
        *transform.notes,
        f"{len(rows)} / {held} / {held} rows for training / validation / test, split by seed {seed}",
        f"{file.nbytes / 1e9:.3g} GB, read in blocks; what is not training sees {len(train)} training rows",
    )
    space = space_seen(transform, kind, box)
    return Dataset(name, train, valid, test, transform, space, notes=notes, blocks=rows)


def _chosen(n: int, limit: int, seed: int) -> np.ndarray:
    """The sorted numbers of ``limit`` of ``n`` rows, by seed."""
    return np.sort(distinct_numbers(n, limit, derived("cpu", seed, SPLIT)))


def _picked(n: int, seed: int) -> tuple[int, np.ndarray]:
    """How many of ``n`` rows are for validation and for test each, and the numbers of those and of more."""
    held = max(1, min(n // 10, HELD_OUT))
    return held, distinct_numbers(n, min(n, 2 * held + SAMPLE), derived("cpu", seed, SPLIT))


def _in_blocks(table: ParquetTable, target: Target | None, selection: Selection) -> bool:
    """Whether a large table is read in blocks; ValueError where it can neither be so nor be held."""
    only_held = {
        "--class-column": target is not None,
        "--missing-values impute": selection.missing == "impute",
    }
    asked = [option for option, is_asked in only_held.items() if is_asked]
    if asked and table.nbytes > limits.limit("BYTES"):
        raise ValueError(
            f"{table.path} is read in blocks, which takes no {asked[0]}; use --max-rows 1000000 or so, or "
            f"set GIBBSIAN_MAX_BYTES={table.nbytes} to hold all rows"
        )
    return not asked


def _of_large_table(
    name: str,
    table: ParquetTable,
    selection: Selection,
    seed: int,
    scaling: Scaling,
    dequantise: bool,
) -> Dataset:
    """A Parquet table that is not held, as `_of_large`. Rows with gaps are in no part of it."""
    _check_count(table.rows, name)
    held, chosen = _picked(table.rows, seed)
    held_out, first = np.sort(chosen[: 2 * held]), FirstPass(table, selection)
    found = survey(first, held_out, chosen)
    schema = first.finish()
    drops = selection.missing == "drop"
    file = TableBlocks(table, schema)
    rows = TrainingBlocks(file, held_out, found.complete(file.edges, held_out) if drops else None)
    x, columns = first.recoded(found.picked, schema), first.reading.columns
    complete = ~np.isnan(x).any(1)
    parts = np.split(x, [held, 2 * held])
    valid, test, train = (
        torch.from_numpy(part[whole])
        for part, whole in zip(parts, np.split(complete, [held, 2 * held]), strict=True)
    )
    if min(len(train), len(valid), len(test)) == 0:
        raise ValueError(
            f"too few rows of {name} are complete to be split; use --max-rows 1000000 or so with "
            "--missing-values impute"
        )
    box: tuple[float, float] | None = None
    kind: Kind = "mixed"
    if not schema.categories:
        kind, _ = kind_of_values(found.range, x.dtype, x.ndim, name)
    if kind == "binary":
        transform, box = binary(tuple(x.shape[1:]), columns), (0.0, 1.0)
    else:
        transform = found.transform(scaling, dequantise, columns, schema.categories)
    order = np.argsort(chosen)
    in_order = Rows(x[order][complete[order]], columns, table=schema)
    notes = (
        *notes_of(first.reading),
        *numbering_notes(in_order),
        *transform.notes,
        f"{len(rows)} / {len(valid)} / {len(test)} rows for training / validation / test, split by seed "
        f"{seed}",
        f"{table.size / 1e9:.3g} GB, {table.nbytes / 1e9:.3g} GB as numbers, read in blocks; what is not "
        f"training sees {len(train)} training rows",
    )
    return Dataset(
        name,
        train.to(transform.dtype),
        valid.to(transform.dtype),
        test.to(transform.dtype),
        transform,
        space_seen(transform, kind, box),
        notes=notes,
        columns=columns or None,
        table=schema,
        blocks=rows,
        test_numbers=None if drops else tuple((chosen[held : 2 * held] + 1).tolist()),
    )


def space_seen(
    transform: Transform, kind: Kind, box: tuple[float, float] | None = None
) -> DataSpace:
    """What networks see of observations of a kind through ``transform``."""
    categories = tuple(count for count in transform.categories if count)
    if not categories:
        return DataSpace(transform.shape, kind, box)
    width = len(transform.categories) - len(categories) + sum(categories)
    return DataSpace((width,), kind, box, categories)
