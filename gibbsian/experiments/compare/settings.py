"""What a comparison is: variants, the data and the time that all of them get."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gibbsian.config import recipes
from gibbsian.config.config import Config, Source, image_side_asked_for, method_class, replace
from gibbsian.core.files import read_json
from gibbsian.core.locks import FileLock
from gibbsian.core.records import read_record, write_record
from gibbsian.experiments.sweep.space import applied
from gibbsian.methods import TRAINING_METHODS

FORMAT = 1
FLOOR, TRIVIAL = "training data", "simplest distribution"
REFERENCES = (FLOOR, TRIVIAL)
"""Rows that are no method: other real rows, and a Gaussian or independent bits."""
SHARED = ("data", "source", "rounds", "seed", "device", "training.rounds", "training.seed")
"""Options that a row may not set: all rows share them, or the budget finds them."""
LABEL = re.compile(r"[\w .,+()=-]+")


@dataclass(frozen=True)
class MethodVariant:
    """A row of the table: a method, and the options in which it differs from its defaults."""

    label: str
    method: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not LABEL.fullmatch(self.label) or self.label.strip(" .") == "":
            raise ValueError(
                f"a row's name is a folder's too: letters, digits, spaces and . , + ( ) = -, not "
                f"{self.label!r}"
            )
        if self.label in REFERENCES:
            raise ValueError(f"{self.label!r} is a row of every table; give this one another name")
        for option in self.options:
            if option in SHARED or option.startswith("source."):
                raise ValueError(
                    f"row {self.label!r} sets {option}, which all rows share or the budget finds; "
                    "leave it out"
                )
        if method_class(self.method).conditional:
            raise ValueError(
                f"{self.method} samples only given something, so it is not compared with models of x"
            )


@dataclass(frozen=True)
class ComparisonSettings:
    """What makes two comparisons the same one; ``seeds`` and ``variants`` may grow.

    ``seeds``: how many runs each row has, from the seed ``first_seed`` on.
    ``budget``: CPU seconds of one thread for the training of each run, on a GPU seconds of the clock.
    ``device``: where the runs train and are measured. ``samples``: drawn of each
    model, and at most as many held-out rows are held against them. ``extractor``: the features in
    which images are compared, as ``gibbsian.evaluation.features.extractors`` names them.
    """

    data: str
    variants: tuple[MethodVariant, ...]
    seeds: int = 3
    budget: float = 60.0
    samples: int = 2_000
    extractor: str = "auto"
    source: Source = field(default_factory=Source)
    device: str = "cpu"
    trust_code: bool = False
    first_seed: int = 0

    def __post_init__(self) -> None:
        if not self.variants:
            raise ValueError("name at least one method to compare")
        labels = [c.label for c in self.variants]
        for label in labels:
            if labels.count(label) > 1:
                raise ValueError(f"two rows are called {label!r}; give each a name of its own")
        if self.seeds < 1:
            raise ValueError(f"the number of seeds must be at least 1, not {self.seeds}")
        if self.first_seed < 0:
            raise ValueError(f"seeds are whole numbers from 0, not {self.first_seed}")
        if not 0 < self.budget < float("inf"):
            raise ValueError(f"the budget must be a number of seconds above 0, not {self.budget}")
        if self.samples < 20:
            raise ValueError(f"figures need at least 20 samples, not {self.samples}")

    @property
    def each_seed(self) -> range:
        """The seeds themselves."""
        return range(self.first_seed, self.first_seed + self.seeds)

    def config(self, variant: MethodVariant) -> Config:
        """The configuration of a variant; ValueError where it does not suit the data."""
        side = image_side_asked_for(self.source)
        base = recipes.default_config(variant.method, self.data, image_side=side)
        origin = f"row {variant.label!r}"
        config = applied(base, dict(variant.options), origin, self.trust_code)
        return replace(config, source=asdict(self.source))

    def to_json(self) -> dict[str, Any]:
        """What ``comparison.json`` holds."""
        entries = json.loads(json.dumps(asdict(self)))
        del entries["trust_code"]
        return {"format": FORMAT, **entries}

    @classmethod
    def from_json(cls, entries: Mapping[str, Any], trust_code: bool = False) -> ComparisonSettings:
        """The inverse of ``to_json``; ValueError for entries that are no settings of this version."""
        known = isinstance(entries, dict) and {"data", "variants", "source", "format"}
        if not known or not known <= entries.keys():
            raise ValueError("comparison.json is damaged: it lacks what every comparison has")
        if entries["format"] != FORMAT:
            raise ValueError(
                f"comparison.json has format {entries['format']}; this version reads {FORMAT}"
            )
        rest = {k: v for k, v in entries.items() if k not in ("format", "variants", "source")}
        try:
            rows = tuple(MethodVariant(**row) for row in entries["variants"])
            source = Source(**entries["source"])
            return cls(variants=rows, source=source, **rest, trust_code=trust_code)
        except (TypeError, AttributeError) as error:
            raise ValueError(
                f"comparison.json is damaged ({error}); restore it from a copy"
            ) from error


def variants_of(names: str, rows: Path | None = None) -> tuple[MethodVariant, ...]:
    """Rows from ``names``, methods with commas between them or ``all``, and from a JSON file.

    The file maps the name of a row to {"method": NAME, option: value ...}. Raises ValueError for
    unknown methods and entries that are no rows.
    """
    everything = [name for name, cls in TRAINING_METHODS.items() if not cls.conditional]
    listed = [name.strip() for name in names.split(",") if name.strip()]
    found = [MethodVariant(name, name) for name in (everything if listed == ["all"] else listed)]
    if rows is None:
        return tuple(found)
    if not rows.is_file():
        raise ValueError(f"there is no file {rows}; it maps names of rows to methods and options")
    entries = read_json(rows)
    if not isinstance(entries, dict):
        raise ValueError(f"{rows} must map names of rows to methods and options")
    for label, entry in entries.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("method"), str):
            raise ValueError(f'row {label!r} of {rows} must be like {{"method": "gan"}}')
        options = {name: value for name, value in entry.items() if name != "method"}
        found.append(MethodVariant(label, entry["method"], options))
    return tuple(found)


def standing(out: Path, trust_code: bool = False) -> ComparisonSettings:
    """The settings of the comparison in ``out``; ValueError where they are damaged."""
    return ComparisonSettings.from_json(read_record(out / "comparison.json"), trust_code)


def settle(out: Path, settings: ComparisonSettings) -> ComparisonSettings:
    """Write the settings into ``out``, or add to those that stand there; what then stands there.

    Rows and seeds may be added. Raises ValueError when ``out`` holds something else, or a comparison
    that would not be comparable: other data, budget or number of samples, or a row that has changed.
    """
    path = out / "comparison.json"
    refuse_other(out)
    if (out / "database.json").exists():
        raise ValueError(f"the runs of {out} are in a database: give its --storage")
    with FileLock(out / "settings.lock").held():
        if path.exists():
            settings = joined(standing(out), settings, str(out), "--out")
            for variant in settings.variants:
                settings.config(variant)  # a row that stood there may name code
        write_record(path, settings.to_json())
    return settings


def refuse_other(out: Path) -> None:
    """ValueError where ``out`` holds something else than a comparison."""
    there = (out / "comparison.json").exists() or (out / "database.json").exists()
    if not there and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} exists and holds no comparison; choose another --out")


def write_settings(out: Path, settings: ComparisonSettings) -> ComparisonSettings:
    """Write settings that all who share a comparison have, in place of those that stand in ``out``."""
    with FileLock(out / "settings.lock").held():
        write_record(out / "comparison.json", settings.to_json())
    return settings


def joined(
    there: ComparisonSettings, here: ComparisonSettings, holder: str, other: str
) -> ComparisonSettings:
    """Settings that stand in ``holder`` with the rows and seeds of ``here`` added.

    ValueError where the two would not be comparable, which says what ``other`` to choose.
    """
    for name in ("data", "budget", "samples", "extractor", "source", "device", "first_seed"):
        if getattr(there, name) != getattr(here, name):
            raise ValueError(
                f"{holder} holds a comparison with another {name}, {getattr(there, name)} instead of "
                f"{getattr(here, name)}; go on with it as it was or choose another {other}"
            )
    rows = {c.label: c for c in there.variants}
    for variant in here.variants:
        if rows.setdefault(variant.label, variant) != variant:
            raise ValueError(
                f"the row {variant.label!r} of {holder} has other options; give the new one another "
                "name"
            )
    values = vars(here) | {
        "variants": tuple(rows.values()),
        "seeds": max(there.seeds, here.seeds),
    }
    return ComparisonSettings(**values)
