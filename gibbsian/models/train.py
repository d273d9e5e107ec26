"""The main job in one call: ``train`` a method on data, ``resume`` a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gibbsian import data as datasets
from gibbsian.config import recipes
from gibbsian.config.config import Config, Source, image_side_asked_for, replace
from gibbsian.config.recipes.defaults import in_proportion
from gibbsian.config.run_folder import (
    Run,
    claimed,
    defaults_of,
    forget,
    new_identity,
    new_run,
    open_run,
    write_config,
    write_unreadable,
)
from gibbsian.config.run_lock import writing
from gibbsian.core import DataSpace, TrainingMethod
from gibbsian.core.module_errors import ERRORS_OF_MODULES
from gibbsian.core.progress import phase
from gibbsian.core.protocols import HasEnergy, HasStages
from gibbsian.core.randomness import kept_global
from gibbsian.data import BatchStream, Dataset
from gibbsian.data.augmentation import AugmentedStream
from gibbsian.data.dataset import fingerprint
from gibbsian.data.large_arrays import BlockStream
from gibbsian.data.named import can_be_found
from gibbsian.models.build import assemble, network_costs, resolve
from gibbsian.models.model import Model, placed
from gibbsian.models.validation import Validation, chosen
from gibbsian.training import (
    OptimizerOptions,
    TrainingCallback,
    checkpoints,
    prepare_training,
    processes,
    run_training_loop,
)
from gibbsian.training.checkpoints import Progress
from gibbsian.training.processes import process_group

HELD_OUT = 2_000


def device_of(name: str) -> torch.device:
    """The device called ``name``; ``auto`` takes a GPU where there is one, torchrun's processes one each.

    ValueError if it is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    known = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    known += ["mps"] if torch.backends.mps.is_available() else []
    missing = ValueError(f"device {name!r} is not there; this machine has {', '.join(known)}")
    if name.partition(":")[0] not in {device.partition(":")[0] for device in known}:
        raise missing
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise missing from error
    return processes.own_device(device)


def load_data(config: Config) -> Dataset:
    """The data set a configuration names."""
    with phase("loading data"):
        return load_source(config.data, config.source)


def load_source(data: str, source: Source) -> Dataset:
    """The data set called ``data``, read as ``source`` says."""
    return datasets.load_dataset(
        data,
        data_root=None if source.data_root is None else Path(source.data_root),
        seed=source.split_seed,
        column_scaling=source.column_scaling,
        max_rows=source.max_rows or None,
        patch_size=source.patch_size,
        greyscale=source.greyscale,
        image_size=source.image_size or None,
        class_column=source.class_column,
        columns=source.columns or (),
        drop_columns=source.drop_columns or (),
        missing_values=source.missing_values,
        category_columns=source.category_columns or (),
        skip_unreadable=source.skip_unreadable,
    )


def load_data_of_run(run: Run, config: Config, file: Path | None = None) -> Dataset:
    """The data of a run: those its configuration names, or those in ``file`` if it was trained on an array.

    ValueError, one sentence, where the one is needed and the other given, and for other rows than the run's.
    """
    if can_be_found(config.data):
        if file is not None:
            raise ValueError(
                f"{run.path} was trained on {config.data} and finds it there; --data is for runs that were "
                "trained on an array"
            )
        return load_data(config)
    if file is None:
        raise ValueError(
            f"{run.path} was trained on an array, which it does not keep; write the rows to a file "
            "(numpy.save, or a data frame's to_csv without its index) and name it by --data FILE, or in "
            "Python by dataset=gibbsian.data.load_dataset(FILE)"
        )
    dataset = load_source(str(file), Source())
    if fingerprint(dataset) != run.fingerprint():
        raise ValueError(
            f"{file} does not hold the rows, in their order, that {run.path} was trained on; write just "
            "these to a file"
        )
    return dataset


def untrained(config: Config, dataset: Dataset) -> tuple[Config, TrainingMethod]:
    """``config`` with what depends on ``dataset`` filled in, and the method it describes."""
    config = resolve(config, dataset.space, _sample_rows(dataset))
    return config, assemble(config, dataset.space)


def train(
    method: str | Config,
    data: Any = None,
    *,
    out: str | Path | None = None,
    networks: Mapping[str, nn.Module] | None = None,
    watch: TrainingCallback | None = None,
    **options: Any,
) -> Model:
    """Train ``method`` on ``data`` and return the model.

    ``data``: a built-in name, a path, an array ``[N, *event]``, a data frame or a Dataset. ``networks``
    maps roles (``energy``, ``generator``, ...) to your own modules. ``options`` are those of the command
    line, for instance ``generator_steps=3, training={"rounds": 2000}``; with other rounds phases of training
    keep their share of them. With ``out`` a run folder is
    written and can be resumed. ``watch`` sees each logged row of metrics. Raises ValueError on unusable
    input, DivergenceError when training runs away.
    """
    dataset = None
    if isinstance(data, Dataset):
        dataset = data
    elif data is not None and not isinstance(data, (str, Path)):
        dataset = datasets.from_array(data)
    name = dataset.name if dataset is not None else str(data)
    if isinstance(method, Config):
        config = method
    elif dataset is not None:
        config = recipes.default_config(method, name, dataset.space)
    else:
        side = image_side_asked_for(options.get("source"))
        config = recipes.default_config(method, name, image_side=side)
    config = in_proportion(replace(config, **options), config, options)
    run = new_run(Path(out)) if out is not None else None
    return train_config(config, run, dataset, networks, watch=watch)


def train_config(
    config: Config,
    run: Run | None,
    dataset: Dataset | None = None,
    networks: Mapping[str, nn.Module] | None = None,
    log: Callable[[str], None] | None = None,
    watch: TrainingCallback | None = None,
) -> Model:
    """Train a configuration from its first round, in ``run`` if one is given.

    ``log`` is given what was detected in the data, before the first round and where the method can
    use them, and for images the sizes of the networks; ``watch`` sees each logged row of metrics.
    """
    device = device_of(config.training.device)
    dataset = load_data(config) if dataset is None else dataset
    asked, config = config, with_batch_that_fits(config, dataset)
    with process_group(device), kept_global(device):
        config = resolve(config, dataset.space, _sample_rows(dataset), networks)
        progress = _prepare(config, dataset, networks, device)
        processes.barrier()
        existed = run is not None and run.path.exists()
        with claimed(run):
            try:
                if run is not None:
                    progress.run = processes.from_first(new_identity(), device)
                    if processes.rank() == 0:
                        known = can_be_found(config.data)
                        rows = None if known else fingerprint(dataset)
                        usual = defaults_of(asked, config, dataset.space)
                        write_config(run, config, progress.run, rows, usual)
                        write_unreadable(run, dataset.unreadable)
                processes.barrier()
                if log is not None and processes.rank() == 0:
                    for note in dataset.notes:
                        log(note)
                    if dataset.space.kind == "image" and networks is None:
                        for note in notes_on_networks(config, dataset.space):
                            log(note)
                return _play(progress, config, dataset, run, watch)
            except (ValueError, OSError, *ERRORS_OF_MODULES):
                if run is not None and processes.rank() == 0 and progress.index == 0:
                    forget(run, keep_folder=existed)  # nothing was trained, nothing is lost
                raise


def notes_on_networks(config: Config, space: DataSpace) -> list[str]:
    """A line on the size of each network: what a round costs is in proportion to its multiply-adds."""
    return [
        f"{role} {config.networks[role].name}: {parameters:,} parameters, "
        f"{products / 1e6:,.2f} million multiply-adds a row"
        for role, (parameters, products) in network_costs(config, space).items()
    ]


def with_batch_that_fits(config: Config, dataset: Dataset) -> Config:
    """``config``, with the batch of the method's defaults no larger than the training rows of ``dataset``.

    A batch that is asked for is left, to be refused.
    """
    rows = len(dataset.train) // processes.world()
    usual = recipes.default_config(config.method, config.data, dataset.space)
    if config.training.batch == usual.training.batch > rows > 0:
        return replace(config, training={"batch": rows})
    return config


def resume(
    path: str | Path,
    rounds: int | None = None,
    device: str | None = None,
    networks: Mapping[str, nn.Module] | None = None,
    dataset: Dataset | None = None,
    watch: TrainingCallback | None = None,
    trust_code: bool = False,
) -> Model:
    """Continue the run at ``path``, to ``rounds`` if given, to the same bits as if never stopped.

    On another type of device than the run's it goes on with other random numbers, and a warning says so.
    ``trust_code``: import networks that the run names as ``package.module:Class``. ValueError naming
    the process where another one writes the run.
    """
    run = open_run(path)
    with writing(run.path) if processes.rank() == 0 else nullcontext():
        return _continued(run, rounds, device, networks or {}, dataset, watch, trust_code)


def _continued(
    run: Run,
    rounds: int | None,
    device: str | None,
    networks: Mapping[str, nn.Module],
    dataset: Dataset | None,
    watch: TrainingCallback | None,
    trust_code: bool,
) -> Model:
    config, identity, path = run.config(trust_code, networks), run.identity(), run.path
    if rounds is not None:
        config = replace(config, training={"rounds": rounds})
    if device is not None:
        config = replace(config, training={"device": device})
    where = device_of(config.training.device)
    dataset = load_data_of_run(run, config) if dataset is None else dataset
    with process_group(where), kept_global(where):
        progress = _prepare(config, dataset, networks, where)
        progress.run = identity
        if checkpoints.rounds(run.state):
            checkpoints.restore_checkpoint(run.state, progress)
        if rounds is not None and rounds < progress.index:
            raise ValueError(f"{path} already has {progress.index} rounds; ask for more than that")
        processes.barrier()
        if rounds is not None and processes.rank() == 0:
            write_config(run, config, identity, run.fingerprint(), run.defaults())
        return _play(progress, config, dataset, run, watch)


def _sample_rows(dataset: Dataset) -> Tensor:
    return dataset.transform.encode(dataset.train[:HELD_OUT], torch.Generator().manual_seed(0))


def _prepare(
    config: Config,
    dataset: Dataset,
    networks: Mapping[str, nn.Module] | None,
    device: torch.device,
) -> Progress:
    method = placed(assemble(config, dataset.space, networks), device)
    share: dict[str, Any] = {
        "batch_size": config.training.batch,
        "seed": config.training.seed,
        "device": device,
        "rank": processes.rank(),
        "world": processes.world(),
    }
    rows = (
        BatchStream(dataset.train, dataset.transform, targets=dataset.targets.get("train"), **share)
        if dataset.blocks is None
        else BlockStream(dataset.blocks, dataset.transform, **share)
    )
    kind = config.training.augment
    stream = rows if kind == "none" else AugmentedStream(rows, kind, dataset.space)
    as_they_are = OptimizerOptions("sgd", lr=1.0)
    optimizers = {
        player: as_they_are if player in method.self_optimized else config.optimizers[player]
        for player in method.players
    }
    return prepare_training(method, optimizers, config.training, stream)


def _model(method: TrainingMethod, config: Config, dataset: Dataset, run: str) -> Model:
    """The model of a method that is no longer trained, with what it knows of the data.

    ``run``: identity of the run it is a part of.
    """
    model = Model(method, config, dataset.space, dataset.transform, run=run, table=dataset.table)
    if isinstance(method, HasEnergy):
        if len(dataset.valid):
            model.held_out = model.energy(dataset.valid[:HELD_OUT]).sort().values
        rows = _sample_rows(dataset)
        model.moments = torch.stack([rows.mean(0), rows.std(0, correction=0)])
    return model


def _play(
    progress: Progress,
    config: Config,
    dataset: Dataset,
    run: Run | None,
    watch: TrainingCallback | None,
) -> Model:
    def on_save(now: Progress) -> Callable[[], None]:
        method = chosen(now)

        def save() -> None:
            if run is not None:
                _model(method, config, dataset, now.run).save_pretrained(run.model)

        return save

    state = run.state if run is not None else None
    metrics = run.metrics if run is not None else None
    validate = None
    if config.training.validate_every and len(dataset.valid):
        validate = Validation(progress.method, dataset, config.training.rounds)
    elif isinstance(progress.method, HasStages):
        raise ValueError(
            f"{config.method} chooses on validation rows when its stages end; give it data with some, "
            "and a --validate-every above 0"
        )
    if progress.index >= config.training.rounds and processes.rank() == 0:
        on_save(
            progress
        )()  # the run may have died between its last checkpoint and saving the model
    run_training_loop(progress, config.training, state, metrics, on_save, watch, validate)
    model = _model(chosen(progress), config, dataset, progress.run)
    model.folder, model.rounds = None if run is None else run.path, progress.index
    return model
