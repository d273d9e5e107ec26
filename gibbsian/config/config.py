"""The configuration of a run: one typed record per method, derived from the method's own signature.

A method's constructor takes its networks first, then prior and measure, then keyword-only options.
The record has a field for each of these options, a name and options for each network, one optimizer
per player, and what every run needs. The command line and ``config.json`` are both read off it.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Iterable, Mapping
from functools import cache, partial
from typing import Annotated, Any, Literal

import docstring_parser
import tyro

from gibbsian.config.consent import check_consent
from gibbsian.core import Method, nearest
from gibbsian.methods import METHODS
from gibbsian.networks import NETWORKS, NetworkOptions
from gibbsian.training import Optimizer, Training

DATA = (
    "a built-in name (see `gibbsian list data`), a .csv, .npy, .npz or .parquet file, or a folder "
    "or zip of images"
)


def check_seed(seed: int) -> None:
    """ValueError unless ``seed`` suits every generator that is seeded with it."""
    if not 0 <= seed < 2**32:
        raise ValueError(f"--seed must lie between 0 and {2**32 - 1}, not {seed}")


def method_class(name: str) -> type[Method]:
    """The registered method of that name; ValueError naming the nearest otherwise."""
    if name not in METHODS:
        raise nearest("method", name, METHODS)
    return METHODS[name]


@dataclasses.dataclass(frozen=True)
class Source:
    """Where the observations come from.

    Args:
        root: folder of data sets; otherwise $GIBBSIAN_DATA, then the user's cache.
        scaling: standardise each column of vectors (undone on sampling), or none.
        limit: use at most this many rows; 0 uses all.
        split_seed: seed of the train / validation / test split, and of patches.
        patch: side of square patches to cut out of photographs of any sizes; 0 takes pictures whole.
        grey: take only the brightness of the patches.
        size: bring pictures to SIZE x SIZE; 0 takes them as they are.
        target: name or number of the column that holds classes, which are not modelled.
    """

    root: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    scaling: Literal["standardise", "none"] = "standardise"
    limit: int = 0
    split_seed: int = 0
    patch: int = 0
    grey: bool = False
    size: int = 0
    target: Annotated[str | None, tyro.conf.arg(metavar="COLUMN")] = None

    def __post_init__(self) -> None:
        for name in ("limit", "split_seed", "patch", "size"):
            if getattr(self, name) < 0:
                option = name.replace("_", "-")
                raise ValueError(f"--{option} must not be negative, not {getattr(self, name)}")


BOX = "half-width of the box a bounded energy of vectors lives on, in scaled units, auto or none"


@dataclasses.dataclass(frozen=True)
class Config:
    """What every run has; ``config_type`` adds the fields of one method."""

    data: Annotated[str, tyro.conf.arg(metavar="DATA", help=DATA)]
    source: tyro.conf.OmitArgPrefixes[Source] = dataclasses.field(default_factory=Source)
    training: tyro.conf.OmitArgPrefixes[Training] = dataclasses.field(default_factory=Training)
    box: Annotated[str, tyro.conf.arg(help=BOX)] = "auto"

    method: typing.ClassVar[str] = ""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled (between processes of a study) by value: the record types are made at run time."""
        return partial(from_json, trust_code=True), (to_json(self),)  # it was a record already


AUTO = "auto"
"""The name of a network that is the method's default, on images its convolutional counterpart."""
CONVOLUTIONAL = {"mlp": "conv", "confined": "conv"} | {
    name: f"conv-{name}" for name in ("bounded", "autoencoder")
}


def suited(default: str, images: bool) -> str:
    """What ``auto`` stands for where a method's default network is ``default``."""
    return CONVOLUTIONAL.get(default, default) if images else default


def signature_options(cls: type[Method]) -> dict[str, inspect.Parameter]:
    """The keyword-only options of a method's constructor."""
    parameters = inspect.signature(cls, eval_str=True).parameters.values()
    return {p.name: p for p in parameters if p.kind is p.KEYWORD_ONLY}


@cache
def config_type(method: str) -> type[Config]:
    """The configuration record of one method, with help texts from its docstring."""
    cls = method_class(method)
    documentation = docstring_parser.parse(cls.__doc__ or "")
    texts = {p.arg_name: " ".join((p.description or "").split()) for p in documentation.params}
    fields: list[Any] = []
    for name, parameter in signature_options(cls).items():
        annotation: Any = parameter.annotation
        annotated = Annotated[annotation, tyro.conf.arg(help=texts.get(name, ""))]
        fields.append((name, annotated, dataclasses.field(default=parameter.default)))
    if "prior" in inspect.signature(cls).parameters:
        text = "dimension of the generator's latent space"
        latent = Annotated[int, tyro.conf.arg(help=text)]
        fields.append(("latent", latent, dataclasses.field(default=16)))
    for role, default in cls.networks.items():
        known = ", ".join(NETWORKS.get(role, NETWORKS["energy"]))
        images = suited(default, images=True)
        auto = AUTO if images == default else f"{AUTO} ({images} for images)"
        text = f"the {role} network: {known}, or your own package.module:Class; {auto} is {default}"
        named = Annotated[str, tyro.conf.arg(help=text)]
        fields.append((role, named, dataclasses.field(default=AUTO)))
        fields.append((f"{role}_net", NetworkOptions, _new(NetworkOptions)))
    for player in cls.players:
        if player in cls.self_optimized:
            continue
        fields.append((f"{player}_optimizer", Optimizer, _new(Optimizer)))
    record: Any = dataclasses.make_dataclass(
        f"{cls.__name__}Config", fields, bases=(Config,), frozen=True
    )
    record.method = method
    record.__doc__ = documentation.short_description or ""
    return record


def _new(kind: type) -> Any:
    return dataclasses.field(default_factory=kind)


def to_json(config: Config) -> dict[str, Any]:
    """The configuration as JSON-able values, with the method's name."""
    return {"method": config.method, **dataclasses.asdict(config)}


def from_json(
    values: Any,
    origin: str = "this configuration",
    trust_code: bool = False,
    given: Iterable[str] = (),
) -> Config:
    """The inverse of ``to_json``; missing entries keep their defaults, unknown ones are ValueErrors.

    So are networks of one's own, ``package.module:Class``, unless ``trust_code``: whoever wrote the
    values (``origin`` says where they stand) chose the code. Roles for which instances are ``given``
    import nothing, and lose such a name.
    """
    if not isinstance(values, Mapping) or "method" not in values or "data" not in values:
        raise ValueError("a configuration needs the entries 'method' and 'data'")
    rest = {name: value for name, value in values.items() if name != "method"}
    config: Config = _record(config_type(str(values["method"])), rest, "option")
    names = {role: getattr(config, role) for role in METHODS[config.method].networks}
    if not trust_code:
        names |= {role: AUTO for role in given if ":" in names.get(role, "")}
        config = dataclasses.replace(config, **names)
    check_consent({f"the {role} network": name for role, name in names.items()}, origin, trust_code)
    return config


def replace(config: Config, **changes: Any) -> Config:
    """A changed copy; nested records take mappings, so ``training={"rounds": 10}`` changes one field."""
    return _record(type(config), changes, "option", config)


def _record(kind: type, values: Any, where: str, base: Any = None) -> Any:
    """Build record ``kind`` from nested mappings, starting from ``base`` or the defaults."""
    if not isinstance(values, Mapping):
        raise ValueError(f"{where} must be a group of settings, not {values!r}")
    hints = typing.get_type_hints(kind, include_extras=False)
    names = {f.name for f in dataclasses.fields(kind)}
    entries: dict[str, Any] = {}
    for name, value in values.items():
        if name not in names:
            raise nearest(where, name, names)
        hint, inner = hints[name], getattr(base, name, None)
        if dataclasses.is_dataclass(hint) and not dataclasses.is_dataclass(value):
            value = _record(typing.cast(type, hint), value, f"{where} {name}", inner)
        elif not dataclasses.is_dataclass(hint):
            value = _checked(hint, value, f"{where} {name}")
        entries[name] = value
    if base is not None:
        return dataclasses.replace(base, **entries)
    return kind(**entries)


def _checked(hint: Any, value: Any, where: str) -> Any:
    """``value`` as type ``hint``; lists become tuples, whole numbers floats; else ValueError."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if value not in arguments:
            raise nearest(where, str(value), [str(a) for a in arguments])
        return value
    if origin in (typing.Union, types.UnionType):
        for option in arguments:
            try:
                return _checked(option, value, where)
            except ValueError:
                continue
    elif origin is tuple and isinstance(value, (list, tuple)):
        inner = arguments[:1] * len(value) if arguments[-1:] == (...,) else arguments
        if len(inner) == len(value):
            return tuple(_checked(h, v, where) for h, v in zip(inner, value, strict=True))
    elif hint is float and type(value) is int:
        return float(value)
    elif isinstance(hint, type) and type(value) is hint:
        return value
    name = getattr(hint, "__name__", str(hint))
    raise ValueError(f"{where} must be of type {name}, not {value!r}")
