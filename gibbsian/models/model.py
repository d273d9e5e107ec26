"""A trained model in the user's units: sampling, energies, log-densities, saving and loading."""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Generator, Tensor, nn

from gibbsian import __version__
from gibbsian.config.config import Config, check_seed, from_json, to_json
from gibbsian.config.run_folder import open_run
from gibbsian.config.run_lock import how_to_finish
from gibbsian.core import DataSpace, Interval, NotDefined, TrainingMethod, limits
from gibbsian.core.files import CorruptFileError, read_json, write_atomic
from gibbsian.core.formats import FORMAT, check_format
from gibbsian.core.protocols import HasEnergy
from gibbsian.core.records import checksum, unsealed, write_record
from gibbsian.core.tensor_files import ForeignFileError, read_tensors, write_tensors
from gibbsian.data import Dataset
from gibbsian.data.frames import Array, called, frame_of, like, rows_of, table_like
from gibbsian.data.queries import checked
from gibbsian.data.rows import arranged
from gibbsian.data.schema import check_reference, space_of, table_of, transform_of
from gibbsian.data.table_schema import TableSchema
from gibbsian.data.transforms import Transform
from gibbsian.evaluation.log_z.effort import Amount
from gibbsian.models.build import assemble, check_weights
from gibbsian.models.evaluation_record import Evaluation
from gibbsian.models.explain import contributions_of
from gibbsian.models.hub import Hub, model_card, upload, without_folders
from gibbsian.models.model_table import model_line, model_table
from gibbsian.samplers import Chains, ChainState
from gibbsian.training.checkpoints import rounds as rounds_saved

CHUNK = 4096
"""Rows whose energies are computed at a time."""
DRAWN = 16_384
"""Samples that are drawn at a time."""
KernelName = Literal["langevin", "mala", "hmc", "underdamped", "independence"]
"""What samples can be refined by."""


class Model:
    """A method with the transform between the user's units and the networks'.

    ``held_out`` holds the sorted energies of validation rows, the reference for percentiles;
    ``moments [2, *event]`` mean and standard deviation of the training rows, in the networks' units;
    ``run`` the identity of the run it comes from, if there is one; ``table`` the columns of the file it
    was trained on, if any; ``folder`` and ``rounds``: where it lies, how many were played; None if unknown.
    """

    folder: Path | None = None
    rounds: int | None = None

    def __init__(
        self,
        method: TrainingMethod,
        config: Config,
        space: DataSpace,
        transform: Transform,
        held_out: Tensor | None = None,
        moments: Tensor | None = None,
        run: str = "",
        table: TableSchema | None = None,
    ):
        self.run = run
        self.table = table
        self.method = method.eval()
        self.config = config
        self.space = space
        self.transform = transform
        self.held_out = held_out
        self.moments = moments

    def __repr__(self) -> str:
        return model_line(self.config, self.method, self.transform, self.rounds, self.folder)

    def _repr_html_(self) -> str:
        return model_table(self.config, self.method, self.space, self.transform)

    @property
    def category_values(self) -> tuple[tuple[str, ...], ...]:
        """Of each column the texts of its categories, () where it holds numbers; () without categories.

        In rows of the user's units a category is the place of its text, from 0.
        """
        if self.table is None or not self.table.categories:
            return ()
        return tuple(column.values for column in self.table.kept)

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.method.parameters()).device

    def rng(self, seed: int) -> Generator:
        """A generator on the model's device."""
        check_seed(seed)
        return Generator(self.device).manual_seed(seed)

    def sample(self, n: int, seed: int = 0, given: Tensor | None = None) -> Tensor:
        """Draw ``[n, *event]`` in the user's units."""
        limits.check("MEMORY", 4 * n * math.prod(self.space.shape), f"{n} samples would take")
        return torch.cat(list(self.sample_in_chunks(n, seed, given)))

    def sample_in_chunks(
        self, n: int, seed: int = 0, given: Tensor | None = None
    ) -> Iterator[Tensor]:
        """The same draws, ``DRAWN`` at a time from one generator; all at once for something given."""
        if n < 1:
            raise ValueError(f"the number of samples must be at least 1, not {n}")
        rng, part = self.rng(seed), DRAWN if given is None else n
        given = None if given is None else given.to(self.device)
        for first in range(0, n, part):
            with torch.no_grad():
                u = self.method.sample(min(part, n - first), rng, given)
            yield self.transform.decode(u).cpu()

    def as_frame(
        self, x: Tensor, backend: Literal["pandas", "polars", "pyarrow"] = "pandas"
    ) -> Any:
        """Rows ``x [n, d]`` of the user's units, such as samples, as a data frame with texts for categories.

        ``backend``: the library. ValueError for images.
        """
        if len(self.transform.shape) != 1:
            raise ValueError("observations of this model are images, which no data frame holds")
        return frame_of(x, self.transform.columns, self.category_values, backend)

    def inpaint(self, n: int, x: Tensor, kept: Tensor, seed: int = 0) -> Tensor:
        """``[n, *event]``: ``x [*event]``, in the user's units, where ``kept`` and samples elsewhere.

        ValueError where the shapes differ, nothing or everything is kept, or the method cannot.
        """
        self.check_shape(x[None])
        if kept.shape != x.shape:
            raise ValueError(f"the mask has shape {list(kept.shape)}; x has {list(x.shape)}")
        if bool(kept.all()) or not bool(kept.any()):
            raise ValueError(
                "the mask must keep a part of the observation and leave a part to fill in"
            )
        u = self.to_network_units(x[None], seed)[0]
        return self.sample(n, seed, u.masked_fill(~kept.to(self.device), torch.nan))

    def to_network_units(self, x: Tensor, seed: int = 0, dequantise: bool = True) -> Tensor:
        """Rows ``x [n, *event]`` of the user's units in the networks' units, where the networks are.

        Integer data are dequantised with noise from ``seed``, or stay at the value itself.
        """
        u = self.transform.encode(x.to(self.device), self.rng(seed) if dequantise else None)
        return u.to(next(self.method.parameters()).dtype)

    def energy(self, x: Array, seed: int = 0, dequantise: bool = True) -> Array:
        """Energies ``[n]`` of points ``x [n, *event]`` in the user's units; low is probable.

        Integer data are dequantised with noise from ``seed``, or scored at the value itself.
        ValueError when the method has none, and for rows unlike the training data.
        """
        return like(self.energy_as_tensor(x, seed, dequantise), x, "energy")

    def energy_as_tensor(self, x: Array, seed: int, dequantise: bool = True) -> Tensor:
        """The same as a tensor."""
        if not isinstance(self.method, HasEnergy):
            raise ValueError(f"{self.config.method} has no energy")
        u = self.to_network_units(self.to_tensor(x), seed, dequantise)
        return self.energy_of_network_inputs(u)

    def energy_of_network_inputs(self, u: Tensor) -> Tensor:
        """Energies ``[n]`` of points ``u [n, *event]`` in the networks' units."""
        assert isinstance(self.method, HasEnergy)
        with torch.no_grad():
            found = torch.cat([self.method.energy(part) for part in u.split(CHUNK)]).cpu()
        return found if found.dtype == torch.float64 else found.float()

    def to_tensor(self, x: Any) -> Tensor:
        """``x`` as a tensor ``[n, *event]`` in the user's units.

        ValueError naming what is unlike the training data: shape, columns, values; or not finite.
        """
        if not isinstance(x, Tensor):
            rows = arranged(rows_of(x, name := called(x), self.table, texts=False), name)
            return checked(rows, self.transform, name)
        self.check_shape(x)
        if not bool(x.isfinite().all()):
            row = int(x.flatten(1).isfinite().all(1).int().argmin()) + 1
            raise ValueError(f"row {row} of these points is not finite; drop or fill such values")
        return x

    def check_shape(self, x: Tensor) -> None:
        """ValueError naming both shapes unless ``x`` holds rows of the model's shape."""
        if x.shape[1:] != self.transform.shape:
            raise ValueError(
                f"this model was trained on observations of shape {list(self.transform.shape)}; these "
                f"have shape {list(x.shape[1:])}"
            )

    def percentile_rank(self, x: Array, seed: int = 0) -> Array:
        """Share (0-100) of held-out rows whose energy is at most that of each row of ``x``.

        99 is stranger than 98. ValueError where there are no held-out energies.
        """
        return like(
            self.percentile_rank_of_energy(self.energy_as_tensor(x, seed)), x, "percentile_rank"
        )

    def percentile_rank_of_energy(self, energies: Tensor) -> Tensor:
        """The same of rows whose ``energies [n]`` are known."""
        if self.held_out is None or len(self.held_out) == 0:
            raise ValueError("this model was saved without held-out energies")
        rank = torch.searchsorted(
            self.held_out.to(energies.device), energies.contiguous(), right=True
        )
        return 100.0 * rank / len(self.held_out)

    def explain(self, x: Array, rows: Any = None) -> Array:
        """How much the energy falls when each column alone is changed, ``[n, d]`` in nats, at least 0.

        Column j takes the value, of those in ``rows [K, d]`` like the training data, that fits the rest
        best; without ``rows``, of 65 within four standard deviations of the training rows' mean. Of a
        Gaussian: half the squared z-score of x_j given the other columns. ``x [n, d]`` and ``rows`` in the
        user's units, on a grid without noise. Raises ValueError without an energy, and for images.
        """
        return table_like(contributions_of(self, x, rows), x, self.transform.columns)

    def log_z(
        self, data: Any = None, *, seed: int = 0, effort: Amount = "normal"
    ) -> Interval | NotDefined:
        """log Z of the energy over its declared base, in the networks' units, from both sides.

        ``data [n, *event]``: rows in the user's units that show where the mass is; without them the
        model's samples and the spread of its training data do. ``effort``: quick, normal or high; the
        interval is narrower for more.
        """
        from gibbsian.models import log_density  # these functions are of a Model

        points = None if data is None else self.to_network_units(self.to_tensor(data), seed)
        return log_density.log_z(self, points, seed, effort=effort)

    def log_prob(self, x: Array, *, z: Interval | NotDefined | None = None, seed: int = 0) -> Array:
        """Exact log-densities ``[n]`` of ``x [n, *event]``, in nats and the user's units.

        ``z``: what ``log_z`` found, which is computed anew unless given. Raises ValueError where
        log Z is not known exactly; ``log_prob_bounds`` gives what is known from both sides.
        """
        from gibbsian.models import log_density

        found = log_density.exact_log_z(self, z, seed)
        sides = log_density.log_prob_bounds(self, self.to_tensor(x), found, seed)
        return like(sides[0], x, "log_prob")

    def log_prob_bounds(
        self,
        x: Array,
        *,
        z: Interval | NotDefined | None = None,
        seed: int = 0,
        dequantise: bool = True,
    ) -> tuple[Array, Array]:
        """Lower and upper log-densities, ``[n]`` each, of ``x [n, *event]`` in the user's units.

        They have the standing and the standard error of the upper and lower side of log Z: of ``z``, or
        of what ``log_z`` finds. Of directed models the lower side is the importance bound, a bound in
        expectation, and the upper one infinite. Integer data as in ``energy``. Raises ValueError
        where log Z is not defined, and for rows unlike the training data.
        """
        from gibbsian.models import log_density

        sides = log_density.log_prob_bounds(self, self.to_tensor(x), z, seed, dequantise)
        return like(sides[0], x, "log_prob_lower"), like(sides[1], x, "log_prob_upper")

    def evaluate(
        self,
        data: Dataset | Any,
        *,
        samples: int = 10_000,
        seed: int = 0,
        effort: Amount = "normal",
    ) -> Evaluation:
        """Every figure that exists for this model on held-out data, with its error and standing.

        ``data``: a Dataset, of which the test rows are measured, or rows ``[n, *event]`` that were not
        trained on, of which half are measured and half fit the plain baselines of anomaly scores.
        ``samples``: how many to draw for coverage. ``effort``: spent on log Z, quick, normal or high.
        """
        from gibbsian.models.evaluate import evaluate, held_out_data

        found = (
            data if isinstance(data, Dataset) else held_out_data(self, self.to_tensor(data), seed)
        )
        return evaluate(self, found, samples, seed, effort=effort)

    def refine(
        self, n: int, kernel: KernelName = "mala", steps: int = 1_000, **settings: Any
    ) -> tuple[Tensor, Chains[ChainState]]:
        """``[n, *event]`` samples improved by Markov chains, in the user's units, and the chains.

        ``settings`` and errors raised are those of ``gibbsian.models.refinement.refine``.
        """
        from gibbsian.models.refinement import refine

        return refine(self, n, kernel, steps, **settings)

    def save_pretrained(
        self, folder: str | Path, weights: Mapping[str, Tensor] | None = None
    ) -> None:
        """Write ``config.json`` and ``model.safetensors``; ``weights`` stand in for the method's own."""
        folder = Path(folder)
        state = dict(self.method.state_dict()) | dict(weights or {})
        tensors = {f"method/{name}": value for name, value in state.items()}
        for name in ("held_out", "moments"):
            if getattr(self, name) is not None:
                tensors[name] = getattr(self, name)
        space = asdict(self.space)
        entries = {
            "format": FORMAT,
            "version": __version__,
            "config": to_json(self.config),
            "space": space,
            "transform": self.transform.to_config(),
            "table": None if self.table is None else asdict(self.table),
        }
        # The weights name their configuration and not the other way round: a run saves one
        # configuration with ever new weights, and a crash between the two files harms neither.
        # Their facts leave out the identity, which has its own place: equal runs have equal facts.
        facts = {"format": FORMAT, "config": checksum(entries)}
        write_tensors(folder / "model.safetensors", tensors, facts, self.run)
        write_record(folder / "config.json", {**entries, "run": self.run})

    def push_to_hub(
        self,
        repo_id: str,
        *,
        licence: str,
        figures: Mapping[str, Any] | None = None,
        private: bool = False,
        api: Hub | None = None,
    ) -> str:
        """Upload the model with a card to the Hugging Face hub; return the repository's address.

        ``licence``: such as ``apache-2.0``, ``mit`` or ``other``. ``figures``: what a run's
        ``evaluation.json`` holds. ``api``: ``huggingface_hub.HfApi()`` unless given. Names of folders
        are not published. Raises ImportError without the extra ``hub``, ValueError for a licence that
        is no identifier, and what the hub says of ``repo_id`` and the token.
        """
        config = without_folders(self.config)
        extras = self.held_out, self.moments
        card = model_card(repo_id, config, self.space, self.transform, licence, figures)
        with tempfile.TemporaryDirectory() as folder:
            of_run = self.run, self.table
            here = Model(self.method, config, self.space, self.transform, *extras, *of_run)
            here.save_pretrained(folder)
            write_atomic(Path(folder) / "README.md", card.encode())
            return upload(Path(folder), repo_id, private, api)

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        networks: Mapping[str, nn.Module] | None = None,
        device: str | torch.device = "cpu",
        trust_code: bool = False,
    ) -> Model:
        """Load what ``save_pretrained`` wrote; ``networks`` are needed where instances were trained.

        Networks that it names as ``package.module:Class`` are imported only with ``trust_code``.
        Raises ValueError for those, and for files that are damaged or do not belong together.
        """
        folder = Path(folder)
        if not (folder / "config.json").is_file() or not (folder / "model.safetensors").is_file():
            raise ValueError(f"{folder} holds no saved model (config.json and model.safetensors)")
        entries = read_json(folder / "config.json")
        check_format(entries, folder)
        path, weights = folder / "config.json", folder / "model.safetensors"
        entries = unsealed(entries, path)
        run = entries.pop("run", None)
        if not isinstance(run, str):
            raise CorruptFileError(f"{path} is damaged: its run is no id; restore it from a copy")
        tensors, facts = read_tensors(weights, run)
        if facts.get("config") != checksum(entries):
            raise CorruptFileError(f"{path} does not belong to the weights in {weights}")
        space = space_of(entries.get("space"), path)
        transform = transform_of(entries.get("transform"), space, path)
        table = table_of(entries.get("table"), space, path)
        config = from_json(entries["config"], str(path), trust_code, networks or {})
        check_seed(config.training.seed)
        method = assemble(config, space, networks)
        state = {
            k.removeprefix("method/"): v for k, v in tensors.items() if k.startswith("method/")
        }
        check_weights(method, state, folder)
        method.load_state_dict(state)
        extras = tensors.get("held_out"), tensors.get("moments")
        check_reference(*extras, space, weights)
        method = placed(method, torch.device(device))
        model = cls(method, config, space, transform, *extras, run=run, table=table)
        model.folder = folder
        return model


def placed(method: TrainingMethod, device: torch.device) -> TrainingMethod:
    """``method`` on ``device``; a buffer in double precision becomes single where there is no double."""
    return method.to(device, torch.float32 if device.type == "mps" else None)


def with_doubles(model: Model) -> Model:
    """``model``, or a copy on the CPU if its device has no double precision, which log Z needs."""
    if model.device.type != "mps":
        return model
    method = copy.deepcopy(model.method).to("cpu")
    return Model(method, model.config, model.space, model.transform, model.held_out, model.moments)


def load_model(
    run: str | Path,
    networks: Mapping[str, nn.Module] | None = None,
    device: str | torch.device = "cpu",
    trust_code: bool = False,
) -> Model:
    """The trained model of a run folder (or of a folder that ``save_pretrained`` wrote).

    Arguments and errors are those of ``Model.from_pretrained``.
    """
    path = Path(run)
    if (path / "model.safetensors").is_file():
        return Model.from_pretrained(path, networks, device, trust_code)
    opened = open_run(path)
    folder, identity = opened.model, opened.identity()
    if not (folder / "model.safetensors").is_file():
        raise ValueError(f"{path} has no saved model yet; {how_to_finish(path)}")
    try:
        model = Model.from_pretrained(folder, networks, device, trust_code)
    except CorruptFileError as error:
        raise CorruptFileError(
            f"{error}; `gibbsian train --resume {path}` saves the model again from the last checkpoint"
        ) from error
    if model.run != identity:
        raise ForeignFileError(
            f"{folder} is of another run, {model.run or 'without an identity'}; `gibbsian train --resume "
            f"{path}` saves this run's own model again"
        )
    model.folder, model.rounds = path, next(iter(rounds_saved(opened.state)), None)
    return model
