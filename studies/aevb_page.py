"""What the page of figures 2 and 3 of Kingma and Welling (2014) says: verdicts, checks, curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import mean, variance
from typing import Any

import torch

from studies.harness import Result

PARTS = ("train", "test")
DIGITS = "marginal / 1000 digits / 3"
RIVALS = ("wake-sleep", "MCEM")


def render(results: Mapping[str, Result]) -> str:
    """The claims, the checks of the likelihoods, then every curve as lines."""
    head = ("figure", "data", "N_z", "method", "seen", "train", "test")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for label, result in bounds(results).items():
        for mark in result["curve"]:
            cells_of = [*label.split(" / "), f"{mark['seen']:.0e}"]
            lines.append(f"| {' | '.join(cells_of)} | {mark['train']:.1f} | {mark['test']:.1f} |")
    picture = "![Bounds and marginal likelihoods against the observations seen](aevb.png)"
    verdicts = [*claims(results), *gaps(results), *marginal_claims(results)]
    verdicts += [*check_verdict(results), *missing(results)]
    tables = [*checks(results), "", *marginal_curves(results), "", *lines]
    return "\n".join([*verdicts, "", picture, "", *tables])


def missing(results: Mapping[str, Result]) -> list[str]:
    """What the page would hold and has not been run."""
    lines = [f"- {DIGITS} / {who}: not run yet." for who in RIVALS if not trainings(results, who)]
    if not any(label.startswith("check / ") for label in results):
        lines.append("- The check of figure 2's networks: not run yet.")
    return lines


def check_verdict(results: Mapping[str, Result]) -> list[str]:
    """How many rows of figure 2's networks fell below a bound of their own, or could not be told."""
    found = [result for label, result in results.items() if label.startswith("check / ")]
    if not found:
        return []
    reports = [result[f"{part} check"] for result in found for part in PARTS]
    rows, below, unreliable = (
        sum(report[name] for report in reports) for name in ("rows", "below bound", "unreliable")
    )
    networks = f"The check of figure 2's networks ({len(found)} of 10)"
    return [
        f"- {networks}: of {rows} rows {below} are below a bound of theirs; "
        f"{unreliable} are unreliable, left out of the means."
    ]


def bounds(results: Mapping[str, Result]) -> dict[str, Result]:
    """The curves of figure 2."""
    return {label: r for label, r in results.items() if label.startswith("bound / ")}


def claims(results: Mapping[str, Result]) -> list[str]:
    """AEVB minus wake-sleep at the end of a panel, and whether it leads from 1e5 observations on."""
    lines = []
    for label, result in bounds(results).items():
        panel, _, who = label.rpartition(" / ")
        rival = results.get(f"{panel} / wake-sleep")
        if who == "AEVB" and rival is not None:
            lines.append(f"- {panel}: AEVB minus wake-sleep {margin(result, rival)}.")
    return lines


def margin(ours: Result, theirs: Result) -> str:
    """The final difference on train and test with twice its error, and at how many late marks it leads."""
    last, parts = (ours["curve"][-1], theirs["curve"][-1]), []
    holds = True
    for part in PARTS:
        ours_rows, their_rows = (torch.tensor(mark[f"{part} rows"]) for mark in last)
        apart = ours_rows - their_rows
        less, error = float(apart.mean()), 2 * float(apart.std()) / math.sqrt(len(apart))
        holds = holds and less > error
        parts.append(f"{less:.1f} (± {error:.1f}) on {part}")
    late = [
        a["test"] > b["test"]
        for a, b in zip(ours["curve"], theirs["curve"], strict=True)
        if a["seen"] >= 1e5
    ]
    verdict = "holds" if holds else "does not hold"
    return f"{', '.join(parts)}: {verdict}; ahead on test at {sum(late)} of {len(late)} marks"


def gaps(results: Mapping[str, Result]) -> list[str]:
    """Train minus test of AEVB at the end, by N_z."""
    found: dict[str, list[str]] = {}
    for label, result in bounds(results).items():
        _, data, latent, who = label.split(" / ")
        if who == "AEVB":
            last = result["curve"][-1]
            gap = last["train"] - last["test"]
            found.setdefault(data, []).append(f"{gap:.1f} at N_z = {latent}")
    return [f"- Train minus test of AEVB, {data}: {', '.join(g)}." for data, g in found.items()]


def trainings(results: Mapping[str, Result], who: str) -> list[Result]:
    """A contestant's runs of figure 3."""
    return [r for label, r in results.items() if label.startswith(f"{DIGITS} / {who} / ")]


def difference(
    ours: Sequence[Result], theirs: Sequence[Result], part: str, mark: int = -1
) -> tuple[float, float]:
    """Figure 3 at a mark, ours minus theirs, row by row, and its error over rows and trainings.

    Rows that failed in any run are left out.
    """
    sides = [[run["curve"][mark] for run in side] for side in (ours, theirs)]
    failed = {i for side in sides for m in side for i in m[f"{part} failed"]}
    kept = [i for i in range(len(sides[0][0][f"{part} rows"])) if i not in failed]
    rows = [torch.tensor([m[f"{part} rows"] for m in side])[:, kept] for side in sides]
    apart = rows[0].mean(0) - rows[1].mean(0)
    square = float(apart.var()) / len(kept)
    for side in rows:
        if len(side) > 1:
            square += variance(side.mean(1).tolist()) / len(side)
    return float(apart.mean()), math.sqrt(square)


def marginal_claims(results: Mapping[str, Result]) -> list[str]:
    """AEVB minus its rivals at the end of figure 3, over seeds."""
    lines, ours = [], trainings(results, "AEVB")
    for name in RIVALS:
        theirs = trainings(results, name)
        if not ours or not theirs:
            continue
        found = {part: difference(ours, theirs, part) for part in PARTS}
        shown = [f"{d:.1f} (± {2 * e:.1f}) on {part}" for part, (d, e) in found.items()]
        holds = all(d > 2 * e for d, e in found.values())
        against = all(d < -2 * e for d, e in found.values())
        verdict = "holds" if holds else "the rival is ahead" if against else "not decided"
        runs = f"{len(ours)} training{'s' if len(ours) > 1 else ''}"
        lines.append(f"- {DIGITS}, {runs}: AEVB minus {name} {', '.join(shown)}: {verdict}.")
    return lines


def marginal_curves(results: Mapping[str, Result]) -> list[str]:
    """Figure 3 by method and mark: the mean of the trainings, and what the mark cost."""
    head = ("figure 3", "rates", "seen", "train", "test", "CPU s of training")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for who in ("AEVB", *RIVALS):
        runs = trainings(results, who)
        rates = ", ".join(str(run["lr"]) for run in runs)
        for marks in zip(*(run["curve"] for run in runs), strict=True):
            values = [f"{mean(m[part] for m in marks):.1f}" for part in PARTS]
            seconds = f"{mean(m['seconds'] for m in marks):.0f}"
            cells = [who, rates, f"{marks[0]['seen']:.0e}", *values, seconds]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def checks(results: Mapping[str, Result]) -> list[str]:
    """Every likelihood row by row against its bounds: one line per run, both parts and all marks."""
    head = (
        "likelihoods of",
        "rows",
        "below a bound",
        "unreliable",
        "largest k-hat",
        "estimate minus ELBO: smallest, nats",
        "in standard errors",
        "mean",
        "importance bound: mean above ELBO",
        "grid minus estimate: mean, at most",
    )
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for label, result in results.items():
        marks = [] if label.startswith("bound / ") else result.get("curve", [result])
        if marks:
            lines.append(f"| {' | '.join([label, *check_cells(marks)])} |")
    return lines


def check_cells(marks: Sequence[Result]) -> list[str]:
    """Sums and extremes over the marks of a run."""
    # The bounds are means over all rows, so that the estimate beside them has to be one too.
    found = [
        (mean(mark[f"{part} rows"]), mark[f"{part} check"]) for mark in marks for part in PARTS
    ]
    reports = [report for _, report in found]
    bounded = [(value, report) for value, report in found if "elbo" in report]
    on_grid = [report for report in reports if "grid" in report]
    k_hats = [report["largest k-hat"] for report in reports if "largest k-hat" in report]
    cells = [
        str(sum(report["rows"] for report in reports)),
        str(sum(r["below bound"] for _, r in bounded)) if bounded else "no encoder",
        str(sum(report["unreliable"] for report in reports)),
        f"{max(k_hats):.2f}" if k_hats else "-",
    ]
    if bounded:
        cells += [
            f"{min(r[name] for _, r in bounded):.2f}" for name in ("smallest gap", "its errors")
        ]
        cells.append(f"{mean(value - r['elbo'] for value, r in bounded):.2f}")
        cells.append(f"{mean(r['importance bound'] - r['elbo'] for _, r in bounded):.2f}")
    else:
        cells += ["-"] * 4
    if not on_grid:
        return [*cells, "-"]
    above = mean(report["grid"] - value for value, report in found if "grid" in report)
    return [*cells, f"{above:.3f}, {max(r['grid above'] for r in on_grid):.2f}"]


def draw(results: Mapping[str, Result], path: Any) -> None:
    """One panel per data set and N_z; of figure 3 every training."""
    from matplotlib.figure import Figure

    shown: dict[str, list[tuple[str, Result]]] = {}
    for label, result in results.items():
        if "curve" in result:
            panel = " / ".join(label.split(" / ")[:3])
            shown.setdefault(panel, []).append((label.split(" / ")[3], result))
    figure = Figure(figsize=(3.6 * len(shown), 3.6), layout="constrained")
    axes = figure.subplots(1, len(shown), squeeze=False)[0]
    for axis, (panel, runs) in zip(axes, shown.items(), strict=True):
        named: set[str] = set()
        for who, result in runs:
            colour = {"AEVB": "C3", "wake-sleep": "C2", "MCEM": "C0"}[who]
            for part, style in (("train", "-"), ("test", "--")):
                values = [mark[part] for mark in result["curve"]]
                seen = [mark["seen"] for mark in result["curve"]]
                name = f"{who}, {part}"
                axis.plot(seen, values, style, color=colour, label=None if name in named else name)
                named.add(name)
        ends = [result["curve"][-1]["test"] for _, result in runs]
        starts = [result["curve"][0]["test"] for _, result in runs]
        axis.set(title=panel, xscale="log", xlabel="observations seen", ylabel="nats")
        span = max(ends) - max(starts)
        if min(starts) < max(starts) - 5 * span:  # a curve that starts far below hides the others
            axis.set_ylim(max(starts) - 2 * span, max(ends) + 0.2 * span)
        axis.legend(fontsize=7)
    figure.savefig(path, dpi=90)
