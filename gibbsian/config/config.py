"""The configuration of a run: data, training, and a method with its networks and their options.

What a method or a network can be told is read off its signature: keyword-only parameters, their types,
defaults and help texts. The command line and ``config.json`` are both read off these.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Annotated, Any, Literal

import msgspec

from gibbsian.config.consent import check_consent
from gibbsian.core import TrainingMethod, nearest
from gibbsian.core.imports import import_named
from gibbsian.core.roles import Builder, Role
from gibbsian.core.signatures import RARE, Option, check_options, options_of
from gibbsian.data.named import holds_pictures
from gibbsian.methods import TRAINING_METHODS
from gibbsian.networks import NETWORKS, network_builder
from gibbsian.training import OptimizerOptions, TrainingOptions

DATA = (
    "a file or its address, a folder or zip of images, or a built-in name (`gibbsian list data`); files "
    "are .csv, .npy, .npz or .parquet. Of tables the option missing-values says what becomes of gaps, of "
    "images image-size brings all to one size and skip-unreadable leaves out broken files"
)


def check_seed(seed: int) -> None:
    """ValueError unless ``seed`` suits every generator that is seeded with it."""
    if not 0 <= seed < 2**32:
        raise ValueError(f"--seed must lie between 0 and {2**32 - 1}, not {seed}")


def method_class(name: str) -> type[TrainingMethod]:
    """The registered method of that name, or a user's ``package.module:Class``.

    ValueError naming the nearest method otherwise, and for a class that is no method.
    """
    if ":" in name:
        return load_method(name)
    if name not in TRAINING_METHODS:
        raise nearest("method", name, TRAINING_METHODS)
    return TRAINING_METHODS[name]


@cache
def load_method(spec: str) -> type[TrainingMethod]:
    """Import a method of the user's own, from the current directory too; ValueError if it is none."""
    cls = import_named(spec, "method")
    if not (isinstance(cls, type) and issubclass(cls, TrainingMethod)):
        raise ValueError(
            f"{spec} is no method; it must name a class derived from gibbsian.core.TrainingMethod"
        )
    for attribute in ("players", "roles"):
        if not hasattr(cls, attribute):
            raise ValueError(f"{spec} does not say what its {attribute} are")
    return cls


@dataclasses.dataclass(frozen=True)
class Source:
    """Where the observations come from.

    Args:
        data_root: folder of data sets; otherwise $GIBBSIAN_DATA, then the user's cache.
        column_scaling: standardise each column of vectors (undone on sampling), or none.
        max_rows: use at most this many rows; 0 uses all.
        split_seed: seed of the train / validation / test split, and of patches.
        patch_size: side of square patches to cut out of photographs of any sizes; 0 takes images whole.
        greyscale: take only the brightness of images in files.
        image_size: bring images to this many pixels on each side; 0 takes them as they are.
        skip_unreadable: leave out image files that cannot be read, as scoring always does; otherwise they
            are refused.
        class_column: name or number of the column that holds classes, which are not modelled.
        columns: names or numbers of the columns of a table that alone are modelled, as in age,income.
        drop_columns: names or numbers of columns of a table that are left out, as in name,city; columns names
            those that stay, missing_values (drop or impute) what becomes of gaps.
        missing_values: what becomes of rows of a table that lack a value: refuse, drop them, or impute the
            median of the training rows (of a category: a value of its own).
        category_columns: names or numbers of columns of a table that are categories although their cells are
            numbers, as in postcode,grade; columns of text are categories anyway.
    """

    data_root: Annotated[str | None, RARE] = None
    column_scaling: Annotated[Literal["standardise", "none"], RARE] = "standardise"
    max_rows: int = 0
    split_seed: Annotated[int, RARE] = 0
    patch_size: Annotated[int, RARE] = 0
    greyscale: Annotated[bool, RARE] = False
    image_size: Annotated[int, RARE] = 0
    skip_unreadable: Annotated[bool, RARE] = False
    class_column: str | None = None
    columns: Annotated[str | None, RARE] = None
    drop_columns: str | None = None
    missing_values: Annotated[Literal["refuse", "drop", "impute"], RARE] = "refuse"
    category_columns: Annotated[str | None, RARE] = None

    def __post_init__(self) -> None:
        for name in ("max_rows", "split_seed", "patch_size", "image_size"):
            if getattr(self, name) < 0:
                option = name.replace("_", "-")
                raise ValueError(f"--{option} must not be negative, not {getattr(self, name)}")


def image_side_asked_for(source: Source | Mapping[str, Any] | None) -> int:
    """The side in pixels to which a source, or what is given of one, brings images; 0 for their own."""
    given = dataclasses.asdict(source) if isinstance(source, Source) else dict(source or {})
    sides = [given.get("image_size"), given.get("patch_size")]
    return next((side for side in sides if isinstance(side, int) and side), 0)


@dataclasses.dataclass(frozen=True)
class Network:
    """The network of a role: a built-in name or ``package.module:Class``, and all of its options.

    Options are attributes too.
    """

    name: str
    options: Mapping[str, Any]

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name in self.__dict__.get("options", ()):
            return self.options[name]
        raise AttributeError(f"the network {self.__dict__.get('name')} has no option {name!r}")

    def to_json(self) -> dict[str, Any]:
        """``{"name": ..., option: value, ...}``."""
        return {"name": self.name, **self.options}


@dataclasses.dataclass(frozen=True)
class Config:
    """What a run is told. A method's options, networks and optimizers are attributes too.

    ``domain_half_width``: of the box a bounded energy of vectors lives on, in scaled units, auto or none.
    ``options``: of the method, and ``latent_dim``, the dimension of the latent space, where it has one.
    ``networks`` by role; ``optimizers`` by player, each called ``PLAYER_optimizer`` elsewhere.
    """

    method: str
    data: str
    source: Source
    training: TrainingOptions
    domain_half_width: str
    options: Mapping[str, Any]
    networks: Mapping[str, Network]
    optimizers: Mapping[str, OptimizerOptions]

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and "optimizers" in self.__dict__:
            player = name.removesuffix("_optimizer")
            groups = ((self.options, name), (self.networks, name), (self.optimizers, player))
            for group, key in groups:
                if key in group and (group is not self.optimizers or key != name):
                    return group[key]
        raise AttributeError(f"this configuration has no {name!r}")


COMMON = ("data", "source", "training", "domain_half_width")
LATENT = Option(int, 16, "dimension of the generator's latent space")


def method_options(cls: type[TrainingMethod]) -> Mapping[str, Option]:
    """The options of a method, and ``latent_dim`` where a network of it has a latent space."""
    latent = any(role.latent for role in cls.roles.values())
    return {**options_of(cls), **({"latent_dim": LATENT} if latent else {})}


def builder_of(method: str, role: str, name: str) -> Builder:
    """What builds the network ``name`` of a method's role; ValueError for an unknown name."""
    return network_builder(networks_of(method_class(method).roles[role]), role, name)


def networks_of(role: Role) -> Mapping[str, Builder]:
    """Builders by name; ValueError for a group of networks that is not there."""
    if not isinstance(role.networks, str):
        return role.networks
    if role.networks not in NETWORKS:
        raise nearest("group of networks", role.networks, NETWORKS)
    return NETWORKS[role.networks]


def default_network(method: str, role: str, name: str) -> Network:
    """The network ``name`` with its own defaults; ValueError for an unknown name."""
    known = options_of(builder_of(method, role, name))
    return Network(name, {option: entry.default for option, entry in known.items()})


def plain(method: str, data: str, pictures: bool | None = None) -> Config:
    """The defaults of the classes themselves; on images networks are convolutional.

    ``pictures``: whether the data are images, where more is known than their name or file.
    """
    cls = method_class(method)
    if pictures is None:
        pictures = holds_pictures(data)
    players = [player for player in cls.players if player not in cls.self_optimized]
    return Config(
        method=method,
        data=data,
        source=Source(),
        training=TrainingOptions(),
        domain_half_width="auto",
        options={name: option.default for name, option in method_options(cls).items()},
        networks={
            name: default_network(method, name, role.name(pictures))
            for name, role in cls.roles.items()
        },
        optimizers={player: OptimizerOptions() for player in players},
    )


def to_json(config: Config) -> dict[str, Any]:
    """The configuration as JSON-able values, with the method's name."""
    options = {
        name: dataclasses.asdict(value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type)
        else value
        for name, value in config.options.items()
    }
    return {
        "method": config.method,
        "data": config.data,
        "source": dataclasses.asdict(config.source),
        "training": dataclasses.asdict(config.training),
        "domain_half_width": config.domain_half_width,
        **options,
        **{role: network.to_json() for role, network in config.networks.items()},
        **{f"{p}_optimizer": dataclasses.asdict(o) for p, o in config.optimizers.items()},
    }


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
    method = str(values["method"])
    check_consent({"the method": method}, origin, trust_code)
    rest = {name: value for name, value in values.items() if name != "method"}
    names = {role: network_name(rest[role]) for role in method_class(method).roles if role in rest}
    if not trust_code:
        for role in {role for role in given if ":" in names.get(role, "")}:
            del rest[role], names[role]
    check_consent({f"the {role} network": name for role, name in names.items()}, origin, trust_code)
    return replace(plain(method, str(values["data"])), **rest)


def network_name(entry: Any) -> str:
    """The name in a network's entry, "" where there is none."""
    return str(entry.get("name", "")) if isinstance(entry, Mapping) else str(entry)


def replace(config: Config, **changes: Any) -> Config:
    """A changed copy; groups take mappings, so ``training={"rounds": 10}`` changes one entry.

    A network takes a name, or a mapping of options and ``name``; of another network than before the
    options that both have are kept. With other data a default network becomes the one that suits them.
    ValueError for an entry that is not there or of another type.
    """
    if "data" in changes:
        config = _with_data(config, coerced(str, changes.pop("data"), "option data"))
    options, networks = dict(config.options), dict(config.networks)
    optimizers, rest = dict(config.optimizers), {}
    known = {**method_options(method_class(config.method))}
    players = {f"{player}_optimizer": player for player in optimizers}
    for name, value in changes.items():
        if name in known:
            options[name] = coerced(known[name].type, value, f"option {name}", options[name])
        elif name in networks:
            networks[name] = _network(config.method, name, networks[name], value)
        elif name in players:
            before = optimizers[players[name]]
            optimizers[players[name]] = coerced(OptimizerOptions, value, f"option {name}", before)
        elif name in COMMON:
            hint = typing.get_type_hints(Config)[name]
            rest[name] = coerced(hint, value, f"option {name}", getattr(config, name))
        else:
            for group, kind in (("training", TrainingOptions), ("source", Source)):
                if name in {field.name for field in dataclasses.fields(kind)}:
                    given = {name: value}
                    raise ValueError(
                        f"unknown option {name!r}; it is one of {group}: {group}={given!r}"
                    )
            raise nearest("option", name, [*COMMON, *known, *networks, *players])
    return dataclasses.replace(
        config, options=options, networks=networks, optimizers=optimizers, **rest
    )


def _with_data(config: Config, data: str) -> Config:
    """``config`` for other data: on images a default network is the convolutional one."""
    was, now = (False, False) if data == config.data else map(holds_pictures, (config.data, data))
    networks = dict(config.networks)
    for name, role in method_class(config.method).roles.items():
        if was != now and networks[name].name == role.name(was):
            networks[name] = _network(config.method, name, networks[name], role.name(now))
    return dataclasses.replace(config, data=data, networks=networks)


def _network(method: str, role: str, before: Network, value: Any) -> Network:
    """``before`` with another name, other options, or both."""
    if isinstance(value, Network):
        value = value.to_json()
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, Mapping):
        raise ValueError(f"option {role} must be a name or a group of settings, not {value!r}")
    name = coerced(str, value.get("name", before.name), f"option {role} name")
    builder = builder_of(method, role, name)
    known, given = options_of(builder), {k: v for k, v in value.items() if k != "name"}
    check_options(f"the {role} network {name}", builder, given)
    options = dict(default_network(method, role, name).options)
    options |= {k: v for k, v in before.options.items() if k in known}
    for option, entry in given.items():
        options[option] = coerced(known[option].type, entry, f"option {role} {option}")
    return Network(name, options)


def coerced(hint: Any, value: Any, where: str, base: Any = None) -> Any:
    """``value`` as type ``hint``; lists become tuples, whole numbers floats; else ValueError.

    A mapping for a record changes ``base``, or the record's defaults.
    """
    if typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return value if isinstance(value, hint) else _record(hint, value, where, base)
    if typing.get_origin(hint) is Literal and value not in typing.get_args(hint):
        raise nearest(where, str(value), [str(known) for known in typing.get_args(hint)])
    try:
        return msgspec.convert(value, hint)
    except msgspec.ValidationError as error:
        name = str(hint) if isinstance(hint, types.UnionType) else getattr(hint, "__name__", hint)
        raise ValueError(f"{where} must be of type {name}, not {value!r}") from error


def _record(kind: type, values: Any, where: str, base: Any) -> Any:
    """Record ``kind`` from a mapping, starting from ``base`` or the defaults."""
    if not isinstance(values, Mapping):
        raise ValueError(f"{where} must be a group of settings, not {values!r}")
    hints = typing.get_type_hints(kind)
    for name in values:
        if name not in hints:
            raise nearest(where, name, hints)
    entries = {k: coerced(hints[k], v, f"{where} {k}") for k, v in values.items()}
    return dataclasses.replace(base, **entries) if base is not None else kind(**entries)


def half_width(box: str) -> float:
    """The number that the configuration's ``domain_half_width`` holds; ValueError if it is none."""
    try:
        half = float(box)
    except ValueError:
        half = -1.0
    if not 0 < half < math.inf:
        raise ValueError(
            f"--domain-half-width must be auto, none or a positive half-width, not {box!r}"
        )
    return half
