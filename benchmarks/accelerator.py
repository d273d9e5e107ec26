"""What a GPU does beside this machine's CPU: the first thing to run on one, in under ten minutes.

``python -m benchmarks.accelerator`` (or ``make bench NAME=accelerator``). For every method: whether the
losses and gradients of its moves are the CPU's, whether a stopped run goes on to the same bits and on the
CPU too, how often a round makes the host wait, and rounds per second with the peak of memory, as CPU,
GPU, TF32, bfloat16 and compiled. Then chains. The exit status is 1 if anything is not as promised.

``--device cpu --quick`` goes through the same motions without a GPU.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

from gibbsian.config.config import Config, replace
from gibbsian.config.recipes import default_config, recipe
from gibbsian.config.run_folder import new_run
from gibbsian.core import PlayerUpdate, TrainingMethod
from gibbsian.core.files import write_json
from gibbsian.core.tensor_files import read_tensors
from gibbsian.data import BatchStream
from gibbsian.methods import TRAINING_METHODS
from gibbsian.models.train import device_of, load_data, resume, train_config, untrained
from gibbsian.samplers import hmc, mala, run_chains
from gibbsian.training import OptimizerOptions
from gibbsian.training.arithmetic import arithmetic
from gibbsian.training.stepper import Stepper, player_parameters
from studies.harness import machine, write_page

TOLERANCE = 1e-3
"""Of losses and gradients, relative to the CPU's, in float32 on both sides."""
DATA = {"bihm": "digits-4-binary", "super-resolution": "digits"}
COMPILED = ("lbt", "gebm", "digits-cd")
MINUTES = 9.0
VARIANTS = ("cpu", "device", "tf32", "bfloat16", "compiled")
CPU = torch.device("cpu")

Record = dict[str, Any]


class Stopped(Exception):
    """Ends a run in its middle, as a crash would."""


def configuration(name: str) -> Config:
    """The defaults of a method, or a recipe, on few rows and for few rounds."""
    config = (
        recipe(name)
        if name not in TRAINING_METHODS
        else default_config(name, DATA.get(name, "ring8"))
    )
    training = {"rounds": 4, "log_every": 1, "save_every": 0, "ema": 0.0, "seed": 1}
    return replace(config, source={"max_rows": 1_000}, training=training)


def differentiated(
    method: TrainingMethod, move: PlayerUpdate, inputs: list[Tensor]
) -> list[Tensor]:
    """The value of ``move``'s loss as ``method`` has it, and all its gradients in one row."""
    value = move.loss.__func__(method, *inputs).value  # type: ignore[attr-defined]
    gradients = torch.autograd.grad(value, list(player_parameters(method, move.player).values()))
    return [value.detach(), torch.cat([gradient.flatten() for gradient in gradients])]


def correct(name: str, device: torch.device) -> Record:
    """The largest relative difference of a loss or a gradient over some rounds, from the CPU's."""
    dataset = load_data(configuration(name))
    config, method = untrained(configuration(name), dataset)
    data = BatchStream(
        dataset.train,
        dataset.transform,
        batch_size=config.training.batch,
        seed=1,
        device=CPU,
        targets=dataset.targets.get("train"),
    )
    plain = OptimizerOptions("sgd", lr=1.0)
    optimizers = {
        player: getattr(config, f"{player}_optimizer", plain) for player in method.players
    }
    stepper, rng, worst = Stepper(method, optimizers), Generator().manual_seed(1), 0.0
    with arithmetic("float32", False, device):
        for index in range(config.training.rounds):
            for move in method.round(index, data, rng):
                worst = max(worst, difference(method, move, device))
                stepper.step(move, index)
    return {"difference": worst, "as promised": worst <= TOLERANCE}


def difference(method: TrainingMethod, move: PlayerUpdate, device: torch.device) -> float:
    """The larger one of the loss and of all its gradients, relative to the CPU's."""
    there = copy.deepcopy(method).to(device)
    found = differentiated(there, move, [tensor.to(device) for tensor in move.inputs])
    truth = differentiated(method, move, list(move.inputs))
    return max(
        float((a.cpu().double() - b.double()).norm() / b.double().norm().clamp_min(1e-6))
        for a, b in zip(found, truth, strict=True)
    )


def resumed(name: str, device: torch.device) -> Record:
    """Whether a run that stops after round 2 of 4 goes on to the same bits, and on the CPU at all."""
    training = {"device": str(device), "deterministic": True, "save_every": 2}
    config = replace(configuration(name), training=training)

    def stop(row: Mapping[str, float]) -> None:
        if row["round"] == 3:
            raise Stopped

    with tempfile.TemporaryDirectory() as folder:
        whole, part, moved = (Path(folder) / kind for kind in ("whole", "part", "moved"))
        train_config(config, new_run(whole))
        for path in (part, moved):
            with contextlib.suppress(Stopped):
                train_config(config, new_run(path), watch=stop)
        resume(part)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other random numbers from there on
            resume(moved, device="cpu")
        one, two = (read_tensors(path / "model" / "model.safetensors")[0] for path in (whole, part))
    same = all(torch.equal(one[key], two[key]) for key in one)
    return {"same bits": same, "as promised": same}


def waits(name: str, device: torch.device) -> Record:
    """How often a round makes the host wait for the device; not known but on CUDA."""
    if device.type != "cuda":
        return {}
    found = [_waits(name, device, rounds) for rounds in (10, 20)]
    return {"a round": (found[1] - found[0]) / 10}


def _waits(name: str, device: torch.device, rounds: int) -> int:
    """Waits between two lines of metrics ``rounds`` apart, those of the second line among them."""
    training = {"device": str(device), "rounds": 2 * rounds, "log_every": rounds}
    config = replace(configuration(name), training=training)

    def look(row: Mapping[str, float]) -> None:
        torch.cuda.set_sync_debug_mode("warn" if row["round"] == rounds else "default")

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train_config(config, None, watch=look)
    return sum("synchronizing" in str(warning.message) for warning in caught)


def speed(name: str, device: torch.device, seconds: float, **training: Any) -> Record:
    """Rounds per second after a warm-up of as many rounds, and the peak of the device's memory."""
    rounds, dataset = 4, load_data(configuration(name))
    while True:
        stamps: list[float] = []

        def look(row: Mapping[str, float], stamps: list[float] = stamps) -> None:
            stamps.append(time.perf_counter())  # values have been read: the device is done
            if device.type == "cuda" and len(stamps) == 1:
                torch.cuda.reset_peak_memory_stats(device)

        options = {"rounds": 2 * rounds, "log_every": rounds, "device": str(device)} | training
        train_config(replace(configuration(name), training=options), None, dataset, watch=look)
        taken = stamps[1] - stamps[0]
        if taken >= seconds / 2 or rounds >= 100_000:
            break
        rounds = min(100_000, int(rounds * max(2.0, seconds / max(taken, 1e-3))))
    found: Record = {"rounds per second": rounds / taken}
    if device.type == "cuda":
        found["peak MB"] = torch.cuda.max_memory_allocated(device) / 2**20
    return found


class Bowl(nn.Module):
    """A network's energy of points in the plane, confined by a square."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).squeeze(1) + 0.5 * x.square().sum(1)


def chains(device: torch.device, seconds: float, compiled: bool) -> Record:
    """Steps of all chains per second, by kernel and number of chains."""
    many = 16_384 if seconds > 0.1 else 512
    torch.manual_seed(0)
    energy = Bowl().to(device).requires_grad_(False)
    found: Record = {}
    for label, kernel in (("mala", mala(energy, 0.05)), ("hmc", hmc(energy, 0.1, 10))):
        for n in (256, many):
            rng = Generator(device).manual_seed(0)
            x0 = torch.randn(n, 2, generator=rng, device=device)
            steps, taken = 4, 0.0
            run_chains(kernel, x0, steps, rng, keep="last", compile=compiled)
            while taken < seconds / 2:
                steps = 2 * steps
                begun = time.perf_counter()
                run_chains(kernel, x0, steps, rng, keep="last", compile=compiled).x.sum().item()
                taken = time.perf_counter() - begun
            found[f"{label}, {n} chains"] = n * steps / taken
    return found


def tried(measure: Callable[..., Record], *args: Any, **options: Any) -> Record:
    """What ``measure`` finds, or why it could not: one method's fault must not cost the others' figures."""
    try:
        return measure(*args, **options)
    except (RuntimeError, ValueError) as error:
        return {"failed": f"{type(error).__name__}: {str(error).splitlines()[0]}"}


def measured(device: torch.device, names: list[str], quick: bool) -> Record:
    """Everything, what matters most first; compiled code last and only while there is time."""
    begun, seconds = time.monotonic(), 0.02 if quick else 1.0
    variants: dict[str, tuple[torch.device, Record]] = {
        "cpu": (CPU, {}),
        "device": (device, {}),
        "bfloat16": (device, {"float_precision": "bfloat16"}),
        "tf32": (device, {"float_precision": "tf32"}),
    }
    methods: dict[str, Record] = {name: {} for name in names}
    for name, row in methods.items():
        row["against the CPU"] = tried(correct, name, device)
    for name, row in methods.items():
        row["resume"] = tried(resumed, name, device)
        row["waits"] = tried(waits, name, device)
    for name, row in methods.items():
        for label, (where, options) in variants.items():
            row[label] = tried(speed, name, where, seconds, **options)
    record: Record = {"device": str(device), "methods": methods}
    record["chains"] = {
        "cpu": tried(chains, CPU, seconds, False),
        "device": tried(chains, device, seconds, False),
    }
    for name in COMPILED:
        if name in methods and not quick and time.monotonic() - begun < 60 * MINUTES - 120:
            methods[name]["compiled"] = tried(speed, name, device, seconds, compile=True)
    if not quick and time.monotonic() - begun < 60 * MINUTES - 60:
        record["chains"]["compiled"] = tried(chains, device, seconds, True)
    record["minutes"] = (time.monotonic() - begun) / 60
    record["as promised"] = all(
        row[part].get("as promised", False)
        for row in methods.values()
        for part in ("against the CPU", "resume")
    )
    return record


def table(record: Mapping[str, Any]) -> str:
    """Two tables: the methods', the chains'."""
    columns = [
        ("against the CPU", "difference", "difference", "{:.1e}"),
        ("resume", "same bits", "resumed to the same bits", "{}"),
        ("waits", "a round", "waits a round", "{:.1f}"),
        *((v, "rounds per second", f"{v}, rounds/s", "{:.0f}") for v in VARIANTS),
        ("device", "peak MB", "peak MB", "{:.0f}"),
        ("bfloat16", "peak MB", "bfloat16, peak MB", "{:.0f}"),
    ]
    lines = [row_of(["", *(head for _, _, head, _ in columns)])]
    lines.append(row_of(["---"] * (len(columns) + 1)))
    for name, row in record["methods"].items():
        found = [cell(row.get(part, {}), key, form) for part, key, _, form in columns]
        lines.append(row_of([name, *found]))
    kinds = list(record["chains"])
    lines += ["", row_of(["steps of chains per second", *kinds])]
    lines.append(row_of(["---"] * (len(kinds) + 1)))
    for label in record["chains"]["cpu"]:
        rates = [cell(record["chains"][kind], label, "{:.3g}") for kind in kinds]
        lines.append(row_of([label, *rates]))
    return "\n".join(lines)


def cell(found: Record, key: str, form: str) -> str:
    return form.format(found[key]) if key in found else found.get("failed", "")


def row_of(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make bench NAME=accelerator", description=__doc__)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, mps or cpu")
    parser.add_argument("--quick", action="store_true", help="a tiny version, to see that it works")
    parser.add_argument("--methods", default=",".join([*TRAINING_METHODS, "digits-cd"]))
    parser.add_argument("--out", type=Path, default=Path("docs/results/bench-accelerator.json"))
    options = parser.parse_args(argv)
    device = device_of(options.device)
    record = {
        "machine": machine(),
        **measured(device, options.methods.split(","), options.quick),
    }
    if device.type == "cuda":
        record["machine"]["gpu"] = torch.cuda.get_device_name(device)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.out, record)
    facts = ", ".join(f"{key} {value}" for key, value in record["machine"].items())
    about = f"`make bench NAME=accelerator` in {record['minutes']:.1f} minutes. {facts}."
    write_page(options.out, "A GPU beside the CPU", about, table(record))
    return 0 if record["as promised"] else 1


if __name__ == "__main__":
    sys.exit(main())
