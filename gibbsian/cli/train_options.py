"""The options of ``gibbsian train METHOD``: every entry of the configuration, by its name.

``--help`` lists what a person sets, ``--help-all`` what else is set now and then; the rest, marked as
rare where it is defined, is listed by ``--print-config`` and can be given all the same.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypedDict

import tyro

from gibbsian.cli.console import parse
from gibbsian.config.config import (
    DATA,
    Config,
    Source,
    builder_of,
    method_class,
    method_options,
    networks_of,
    replace,
)
from gibbsian.config.recipes.defaults import in_proportion
from gibbsian.core.signatures import Option, check_options, options_of
from gibbsian.training import OptimizerOptions, TrainingOptions

BOX = "half-width of the box a bounded energy of vectors lives on, in scaled units, auto or none"
LOG_WITH = "also send each logged row to tensorboard, or to package.module:function"
ASIDE = re.compile(r"[;:.]( |$)| \(|, (?=1 |as )")
"""Where the first words of a help text end, which are what ``--help`` shows of it."""
FIRST = ("rounds", "batch", "seed", "device", "steps")
"""Of the options of training and of a sampler, those that ``--help`` lists."""
MORE = "--help-all lists the options of data, networks and optimizers too."
DEPENDS = (
    "Defaults depend on the data: --data DATA --print-config prints those that are used for them."
)
ALL = (
    "Every entry that --print-config prints can be given the same way, as in --threads 2 or "
    "--{}-optimizer.betas 0.5 0.9."
)


class Given(NamedTuple):
    """What a command line asks for beside the configuration."""

    config: Config
    out: Path | None
    print_config: bool
    log_with: str | None


def fill(base: Config, arguments: list[str]) -> Given:
    """``base`` changed by the options of the command line; ValueError in one sentence for an unfit one.

    Leaves by SystemExit(0) after ``--help`` or ``--help-all``.
    """
    base = replace(base, **_said(arguments, ("data",)))
    base = replace(base, **_said(arguments, base.networks))
    _check_networks(base, arguments)
    everything, short = "--help-all" in arguments, {"-h", "--help"} & set(arguments)
    level = 1 if everything else 0 if short else 2
    arguments = ["--help" if word == "--help-all" else word for word in arguments]
    record, default = _record(base, level)
    args = parse(record, arguments, f"train {base.method}", default)
    changes: dict[str, Any] = {}
    for name in ("data", "domain_half_width", *base.options):
        changes[name] = args[name]
    for role in base.networks:
        changes[role] = {"name": args[f"{role} name"], **args.get(role, {})}
    for group in ("source", "training", *_optimizers(base)):
        changes[group] = args[group]
    changes = {name: _plain(value) for name, value in changes.items()}
    typed = {word[2:].partition("=")[0].replace("-", "_") for word in arguments}
    config = in_proportion(replace(base, **changes), base, typed)
    return Given(config, args["out"], args["print_config"], args["log_with"])


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _said(arguments: list[str], names: Iterable[str]) -> dict[str, str]:
    """The data and networks named on the command line, on which further options depend."""
    found = {}
    for name in names:
        for word, following in pairwise([*arguments, ""]):
            if word == f"--{name}" and following and not following.startswith("--"):
                found[name] = following
            elif word.startswith(f"--{name}="):
                found[name] = word.partition("=")[2]
    return found


def _check_networks(config: Config, arguments: list[str]) -> None:
    """ValueError naming the options of a network for one that it has not."""
    for role, network in config.networks.items():
        what = f"the {role} network {network.name}"
        builder = builder_of(config.method, role, network.name)
        for word in arguments:
            for prefix in (f"--{role}.", f"--{role}-net."):
                option = word.partition("=")[0].removeprefix(prefix).replace("-", "_")
                if word.startswith(prefix):
                    check_options(what, builder, [option.removeprefix("no_")])
                    if prefix.endswith("-net."):
                        raise ValueError(f"{word} is now called {word.replace('-net.', '.', 1)}")


def _optimizers(config: Config) -> dict[str, OptimizerOptions]:
    return {f"{player}_optimizer": value for player, value in config.optimizers.items()}


def _record(base: Config, level: int) -> tuple[Any, dict[str, Any]]:
    """The type that tyro fills and its defaults; help of ``level`` 0 or 1 leaves options out."""
    cls = method_class(base.method)
    fields: dict[str, Any] = {
        "data": _field(str, level, 0, DATA, "DATA"),
        "out": _field(Path | None, level, 0, "folder of the new run", "RUN"),
        "training": Annotated[_group(TrainingOptions, level, FIRST), tyro.conf.OmitArgPrefixes],
        "source": Annotated[_group(Source, level), tyro.conf.OmitArgPrefixes],
        "domain_half_width": _field(str, level, 1, BOX),
    }
    default: dict[str, Any] = {
        "data": base.data or tyro.MISSING,
        "out": None,
        "training": dataclasses.asdict(base.training),
        "source": dataclasses.asdict(base.source),
        "domain_half_width": base.domain_half_width,
    }
    for name, option in method_options(cls).items():
        value = base.options[name]
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields[name] = _group(type(value), level, FIRST)
            default[name] = dataclasses.asdict(value)
        else:
            fields[name] = _option(option, level, 0)
            default[name] = value
    for role, network in base.networks.items():
        known = ", ".join(networks_of(cls.roles[role]))
        text = f"the {role} network, or your own package.module:Class: {known}"
        fields[f"{role} name"] = _field(str, level, 0, text, "NAME", role)
        default[f"{role} name"] = network.name
        builder = builder_of(base.method, role, network.name)
        if options_of(builder):
            fields[role] = _group(builder, level)
            default[role] = dict(network.options)
    for name, optimizer in _optimizers(base).items():
        fields[name] = _group(OptimizerOptions, level)
        default[name] = dataclasses.asdict(optimizer)
    show = "print the configuration and stop"
    fields["print_config"] = Annotated[_field(bool, level, 0, show), tyro.conf.FlagCreatePairsOff]
    fields["log_with"] = _field(str | None, level, 2, LOG_WITH, "TRACKER")
    record = _typed(cls.__name__, fields)
    more = MORE if level == 0 else ALL.format(next(iter(base.optimizers)))
    more += f" {DEPENDS}"
    record.__doc__ = f"{_summary(cls)} {more}"
    return record, default | {"print_config": False, "log_with": None}


def _typed(name: str, fields: dict[str, Any]) -> Any:
    return TypedDict(name, fields)  # type: ignore[operator]


def _summary(thing: object) -> str:
    return (thing.__doc__ or "").strip().partition("\n")[0]


def _group(kind: Any, level: int, first: tuple[str, ...] = ()) -> Any:
    """The options of ``kind``; those called ``first`` are listed at once."""
    fields = {
        name: _option(option, level, 0 if name in first else 1)
        for name, option in options_of(kind).items()
    }
    group = _typed(getattr(kind, "__name__", "Group"), fields)
    group.__doc__ = _summary(kind) if level else None
    return group


def _option(option: Option, level: int, tier: int) -> Any:
    return _field(option.type, level, 2 if option.rare else tier, option.help)


def _field(
    kind: Any, level: int, tier: int, text: str, metavar: str | None = None, name: str | None = None
) -> Any:
    """An annotated type; hidden where its ``tier`` is above the ``level`` of help."""
    if level < 2 and tier > level:
        return Annotated[kind, tyro.conf.Suppress]
    text = ASIDE.split(text)[0] if level == 0 else text
    argument = tyro.conf.arg(help=text, metavar=metavar, name=name)
    return Annotated[kind, argument]
