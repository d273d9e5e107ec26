"""Commands on a trained model: ``sample``, ``score``, ``evaluate``."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import os
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import Positional

from gibbsian.cli.console import parse, say
from gibbsian.cli.partition_function import foretell
from gibbsian.config.run_folder import Run, open_run
from gibbsian.config.run_lock import writer
from gibbsian.core import progress
from gibbsian.core.dialect import Dialect
from gibbsian.core.protocols import HasClasses, HasLatentTarget
from gibbsian.core.records import write_record
from gibbsian.core.text import printable
from gibbsian.data.cells import read_back
from gibbsian.data.dialects import dialect_of
from gibbsian.data.labels import read_labels
from gibbsian.data.masks import read_mask, read_observation
from gibbsian.data.queries import read_points_in_parts
from gibbsian.evaluation.log_z.effort import Amount
from gibbsian.integrations.arviz import write_chains
from gibbsian.models.anomalies import (
    anomalies_to_json,
    evaluate_anomalies,
    read_anomalies,
    render_anomalies,
)
from gibbsian.models.evaluate import SEEN, evaluate_run
from gibbsian.models.evaluation_record import render
from gibbsian.models.latents import manifold, traverse
from gibbsian.models.log_density import estimated_energy
from gibbsian.models.model import CHUNK, KernelName, Model, load_model
from gibbsian.models.scores import score_in_parts
from gibbsian.models.train import device_of, load_data_of_run
from gibbsian.report.outputs import IN_PARTS, write_points, write_points_in_parts, write_tables
from gibbsian.report.page_files import check_output
from gibbsian.samplers.metadata import chain_metadata

TOGETHER = "--condition-on IMAGE and --mask MASK go together: what is there, and what of it stays"


@dataclasses.dataclass(frozen=True)
class Sample:
    """Draw from a trained model.

    Args:
        run: folder of the run.
        output: where to: .png (a sheet of the images, or a scatter), .npz, .npy or .csv, in the data's units.
        num_samples: how many; at least 1.
        seed: of the draws.
        condition_on: a file with one observation of which a part is kept and the rest filled in; or, for a
            model that was taught classes, a class number or a file with one per sample.
        mask: what is kept: the top, left, bottom or right half of an image, or a file with an entry
            per number, not zero where kept.
        latent_grid: instead of samples, a grid of a latent plane with this many points along each side.
        latent_traversal: instead of samples, every latent coordinate in turn at this many quantiles, about
            the prior's mean or about the code of what is given.
        refine: improve the samples by Markov chains: in the generator's latent space where the
            method declares a target there, otherwise in data space.
        mcmc_steps: steps of each chain.
        mcmc_step_size: of the chains; mala and hmc find their own if none is given.
        inverse_temperature: above 1 is colder than the model.
        friction: of the underdamped kernel.
        mcmc_step_size_decay: what the step size is multiplied by every ``mcmc_steps_per_decay`` steps; 1
            keeps it.
        mcmc_steps_per_decay: steps between two such cuts.
        save_chains: also write the refining chains, about 100 draws of each with acceptance and divergences,
            to this .nc file, which ArviZ opens.
        device: where to compute.
        trust_code: import code that the run names as package.module:Class; it runs with all your rights.
    """

    run: Annotated[Positional[Path], tyro.conf.arg(metavar="RUN")]
    output: Path
    num_samples: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 64
    seed: int = 0
    condition_on: Annotated[str | None, tyro.conf.arg(metavar="CLASS|IMAGE")] = None
    mask: Annotated[str | None, tyro.conf.arg(metavar="MASK")] = None
    latent_grid: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    latent_traversal: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    refine: KernelName | None = None
    mcmc_steps: int = 1_000
    mcmc_step_size: Annotated[float | None, tyro.conf.arg(metavar="SIZE")] = None
    inverse_temperature: float = 1.0
    friction: float = 1.0
    mcmc_step_size_decay: float = 1.0
    mcmc_steps_per_decay: int = 200
    save_chains: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    device: str = "auto"
    trust_code: bool = False


def sample(arguments: list[str]) -> int:
    """Draw from a trained model: `sample RUN -n 64 --output samples.png`."""
    args = parse(Sample, arguments, "sample")
    replaced = args.output.exists()
    status = _sample(args)
    if replaced:
        say(f"note: {args.output} was replaced")
    return status


def _sample(args: Sample) -> int:
    check_output(args.output, (".png", ".npz", ".npy", ".csv"))
    if args.mcmc_step_size is not None and not 0 < args.mcmc_step_size < math.inf:
        raise ValueError(f"--mcmc-step-size must be positive, not {args.mcmc_step_size}")
    if args.save_chains is not None:
        check_output(args.save_chains, (".nc",), "--save-chains")
        if args.refine is None:
            raise ValueError(
                "--save-chains writes the chains of --refine; say which, as --refine hmc"
            )
    if args.latent_grid is not None or args.latent_traversal is not None:
        return _walk(args)
    if args.condition_on is None and args.mask is not None:
        raise ValueError(TOGETHER)
    if args.condition_on is not None and args.refine is not None:
        raise ValueError("--refine does not know what is given; leave out one of them")
    model = _loaded(args.run, args)
    if args.condition_on is not None and args.mask is not None:
        kept = read_mask(args.mask, model.transform)
        x = model.inpaint(
            args.num_samples, read_observation(args.condition_on, model.transform), kept, args.seed
        )
    elif args.condition_on is not None:
        if not (isinstance(model.method, HasClasses) and model.method.by_class):
            raise ValueError(f"{TOGETHER}; this model was taught no classes to give instead")
        x = model.sample(args.num_samples, args.seed, read_labels(args.condition_on))
    elif args.refine is None and args.output.suffix in IN_PARTS:
        parts = model.sample_in_chunks(args.num_samples, args.seed)
        write_points_in_parts(
            args.output,
            args.num_samples,
            parts,
            _header(model),
            model.category_values,
            _dialect(model),
        )
        say(f"{args.num_samples} samples in {args.output}")
        return 0
    elif args.refine is None:
        x = model.sample(args.num_samples, args.seed)
    else:
        with progress.shown():
            x, chains = model.refine(
                args.num_samples,
                args.refine,
                args.mcmc_steps,
                seed=args.seed,
                step_size=args.mcmc_step_size,
                inverse_temperature=args.inverse_temperature,
                friction=args.friction,
                decay=args.mcmc_step_size_decay,
                decay_every=args.mcmc_steps_per_decay,
                progress=True,
            )
        say(str(chains))
        _keep(args, model.run, chain_metadata(chains, args.refine))
        if args.save_chains is not None:
            latent = isinstance(model.method, HasLatentTarget)
            write_chains(args.save_chains, chains, "z" if latent else "x")
    write_points(
        args.output,
        x,
        header=_header(model),
        values=model.category_values,
        dialect=_dialect(model),
    )
    say(f"{args.num_samples} samples in {args.output}")
    return 0


def _header(model: Model) -> tuple[str, ...]:
    """The names of the columns, where `gibbsian score` will know them for names."""
    columns = model.transform.columns
    return columns if read_back(columns) else ()


def _dialect(model: Model) -> Dialect:
    """That of the training table; where the file has gone, its decimal mark says enough."""
    found = dialect_of(Path(model.config.data))
    comma = model.table is not None and model.table.decimal == ","
    return Dialect(";", ",") if comma and found.decimal != "," else found


def _keep(args: Sample, identity: str, facts: dict[str, Any]) -> None:
    """Leave in the run folder how the chains went, for `gibbsian report`."""
    if (args.run / "model.safetensors").is_file():
        return  # the model alone, of no run
    if not os.access(args.run, os.W_OK):
        say(f"warning: diagnostics of the chains are not kept: {args.run} is not writable")
        return
    file = Run(args.run).samples / f"chains-{args.refine}.json"
    write_record(file, {"run": identity, "steps": args.mcmc_steps, "seed": args.seed, **facts})


def _loaded(run: Path, args: Sample | Score | Evaluate) -> Model:
    """The model of the folder ``run``, with a note where its training goes on or was cut short."""
    model = load_model(run, device=device_of(args.device), trust_code=args.trust_code)
    rounds = model.config.training.rounds
    if model.rounds is not None and model.rounds < rounds:
        who = writer(run)
        now = f"; {who} trains it further" if who else ""
        say(f"note: this model is of round {model.rounds} of {rounds}{now}")
    return model


def _walk(args: Sample) -> int:
    """Write images of the latent space."""
    if args.latent_grid is not None and args.latent_traversal is not None:
        raise ValueError(
            "--latent-grid and --latent-traversal are two images; ask for one at a time"
        )
    if args.refine is not None or args.mask is not None or (args.condition_on and args.latent_grid):
        raise ValueError(
            "a walk through the latent space takes no --refine, --mask or, on a plane, --condition-on"
        )
    model = _loaded(args.run, args)
    if args.latent_grid is not None:
        columns, x = args.latent_grid, manifold(model, args.latent_grid)
    else:
        assert args.latent_traversal is not None
        like = (
            None
            if args.condition_on is None
            else read_observation(args.condition_on, model.transform)
        )
        columns, x = args.latent_traversal, traverse(model, args.latent_traversal, like, args.seed)
    write_points(args.output, x, columns, _header(model))
    say(f"{len(x)} latent points, {columns} in a row, in {args.output}")
    return 0


@dataclasses.dataclass(frozen=True)
class Score:
    """Say how normal each row of a file is.

    Args:
        run: folder of the run.
        points: rows like the training data (same columns, same units), or a folder or zip of images.
        output: a .csv file with one line per row (row: its number below the header, from 1) or image (file:
            its name); - prints it.
        seed: of dequantisation noise and of estimates of log Z.
        device: where to compute.
        trust_code: import code that the run names as package.module:Class; it runs with all your rights.
    """

    run: Annotated[Positional[Path], tyro.conf.arg(metavar="RUN")]
    points: Annotated[Positional[str], tyro.conf.arg(metavar="POINTS")]
    output: str = "-"
    seed: int = 0
    device: str = "auto"
    trust_code: bool = False


def score(arguments: list[str]) -> int:
    """Say how normal each row of a file is: `score RUN POINTS --output scores.csv`."""
    if "--model" in arguments:
        raise ValueError(
            "give the run and the rows: `gibbsian score RUN FILE`; what `gibbsian detect` saved scores "
            "by `gibbsian detect FILE --model FOLDER`"
        )
    args = parse(Score, arguments, "score")
    output = None if args.output == "-" else Path(args.output)
    if output is not None:
        check_output(output, (".csv",))
    model = _loaded(args.run, args)
    source = model.config.source
    files: list[str] = []
    points = read_points_in_parts(
        args.points,
        model.transform,
        image_size=source.image_size or None,
        class_column=source.class_column,
        table=model.table,
        rows=CHUNK,
        say=say,
        files=files,
        skip_unreadable=True,  # the others have their scores, and the command says which have none
        greyscale=source.greyscale,
    )
    first = next(points)  # what is wrong with the file mostly shows at once
    with progress.shown(), progress.phase("scores, and log Z where they need it"):
        tables, standing = score_in_parts(model, itertools.chain([first], points), args.seed)
    say(standing)
    replaced = output is not None and output.exists()
    write_tables(output, tables, files, dialect_of(Path(args.points)))
    if replaced:
        say(f"note: {output} was replaced")
    return 0


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Measure a trained model on held-out data.

    Args:
        run: folder of the run.
        data: a file with the rows of a run that was trained on an array in Python.
        json: print the figures as JSON.
        fail_if_metric_missing: quantities that must exist, such as log-z: without them the command fails.
        num_samples: how many samples to draw for coverage and images.
        log_z_effort: spent on log Z beyond three dimensions: quick, normal or high.
        anomalies: instead, a labelled table: how well the energy tells its anomalies from its normal rows,
            beside plain detectors fitted to the same training rows.
        class_column: the column of that table that holds labels, by name or by number from 1.
        normal_label: rows with this label are normal; all others are anomalies.
        seed: of samples, corruptions and estimates.
        device: where to compute.
        trust_code: import code that the run names as package.module:Class; it runs with all your rights.
    """

    run: Annotated[Positional[Path], tyro.conf.arg(metavar="RUN")]
    data: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    json: bool = False
    fail_if_metric_missing: tuple[str, ...] = ()
    num_samples: int = 10_000
    log_z_effort: Amount = "normal"
    anomalies: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    class_column: str = "class"
    normal_label: str = "0"
    seed: int = 0
    device: str = "auto"
    trust_code: bool = False


def evaluate(arguments: list[str]) -> int:
    """Measure a trained model: log Z, likelihood, coverage, anomaly detection."""
    args = parse(Evaluate, arguments, "evaluate")
    run = open_run(args.run)
    model = _loaded(run.path, args)
    if args.anomalies is not None:
        labelled = read_anomalies(args.anomalies, model, args.class_column, args.normal_label)
        detection = evaluate_anomalies(
            model, load_data_of_run(run, model.config, args.data), labelled, args.seed
        )
        as_json = json.dumps(anomalies_to_json(detection), indent=2)
        print(as_json if args.json else render_anomalies(detection))
        return 0
    with progress.shown():
        data = load_data_of_run(run, model.config, args.data)
    say(f"measured on {len(data.test)} test rows and {args.num_samples} samples")
    energy = estimated_energy(model)
    if energy is not None:
        foretell(energy, model.to_network_units(data.train[:SEEN], args.seed), args.log_z_effort)
    with progress.shown():
        figures = evaluate_run(
            model,
            data,
            args.num_samples,
            args.seed,
            args.fail_if_metric_missing,
            run,
            effort=args.log_z_effort,
        )
    print(json.dumps(figures, indent=2) if args.json else printable(render(figures)))
    return 0
