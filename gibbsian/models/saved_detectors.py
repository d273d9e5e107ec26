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
from gibbsian.data.schema import table_of
from gibbsian.models.detector import Detector, Whitening
from gibbsian.models.model import Model
from gibbsian.models.strange_rows import FOLDS, FoldDetectors, NumericTable

RECORD, TENSORS = "detector.json", "detector.safetensors"
REMEDY = "restore it from a copy, or run `gibbsian detect` again"


def save_detectors(folder: Path, fitted: FoldDetectors, source: str) -> None:
    """Write what scoring needs: three models, how rows are whitened, the columns; no rows but quantiles.

    ``source``: name of the table they were fitted to.
    """
    identity, table = new_identity(), fitted.table
    tensors = {"centres": fitted.centres, "held_out": fitted.held_out}
    for k, detector in enumerate(fitted.detectors):
        model = detector.model
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
    identity, names, counts, source = (
        entries.get(key) for key in ("id", "names", "categories", "source")
    )
    sound = (
        (isinstance(identity, str) and IDENTITY.fullmatch(identity) is not None)
        and isinstance(source, str)
        and (isinstance(names, list) and all(isinstance(name, str) for name in names))
        and (isinstance(counts, list) and all(type(n) is int and n >= 0 for n in counts))
        and len(names) == len(counts) > 0
    )
    if not sound:
        raise _damaged(path)
    categories, d = tuple(counts), len(names)
    width = sum(count or 1 for count in categories)
    tensors, _ = read_tensors(folder / TENSORS, identity)
    detectors = []
    for k in range(FOLDS):
        model = Model.from_pretrained(folder / f"fold-{k}", device=device)
        if model.run != identity or model.space.shape != (width,):
            raise CorruptFileError(f"{folder / f'fold-{k}'} is no part of {folder}; {REMEDY}")
        model.method.to(widest_float(model.device))
        parts = {name: _tensor(tensors, f"{name}-{k}", folder) for name in PARTS}
        shapes = [list(part.shape) for part in parts.values()]
        rows = shapes[3][:1]
        if shapes != [[width], [width], [width, width], [*rows, d]] or not (parts["std"] > 0).all():
            raise _damaged(folder / TENSORS)
        for values, count in zip(parts["candidates"].T, categories, strict=True):
            if count and not bool(((values >= 0) & (values < count)).all()):
                raise _damaged(folder / TENSORS)
        whitening = Whitening(parts["mean"], parts["std"], parts["factor"])
        detectors.append(Detector(whitening, model, parts["candidates"], categories))
    space = DataSpace((width,), "mixed" if any(categories) else "vector", None, _counts(categories))
    schema = table_of(entries.get("table"), space, path)
    if schema is not None and len(schema.kept) != d:
        raise _damaged(path)
    centres, held_out = _tensor(tensors, "centres", folder), _tensor(tensors, "held_out", folder)
    if list(centres.shape) != [FOLDS] or held_out.ndim != 1 or not len(held_out):
        raise _damaged(folder / TENSORS)
    none = torch.empty(0, d, dtype=torch.float64)
    table = NumericTable(none, tuple(names), (), schema)
    fold = torch.empty(0, dtype=torch.long)
    return FoldDetectors(tuple(detectors), centres, held_out, table, fold), source


PARTS = ("mean", "std", "factor", "candidates")


def _parts(detector: Detector) -> dict[str, Tensor]:
    whitening = detector.whitening
    values = (whitening.mean, whitening.std, whitening.factor, detector.candidates)
    return dict(zip(PARTS, values, strict=True))


def _counts(categories: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(count for count in categories if count)


def _tensor(tensors: dict[str, Tensor], name: str, folder: Path) -> Tensor:
    found: Any = tensors.get(name)
    if found is None or found.dtype != torch.float64 or not bool(found.isfinite().all()):
        raise _damaged(folder / TENSORS)
    return found


def _damaged(path: Path) -> CorruptFileError:
    return CorruptFileError(f"{path} is damaged; {REMEDY}")
