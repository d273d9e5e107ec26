"""The detectors of `gibbsian detect` in a folder, to score other tables later without training again."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gibbsian.config.run_folder import IDENTITY, new_identity
from gibbsian.core import DataSpace
from gibbsian.core.files import CorruptFileError
from gibbsian.core.formats import FORMAT
from gibbsian.core.numerics import widest_float
from gibbsian.core.records import read_record, write_record
from gibbsian.core.tensor_files import read_tensors, write_tensors
from gibbsian.core.text import one_line
from gibbsian.data.rows import Cells
from gibbsian.data.schema import table_of
from gibbsian.data.table_schema import TableSchema
from gibbsian.data.tables import polars
from gibbsian.models.category_tree import CategoryTree
from gibbsian.models.detector import Detector
from gibbsian.models.log_columns import LogColumns
from gibbsian.models.model import Model
from gibbsian.models.numbers_given import NumbersGiven
from gibbsian.models.numeric_table import NumericTable
from gibbsian.models.strange_rows import FOLDS, FoldDetectors
from gibbsian.models.whitening import Whitening

PARTS = ("mean", "std", "factor", "candidates")
"""What there is of each detector beside its model."""
OF_CATEGORIES = ("middle", "levels", "log_spreads", "unknown", "parents", "alone", "given", "rarer")
"""And where the table has categories."""
USUAL = "usual"
"""And where it has numbers beside them."""
OF_ALL, LOGS = ("centres", "held_out"), "least_of_logarithms"
RECORD, TENSORS = "detector.json", "detector.safetensors"
REMEDY = "restore it from a copy, or run `gibbsian detect` again"


def save_detectors(folder: Path, fitted: FoldDetectors, source: str) -> None:
    """Write what scoring needs: three models, how rows are whitened, the columns; no rows but quantiles.

    ``source``: name of the table they were fitted to.
    """
    identity, table = new_identity(), fitted.table
    tensors = {name: getattr(fitted, name) for name in OF_ALL} | {LOGS: fitted.logs.least}
    for k, detector in enumerate(fitted.detectors):
        if (model := detector.model) is not None:
            extras = model.held_out, model.moments
            of_run = Model(
                model.method, model.config, model.space, model.transform, *extras, run=identity
            )
            of_run.save_pretrained(folder / f"fold-{k}")
        for name, value in _parts(detector).items():
            tensors[f"{name}-{k}"] = value
    write_tensors(folder / TENSORS, tensors, {"format": FORMAT}, identity)
    entries = {
        "format": FORMAT,
        "id": identity,
        "source": one_line(source),
        "names": list(table.names),
        "categories": list(table.categories),
        "table": None if table.schema is None else asdict(table.schema),
    }
    write_record(folder / RECORD, entries)


def load_detectors(folder: Path, device: str = "cpu") -> tuple[FoldDetectors, str]:
    """What ``save_detectors`` wrote, and the name of the table.

    Raises ValueError, one sentence, for another folder and for files that are damaged or of several.
    """
    path = folder / RECORD
    if not path.is_file():
        raise ValueError(
            f"{folder} holds no detectors ({RECORD}); give the folder that `gibbsian detect` wrote them to"
        )
    entries = read_record(path, REMEDY)
    if entries.get("format") != FORMAT:
        raise ValueError(f"{folder} was written by another version of gibbsian; {REMEDY}")
    identity, source = _text(entries, "id", path), _text(entries, "source", path)
    names, categories = _columns(entries, path)
    tensors, _ = read_tensors(folder / TENSORS, identity)
    detectors = tuple(
        _detector(tensors, folder, k, identity, categories, device) for k in range(FOLDS)
    )
    centres, held_out = (_tensor(tensors, name, folder) for name in OF_ALL)
    if LOGS not in tensors:
        raise ValueError(
            f"{folder} was written by a version without logarithms of columns; {REMEDY}"
        )
    logs = _tensor(tensors, LOGS, folder)
    if list(logs.shape) != [len(names)] or not bool((logs >= 0).all()):
        raise _damaged(folder / TENSORS)
    if list(centres.shape) != [FOLDS] or held_out.ndim != 1 or not len(held_out):
        raise _damaged(folder / TENSORS)
    none = torch.empty(0, len(names), dtype=torch.float64)
    cells = Cells((), polars().DataFrame())
    schema = _schema(entries, categories, path)
    table = NumericTable(none, names, (), schema, none.bool(), cells)
    fold = none[:, 0].long()
    return FoldDetectors(detectors, centres, held_out, table, fold, LogColumns(logs)), source


def _text(entries: dict[str, Any], key: str, path: Path) -> str:
    found = entries.get(key)
    if not isinstance(found, str) or (key == "id" and not IDENTITY.fullmatch(found)):
        raise _damaged(path)
    return found


def _columns(entries: dict[str, Any], path: Path) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names of the columns, and how many values each has as a category."""
    names, counts = entries.get("names"), entries.get("categories")
    if not (isinstance(names, list) and isinstance(counts, list) and len(names) == len(counts) > 0):
        raise _damaged(path)
    if not all(isinstance(name, str) for name in names) or not all(
        type(count) is int and count >= 0 for count in counts
    ):
        raise _damaged(path)
    return tuple(names), tuple(counts)


def _schema(entries: dict[str, Any], categories: tuple[int, ...], path: Path) -> TableSchema | None:
    """The columns of the table's file, None where they have none; checked beside ``categories``."""
    blocks = tuple(count for count in categories if count)
    space = DataSpace((_width(categories),), "mixed" if blocks else "vector", None, blocks)
    schema = table_of(entries.get("table"), space, path)
    counts = () if schema is None else tuple(column.count for column in schema.kept)
    if counts != categories and (schema is not None or blocks):
        raise _damaged(path)
    return schema


def _width(categories: tuple[int, ...]) -> int:
    return sum(count or 1 for count in categories)


def _detector(
    tensors: dict[str, Tensor],
    folder: Path,
    k: int,
    identity: str,
    categories: tuple[int, ...],
    device: str,
) -> Detector:
    """The detector of fold ``k``."""
    width, model = categories.count(0), None
    needed = f"{USUAL if width else OF_CATEGORIES[4]}-{k}"
    if any(categories) and needed not in tensors:
        raise ValueError(
            f"{folder} was written by a version that modelled categories in another way; {REMEDY}"
        )
    if width:
        model = Model.from_pretrained(folder / f"fold-{k}", device=device)
        if model.run != identity or model.space.shape != (width,):
            raise CorruptFileError(f"{folder / f'fold-{k}'} is no part of {folder}; {REMEDY}")
        model.method.to(widest_float(model.device))
    mean, std, factor, candidates = (_tensor(tensors, f"{name}-{k}", folder) for name in PARTS)
    shapes = [list(part.shape) for part in (mean, std, factor)]
    if shapes != [[width], [width], [width, width]] or not bool((std > 0).all()):
        raise _damaged(folder / TENSORS)
    if candidates.ndim != 2 or candidates.shape[1] != len(categories) or not len(candidates):
        raise _damaged(folder / TENSORS)
    for values, count in zip(candidates.T, categories, strict=True):
        if count and not bool(((values >= 0) & (values < count)).all()):
            raise _damaged(folder / TENSORS)
    whitening = Whitening(mean, std, factor)
    if not any(categories):
        return Detector(whitening, model, candidates)
    middle, levels, spreads, unknown, *parts = (
        _tensor(tensors, f"{name}-{k}", folder) for name in OF_CATEGORIES
    )
    tree = CategoryTree(tuple(c for c in categories if c), parts[0].long(), *parts[1:])
    shapes = [list(part.shape) for part in (middle, levels, spreads, unknown)]
    wide = [sum(categories), width]
    if shapes != [[width], wide, wide, [len(tree.counts), width]] or not tree.is_whole:
        raise _damaged(folder / TENSORS)
    usual = _tensor(tensors, f"{USUAL}-{k}", folder) if width else None
    if usual is not None and usual.shape != (sum(categories),):
        raise _damaged(folder / TENSORS)
    given = NumbersGiven(categories, middle, levels, spreads, unknown)
    return Detector(whitening, model, candidates, categories, given, tree, usual)


def _parts(detector: Detector) -> dict[str, Tensor]:
    whitening = detector.whitening
    values = (whitening.mean, whitening.std, whitening.factor, detector.candidates)
    parts = dict(zip(PARTS, values, strict=True))
    if (tree := detector.tree) is not None and (given := detector.given) is not None:
        of_tree = (tree.parents.double(), tree.alone, tree.given, tree.rarer)
        of_categories = (given.mean, given.levels, given.log_spreads, given.unknown, *of_tree)
        parts |= dict(zip(OF_CATEGORIES, of_categories, strict=True))
    if detector.usual is not None:
        parts[USUAL] = detector.usual
    return parts


def _tensor(tensors: dict[str, Tensor], name: str, folder: Path) -> Tensor:
    found: Any = tensors.get(name)
    if found is None or found.dtype != torch.float64 or not bool(found.isfinite().all()):
        raise _damaged(folder / TENSORS)
    return found


def _damaged(path: Path) -> CorruptFileError:
    return CorruptFileError(f"{path} is damaged; {REMEDY}")
