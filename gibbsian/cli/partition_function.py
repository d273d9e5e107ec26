"""``gibbsian log-z``: the normaliser of any energy that can be imported."""

from __future__ import annotations

import dataclasses
import inspect
import json
from pathlib import Path
from typing import Annotated

import torch
import tyro
from torch import Tensor
from tyro.conf import Positional

from gibbsian.cli.console import parse, say
from gibbsian.config.config import check_seed
from gibbsian.core import Energy, Estimate, NotDefined, progress
from gibbsian.core.imports import import_named
from gibbsian.core.measures import RealSpace
from gibbsian.core.module_errors import blaming
from gibbsian.core.types import decimals
from gibbsian.data.readers import read
from gibbsian.evaluation.log_z.effort import Amount, predicted_seconds
from gibbsian.evaluation.log_z.mixture_bridge import MOST
from gibbsian.evaluation.log_z.plain import check_callable, log_z
from gibbsian.models.train import device_of
from gibbsian.training.rounds_shown import duration


@dataclasses.dataclass(frozen=True)
class LogZ:
    """The log of the integral of exp(-energy), from both sides, with what there is to warn of.

    Args:
        energy: package.module:name of a function of PyTorch tensors, points [n, dim] to energies [n].
        dim: how many numbers one point has.
        samples_from: file of points where the mass is, one a row: CSV, npy, npz or Parquet; best samples of
            the density, with as many in each mode as it has mass.
        domain_half_width: the integral is over [-B, B]^dim instead of all of R^dim.
        log_z_effort: quick, normal or high; the interval is the narrower.
        seed: of all randomness.
        device: where to compute.
        json: print the figures as JSON.
    """

    energy: Annotated[Positional[str], tyro.conf.arg(metavar="MODULE:NAME")]
    dim: int
    samples_from: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    domain_half_width: Annotated[float | None, tyro.conf.arg(metavar="B")] = None
    log_z_effort: Amount = "normal"
    seed: int = 0
    device: str = "auto"
    json: bool = False


def log_z_(arguments: list[str]) -> int:
    """log Z of an energy: `log-z package.module:energy --dim 10 --samples-from points.csv`."""
    args = parse(LogZ, arguments, "log-z")
    check_seed(args.seed)
    if args.dim < 1:
        raise ValueError(f"--dim must be at least 1; got {args.dim}")
    if args.domain_half_width is not None and not args.domain_half_width > 0:
        raise ValueError(f"--domain-half-width must be positive; got {args.domain_half_width}")
    torch.set_num_threads(1)
    device = device_of(args.device)
    energy = named_energy(args.energy)
    samples = None if args.samples_from is None else _points(args.samples_from, args.dim).to(device)
    box = (
        None
        if args.domain_half_width is None
        else (-args.domain_half_width, args.domain_half_width)
    )
    if args.dim > 3 and samples is not None and samples.ndim == 2 and samples.shape[1] == args.dim:
        check_callable(energy, RealSpace((args.dim,)), device)
        foretell(energy, samples, args.log_z_effort)
    with progress.shown(), progress.phase("log Z"):
        found = log_z(
            energy,
            args.dim,
            samples=samples,
            box=box,
            effort=args.log_z_effort,
            seed=args.seed,
            device=device,
        )
    if isinstance(found, NotDefined):
        print(json.dumps({"not_defined": found.why}) if args.json else f"log Z is {found}")
        return 0
    if args.json:
        sides = {"lower": side(found.lower), "upper": side(found.upper)}
        both = {"interval95": found.interval95, "warnings": found.warnings}
        print(json.dumps({**sides, **both}, indent=2))
        return 0
    print(f"{found.name} {found.sides}")
    if (ends := found.interval95) is not None:
        few = decimals(max(min(found.lower.stderr, found.upper.stderr), 1e-12))
        low, high = (f"{end:.{few}f}" for end in ends)
        say(
            "note: ± is one standard error; the 95 % interval, 1.96 of them or, of skewed weights, more: "
            f"{low} to {high}"
        )
    for warning in found.warnings:
        say(f"warning: {warning}")
    if why := found.lower.diagnostics.get("no_quadrature"):
        say(f"note: not exact, since {why}; a mixture stands in for the grid")
    return 0


def _points(path: Path, dim: int) -> Tensor:
    """The points in the file, ``[n, dim]``; ValueError, in one sentence, where they are not of that form."""
    try:
        x = read(path).x
    except ValueError as error:
        # What is said of a table to learn from names options that there are not here.
        why = str(error).partition("; ")[0]
        raise ValueError(
            f"{why}; --samples-from takes numbers alone, {dim} in each row and no gap"
        ) from error
    if x.ndim != 2 or x.shape[1] != dim:
        raise ValueError(
            f"{path} holds points of {' x '.join(map(str, x.shape[1:]))} numbers, and --dim is {dim}"
        )
    return torch.tensor(x).float()


def foretell(energy: Energy, points: Tensor, effort: Amount) -> None:
    """Say how many seconds log Z will take that starts from ``points [n, *event]``."""
    low, high = predicted_seconds(energy, points[:MOST], effort)
    few, many = (duration(max(1.0, seconds)) for seconds in (low, high))
    say(f"log Z takes about {few}, {many} where annealing must help")


def named_energy(name: str) -> Energy:
    """The energy that ``package.module:name`` names; a class is called without arguments.

    Raises ValueError in one sentence where there is none.
    """
    found = import_named(name, "energy", "name")
    if inspect.isclass(found):
        with blaming(f"your own energy {name}"):
            found = found()
    if not callable(found):
        raise ValueError(f"{name} is no function; an energy maps points [n, dim] to numbers [n]")
    return found


def side(estimate: Estimate) -> dict[str, object]:
    """One side as JSON shows it."""
    names = ("value", "stderr", "standing", "how")
    return {name: getattr(estimate, name) for name in names}
