"""A short table of how chains went, with a verdict in words."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from gibbsian.core.numerics import as_double
from gibbsian.samplers import diagnostics

R_HAT_LIMIT = 1.01
ESS_LIMIT = 400
"""Limits of Vehtari et al. (2021): R-hat below 1.01, 400 effective draws in bulk and tails."""
DIVERGENCE_LIMIT = 1e-3
"""Share of proposals that may be broken before the chains count as not converged."""
TOGETHER = 0.05
"""Spread of the start points, as a share of that of the draws, below which they are one place."""
BIASED = (
    "converged, but to what steps without a Metropolis test keep, not to the target: that bias "
    "grows with the step size and shows in no agreement of chains; compare with half the step "
    "size, or use mala or hmc"
)
ONE_PLACE = (
    "not shown to have converged: the chains agree, but all started in one place, and agree just "
    "as well where none has left a mode; start them apart"
)
MOST_COORDINATES = 64
"""Coordinates diagnosed; of larger events that many, evenly spaced."""
SHOWN = 6
"""Coordinates of those that a table shows."""
HEAD = ("", "mean", "std", "mcse", "ess_bulk", "ess_tail", "r_hat")


@dataclass(frozen=True)
class ChainSummary:
    """Diagnostics per coordinate ``[p]``, p coordinates called ``names``, and the verdict.

    ``r_hat`` is the nested form where the chains are grouped in superchains. Fields are empty where
    too few draws are kept to say anything.
    """

    names: tuple[str, ...]
    mean: Tensor
    std: Tensor
    mcse: Tensor
    ess_bulk: Tensor
    ess_tail: Tensor
    r_hat: Tensor
    verdict: str

    @property
    def converged(self) -> bool:
        """Whether nothing speaks against convergence."""
        return self.verdict in ("converged", BIASED)

    def __str__(self) -> str:
        if not self.names:
            return self.verdict
        row = "{:>10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7}"
        lines = [row.format(*cells) for cells in (HEAD, *self.rows())]
        return "\n".join([*lines, *self.notes()])

    def rows(self) -> list[tuple[str, ...]]:
        """Of at most ``SHOWN`` coordinates, the worst by R-hat, the cells below ``HEAD``."""
        worst = self.r_hat.nan_to_num(torch.inf).argsort(descending=True, stable=True)
        numbers = (self.mean, self.std, self.mcse, self.ess_bulk, self.ess_tail, self.r_hat)
        columns = list(zip(numbers, (".3g", ".3g", ".2g", ".0f", ".0f", ".3f"), strict=True))
        return [
            (self.names[j], *(format(float(values[j]), places) for values, places in columns))
            for j in sorted(worst[:SHOWN].tolist())
        ]

    def notes(self) -> list[str]:
        """Whether coordinates are left out of ``rows``, and the verdict."""
        left_out = f"{SHOWN} of {len(self.names)} coordinates shown, the worst by r_hat"
        return [*([left_out] if len(self.names) > SHOWN else []), self.verdict]


def summarise_chains(
    draws: Tensor,
    divergent_share: float = 0.0,
    superchains: int = 0,
    *,
    start_std: Tensor | None = None,
    exact: bool = True,
) -> ChainSummary:
    """Diagnose ``draws [kept, chains, *event]``.

    ``superchains`` > 0: that many consecutive groups of chains shared their start; R-hat is then
    the nested form, which suits many short chains. ``divergent_share``: broken proposals per step.
    ``start_std [*event]``: the spread of the start points: R-hat compares chains and is blind where
    all start in one place. ``exact``: whether the kernel keeps its target.
    """
    kept, chains = draws.shape[:2]
    if kept < 4:
        why = f"not converged: {kept} kept draws per chain cannot show convergence; keep at least 4"
        none = torch.empty(0)
        return ChainSummary((), none, none, none, none, none, none, why)
    columns = draws.reshape(kept, chains, -1)
    size = columns.shape[2]
    chosen = torch.linspace(0, size - 1, min(size, MOST_COORDINATES)).round().long()
    x = as_double(columns[..., chosen.to(columns.device)])
    labels = [",".join(map(str, i)) for i in itertools.product(*map(range, draws.shape[2:]))]
    names = tuple(f"x[{labels[j]}]" for j in chosen.tolist())
    r_hat = diagnostics.nested_r_hat(x, superchains) if superchains else diagnostics.r_hat(x)
    bulk, tail = diagnostics.ess_bulk(x), diagnostics.ess_tail(x)
    pooled, mcse = x.flatten(0, 1), diagnostics.mcse_mean(x)
    faults = _faults(names, r_hat, bulk, tail, divergent_share)
    std = pooled.std(0)
    verdict = "converged" if exact else BIASED
    if faults:
        verdict = "not converged: " + "; ".join(faults)
    elif start_std is not None and in_one_place(
        start_std.flatten()[chosen.to(start_std.device)], std
    ):
        verdict = ONE_PLACE
    return ChainSummary(names, pooled.mean(0), std, mcse, bulk, tail, r_hat, verdict)


def in_one_place(start_std: Tensor, std: Tensor) -> bool:
    """Whether start points of spread ``start_std [p]`` lie together, beside draws of spread ``std [p]``."""
    return bool(((start_std.to(std) < TOGETHER * std) | (std == 0)).all())


def _faults(
    names: tuple[str, ...], r_hat: Tensor, bulk: Tensor, tail: Tensor, divergent_share: float
) -> list[str]:
    faults = []
    if bool(r_hat.isnan().any()):
        faults.append(f"{names[int(r_hat.isnan().int().argmax())]} never moved")
    worst = int(r_hat.nan_to_num(0.0).argmax())
    if r_hat[worst] > R_HAT_LIMIT:
        faults.append(f"R-hat {float(r_hat[worst]):.3f} of {names[worst]} is above {R_HAT_LIMIT}")
    for where, ess in (("bulk", bulk), ("tails", tail)):
        least = int(ess.argmin())
        if ess[least] < ESS_LIMIT:
            count = f"{float(ess[least]):.0f} effective draws"
            faults.append(f"{count} in the {where} of {names[least]} are below {ESS_LIMIT}")
    if divergent_share > DIVERGENCE_LIMIT:
        faults.append(f"{divergent_share:.2%} of the proposals diverged")
    return faults
