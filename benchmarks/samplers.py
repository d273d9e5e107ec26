"""Our samplers beside torchebm, ebmkit and BlackJAX: cost of a step, the answer, effective samples.

CPU time of one thread on one core, contestants alternating, compilation and a first run left out.
Ratios are formed within a repeat; the median is printed with the smallest and the largest.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
if hasattr(os, "sched_setaffinity"):  # JAX has no other way to keep to one thread
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import torch
from torch import Tensor

from benchmarks.contestants import ALL, GRADIENTS, OURS, Run, field
from benchmarks.targets import Target, targets
from gibbsian.core.files import read_json, write_json
from gibbsian.samplers.diagnostics import ess_bulk
from studies.harness import machine

KERNELS = ("ula", "mala", "hmc")
CHAINS = (256, 4_096, 32_768)
STEP_SIZES = {"ula": 0.01, "mala": 0.05, "hmc": 0.1}
GRIDS = {"mala": (0.02, 0.05, 0.1, 0.2, 0.4), "hmc": (0.05, 0.1, 0.15, 0.2, 0.3)}
FEWEST_STEPS = {"ula": 100, "mala": 30, "hmc": 3}
"""Of one run, so that what a library does once hardly counts: ours takes a gradient at the start."""
ESS_STEPS = {"mala": 500, "hmc": 150}
ESS_CHAINS = 256
REPEATS = 5
SECONDS = 0.07
"""CPU time that one run of ours should take; it sets the number of steps of all contestants."""
FORGETTING_STEPS = {"ula": 600, "mala": 120, "hmc": 30}
"""Until the squares, which relax within a time of 1, no longer know their start."""
TOLERANCE = 4.5
"""Standard errors: with the 30 or so comparisons made, a false alarm in 2 of 10 000 benchmarks."""

Record = dict[str, Any]


def start(chains: int) -> Tensor:
    """Uniform on [-1.5, 1.5]^2: in a quartic's far tail Langevin proposals are rejected for ages."""
    return 3 * torch.rand(chains, 2, generator=torch.Generator().manual_seed(1)) - 1.5


def cpu_seconds(run: Run, seed: int) -> float:
    begun = time.process_time()
    run(seed)
    return time.process_time() - begun


def bare(target: Target, kernel: str, x0: Tensor, steps: int) -> Run:
    """The gradient calls that ``steps`` steps contain, and nothing else."""

    def run(seed: int) -> Tensor:
        for _ in range(steps * GRADIENTS[kernel]):
            x = x0.detach().requires_grad_()
            torch.autograd.grad(target.energy(x).sum(), x)
        return x0

    return run


def alternating(runs: Mapping[str, Run], repeats: int) -> dict[str, list[float]]:
    """CPU seconds of every run, each repeat starting with another contestant."""
    for run in runs.values():
        run(0)
    names, seconds = list(runs), {name: [] for name in runs}
    for repeat in range(repeats):
        first = repeat % len(names)
        for name in names[first:] + names[:first]:
            seconds[name].append(cpu_seconds(runs[name], repeat + 1))
    return seconds


def ratios(seconds: Mapping[str, Sequence[float]], name: str, to: str) -> list[float]:
    """[median, smallest, largest] of ``name`` / ``to`` over the repeats."""
    each = [a / b for a, b in zip(seconds[name], seconds[to], strict=True)]
    return [median(each), min(each), max(each)]


def step_cost(target: Target, kernel: str, chains: int, seconds: float, repeats: int) -> Record:
    """CPU time of all contestants at equal step size, steps and start."""
    torch.compiler.reset()  # each cell compiles its own; there is a limit on how many live at once
    x0, h = start(chains), STEP_SIZES[kernel]
    probe = next(c for c in ALL if c.name == OURS).build(target, kernel, h, x0, 4, False)
    probe(0)
    affordable = min(2_000, round(4 * seconds / cpu_seconds(probe, 0)))
    steps = max(FEWEST_STEPS[kernel], affordable)
    runs = {c.name: c.build(target, kernel, h, x0, steps, False) for c in field(target, kernel)}
    runs["bare gradients"] = bare(target, kernel, x0, steps)
    taken = alternating(runs, repeats)
    return {
        "target": target.name,
        "kernel": kernel,
        "chains": chains,
        "steps": steps,
        "microseconds_per_step": {n: 1e6 * median(t) / steps for n, t in taken.items()},
        "over_ours": {n: ratios(taken, n, OURS) for n in taken},
        "ours_over_bare": ratios(taken, OURS, "bare gradients"),
    }


def answer(target: Target, kernel: str, chains: int) -> Record:
    """E[(x_1^2 + x_2^2) / 2] after a time in which the start is forgotten, of every contestant."""
    torch.compiler.reset()
    h, x0, truth = STEP_SIZES[kernel], start(chains), target.second_moment()
    steps = FORGETTING_STEPS[kernel]
    found = {}
    for seed, contestant in enumerate(field(target, kernel)):  # some draw the same noise per seed
        x = contestant.build(target, kernel, h, x0, steps, False)(seed)[0]
        value = x.double().square().mean(1)
        found[contestant.name] = [float(value.mean()), float(value.std()) / chains**0.5]
    ours = found[OURS]
    # The unadjusted sampler has a bias of its own at this step size: it is compared with ours.
    apart = {
        name: (value - (ours[0] if kernel == "ula" else truth))
        / ((error**2 + (ours[1] ** 2 if kernel == "ula" else 0)) ** 0.5)
        for name, (value, error) in found.items()
    }
    return {
        "target": target.name,
        "kernel": kernel,
        "truth": truth,
        "found": found,
        "errors_apart": apart,
        "same": all(abs(z) < TOLERANCE for z in apart.values()),
    }


def efficiency(draws: Tensor) -> float:
    """The smallest bulk effective sample size of the coordinates and their squares."""
    return float(ess_bulk(torch.cat([draws, draws.square()], -1)).min())


def ess_per_second(target: Target, kernel: str, steps: int, repeats: int) -> Record:
    """Effective samples per CPU second, each contestant at its best step size of the grid."""
    burn, x0 = steps // 5, start(ESS_CHAINS)
    best: dict[str, tuple[float, float, Run]] = {}
    torch.compiler.reset()
    for contestant in field(target, kernel):
        for h in GRIDS[kernel]:
            run = contestant.build(target, kernel, h, x0, steps, True)
            run(0)
            rate = efficiency(run(1)[burn:]) / min(cpu_seconds(run, seed) for seed in (2, 3))
            if contestant.name not in best or rate > best[contestant.name][0]:
                best[contestant.name] = rate, h, run
    runs = {name: run for name, (_, _, run) in best.items()}
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats):
        for name, run in runs.items():
            begun = time.process_time()
            draws = run(10 + repeat)
            taken = time.process_time() - begun
            rates[name].append(efficiency(draws[burn:]) / taken)
    return {
        "target": target.name,
        "kernel": kernel,
        "chains": ESS_CHAINS,
        "steps": steps,
        "step_size": {name: h for name, (_, h, _) in best.items()},
        "per_second": {n: [median(r), min(r), max(r)] for n, r in rates.items()},
    }


def span(values: Sequence[float] | None, digits: int = 2) -> str:
    if values is None:
        return ""
    middle, low, high = (f"{v:,.{digits}f}" for v in values)
    return f"{middle} ({low} to {high})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows]]
    return "\n".join(lines)


def render(record: Record) -> str:
    """The Markdown of the results."""
    names = [c.name for c in ALL if c.name != OURS]
    groups: dict[str, list[Record]] = {"cost": [], "answer": [], "ess": []}
    for cell, result in record["results"].items():
        groups[cell.split(" / ")[0]].append(result)
    costs = [
        [r["target"], r["kernel"], f"{r['chains']:,}"]
        + [f"{r['microseconds_per_step'][OURS]:,.0f}", span(r["ours_over_bare"])]
        + [span(r["over_ours"].get(name)) for name in names]
        for r in groups["cost"]
    ]
    answers = [
        [r["target"], r["kernel"], f"{r['truth']:.5f}"]
        + [
            f"{r['found'][n][0]:.4f} ± {r['found'][n][1]:.4f}" if n in r["found"] else ""
            for n in [OURS, *names]
        ]
        + ["yes" if r["same"] else "NO"]
        for r in groups["answer"]
    ]
    rates = [
        [r["target"], r["kernel"]]
        + [
            f"{span(r['per_second'][n], 0)}, h = {r['step_size'][n]:g}"
            if n in r["per_second"]
            else ""
            for n in [OURS, *names]
        ]
        for r in groups["ess"]
    ]
    facts = ", ".join(f"{k} {v}" for k, v in record["machine"].items())
    libraries = ", ".join(f"{k} {v}" for k, v in record["versions"].items())
    return "\n\n".join(
        [
            "# Samplers beside other libraries",
            "`make bench`. CPU time of one thread pinned to one core; contestants alternate over "
            f"{REPEATS} repeats; medians with (smallest to largest). *gibbsian* is the plain "
            "eager sampler, *compiled* and *analytic* the same one with `compile=True` or with an "
            "energy that has its gradient written down. All start at the same points; compilation is "
            f"not counted. A row is measured in one sitting; rows may be from several, on a machine with "
            f"other work. {facts}; {libraries}.",
            "## CPU time of a step, as a multiple of ours",
            "Equal step size and number of steps; above 1 is slower than *gibbsian*. *over bare*: our "
            "time over that of the gradient calls a step contains.",
            table(["target", "kernel", "chains", f"{OURS} (µs)", "over bare", *names], costs),
            "## The same answer",
            "E[(x₁² + x₂²) / 2] over independent chains with its standard error. MALA and HMC are "
            "compared with the truth (quadrature), unadjusted Langevin, which is biased, with ours; "
            f"*same*: nobody is {TOLERANCE:g} standard errors away.",
            table(["target", "kernel", "truth", OURS, *names, "same"], answers),
            "## Effective samples per CPU second",
            f"{ESS_CHAINS} chains; the smallest bulk effective sample size of the "
            "coordinates and their squares, each contestant at its best step size of one grid.",
            table(["target", "kernel", OURS, *names], rates),
        ]
    )


def cells(quick: bool) -> dict[str, Callable[[], Record]]:
    """Every measurement by name, those that decide most first."""
    every, repeats = targets(), 2 if quick else REPEATS
    found: dict[str, Callable[[], Record]] = {}
    for target, kernel, chains in product(every, KERNELS, CHAINS[:1] if quick else CHAINS):
        seconds = 0.01 if quick else SECONDS
        run = partial(step_cost, target, kernel, chains, seconds, repeats)
        found[f"cost / {target.name} / {kernel} / {chains}"] = run
    for target, kernel in product(every, KERNELS):
        run = partial(answer, target, kernel, 512 if quick else 4_096)
        found[f"answer / {target.name} / {kernel}"] = run
    for target, (kernel, steps) in product(every, ESS_STEPS.items()):
        run = partial(ess_per_second, target, kernel, 40 if quick else steps, repeats)
        found[f"ess / {target.name} / {kernel}"] = run
    return found


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tiny version, to see that it works")
    parser.add_argument(
        "--fresh", action="store_true", help="measure again what stands in the file"
    )
    parser.add_argument("--out", type=Path, help="JSON file; a .md table is put beside it")
    options = parser.parse_args(argv)
    name = "bench-samplers-quick" if options.quick else "bench-samplers"
    out = options.out or Path("docs/results") / f"{name}.json"
    torch.set_num_threads(1)
    packages = ("torch", "torchebm", "ebmkit", "blackjax", "jax")
    record: Record = {
        "machine": machine(),
        "versions": {package: version(package) for package in packages},
        "step_sizes": STEP_SIZES,
        "grids": GRIDS,
        "results": {},
    }
    if out.exists() and not options.fresh:
        record["results"] = read_json(out)["results"]
    out.parent.mkdir(parents=True, exist_ok=True)
    for cell, measure in cells(options.quick).items():
        if cell in record["results"]:
            continue
        begun = time.process_time()
        record["results"][cell] = measure()
        print(f"{cell}: {time.process_time() - begun:.0f} s of CPU", file=sys.stderr, flush=True)
        write_json(out, record)
    out.with_suffix(".md").write_text(render(record) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
