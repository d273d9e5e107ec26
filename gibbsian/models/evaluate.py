"""What is worth knowing about a trained model, as numbers with their errors and their standing."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from gibbsian.config.run_folder import Run
from gibbsian.core import Estimate, Interval, NotDefined
from gibbsian.core.progress import phase
from gibbsian.core.protocols import HasEnergy, HasLogits, HasLogWeights, HasOverlap
from gibbsian.core.recoveries import read_recoveries
from gibbsian.data import Dataset, corrupted_copies
from gibbsian.evaluation import (
    gaussian_anomaly_score,
    kl_to_model,
    mode_coverage,
    pca_anomaly_score,
)
from gibbsian.evaluation.log_z.effort import Amount
from gibbsian.evaluation.metrics.coverage import Coverage
from gibbsian.evaluation.metrics.out_of_distribution import AurocTable, Score, auroc_table
from gibbsian.models.build import assemble
from gibbsian.models.evaluation_record import LABELS, Evaluation, Quantity, save
from gibbsian.models.latents import latent_space, manifold
from gibbsian.models.log_density import (
    between_log_likelihood,
    generator_bound,
    learned_log_z,
    log_z,
    mean_log_likelihood,
)
from gibbsian.models.model import Model, placed, with_doubles
from gibbsian.models.reasons import strangest_held_out

HELD_OUT = 2_000
SEEN = 2_000
LANDSCAPE = 120
MANIFOLD = 20


def evaluate_run(
    model: Model,
    data: Dataset,
    samples: int,
    seed: int,
    require: Sequence[str],
    run: Run | None = None,
    x_model: Tensor | None = None,
    effort: Amount = "normal",
) -> dict[str, Any]:
    """`evaluate`, written into ``run`` if given, as entries that JSON can hold.

    Where ``run`` cannot be written, a warning says so.

    ``x_model``: samples that are drawn already. ``require`` names rows that must exist (``log-z``,
    ``kl``, ``coverage``); ValueError otherwise. ``effort``: spent on log Z.
    """
    model = with_doubles(model)
    known = [name for name in LABELS if name not in _absent(model, data)]
    for name in require:
        if name not in known:
            raise ValueError(f"unknown quantity {name!r} to require; there are {', '.join(known)}")
    found = evaluate(model, data, samples, seed, x_model, effort)
    found.require(require)
    if run is not None:
        recoveries = read_recoveries(run.recoveries, model.run)
        found = dataclasses.replace(found, recoveries=recoveries)
        save(found, run, model.run)
    return found.to_json()


def evaluate(
    model: Model,
    data: Dataset,
    samples: int,
    seed: int,
    x_model: Tensor | None = None,
    effort: Amount = "normal",
) -> Evaluation:
    """Every figure that exists for this model, on the test rows of ``data``.

    ``x_model``: samples that are drawn already; otherwise ``samples`` of them are. ``effort``: spent
    on log Z.
    """
    test = data.test[:HELD_OUT]
    near = model.to_network_units(data.train[:SEEN], seed)
    arrays: dict[str, Tensor] = {"test": test}
    bound = generator_bound(model, seed)
    with phase("log Z"):
        z = log_z(model, near, seed, bound, effort)
    found: dict[str, Quantity | None] = {"log-z": z, "generator": bound}
    found["learned"] = learned_log_z(model)
    with phase("log-likelihood"):
        found |= _likelihood(model, data, test, z, seed)
    with phase("samples"):
        x_model = model.sample(samples, seed) if x_model is None else x_model
    arrays["samples"] = x_model[:SEEN]
    space = latent_space(model)
    if space is not None and space[0].shape == (2,):
        arrays["manifold"] = manifold(model, MANIFOLD)
    found["coverage"] = _coverage(x_model, data)
    if _classifies(model, data):
        found["error"] = classification_error(model, data)
    anomaly: AurocTable | NotDefined = NotDefined("the method has no energy")
    if isinstance(model.method, HasEnergy):
        with phase("corrupted rows"):
            anomaly = _anomaly(model, data, test, seed, arrays)
        finite = x_model[:SEEN].flatten(1).isfinite().all(1)
        arrays["energy/samples"] = model.energy(x_model[:SEEN][finite], seed)
        _landscape(model, data, z, arrays)
    strangest = strangest_held_out(model, data, test)
    values = {name: value for name, value in found.items() if value is not None}
    columns = model.transform.columns
    return Evaluation(values, anomaly, arrays, samples, seed, strangest=strangest, columns=columns)


def held_out_data(model: Model, x: Tensor, seed: int) -> Dataset:
    """Held-out rows ``x [n, *event]`` as a data set: half fit baselines, the other half is measured."""
    if len(x) < 4:
        raise ValueError(f"an evaluation needs at least 4 held-out rows; got {len(x)}")
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    fit, test = x[order].to(model.transform.dtype).tensor_split(2)
    return Dataset("held-out rows", fit, fit[:0], test, model.transform, model.space)


def _absent(model: Model, data: Dataset) -> set[str]:
    """Quantities that the method or the data rule out."""
    absent = set() if data.density is not None else {"entropy", "kl"}
    absent |= set() if isinstance(model.method, HasOverlap) else {"between"}
    return absent | (set() if _classifies(model, data) else {"error"})


def _classifies(model: Model, data: Dataset) -> bool:
    labels = data.targets.get("test")
    known = labels is not None and labels.dtype == torch.int64
    return known and isinstance(getattr(model.method, "energy", None), HasLogits)


@torch.no_grad()
def classification_error(model: Model, data: Dataset) -> Estimate:
    """Share of all test rows that the energy's own classifier gets wrong, with its binomial error."""
    energy = cast("HasLogits", model.method.energy)
    rows = (model.transform.encode(x.to(model.device)) for x in data.test.split(HELD_OUT))
    found = torch.cat([energy.logits(u).argmax(1).cpu() for u in rows])
    wrong = (found != data.targets["test"]).double()
    error = float(wrong.mean())
    stderr = math.sqrt(error * (1 - error) / len(wrong))
    return Estimate(error, stderr, "both", "estimate", "logits of the energy")


def _likelihood(
    model: Model, data: Dataset, test: Tensor, z: Interval | NotDefined, seed: int
) -> dict[str, Quantity | None]:
    """Held-out log-likelihood from both sides; KL to the truth where the truth is known."""
    found: dict[str, Quantity | None] = {}
    found["log-likelihood"] = mean_log_likelihood(model, test, z, seed, data.test_numbers)
    if isinstance(model.method, HasOverlap) and isinstance(z, Interval):
        found["between"] = between_log_likelihood(model, test, z, seed)
    if data.density is None:
        return found
    found["entropy"] = Estimate(*_mean_error(data.density.log_prob(test)), "both", "exact", "mean")
    found["kl"] = model_kl(model, data, z)
    return found


def model_kl(model: Model, data: Dataset, z: Interval | NotDefined) -> Estimate | NotDefined:
    """KL(p_data || p_theta) where the data's density is known: by quadrature where log Z exists.

    Of a directed model from above, on held-out rows.
    """
    density, transform = data.density, data.transform
    if density is not None and isinstance(model.method, HasLogWeights):
        x = data.test[:HELD_OUT]
        gaps = density.log_prob(x) - model.log_prob_bounds(x)[0]
        how = "the density minus the importance bound"
        return Estimate(*_mean_error(gaps), "upper", "bound in expectation", how)
    if density is None:
        return NotDefined("the data's density is unknown")
    if isinstance(z, NotDefined):
        return z
    if not isinstance(model.method, HasEnergy):
        return NotDefined("the method has no energy")

    def log_p(u: Tensor) -> Tensor:
        return density.log_prob(transform.decode(u)) - transform.log_jacobian

    method, near = model.method, model.to_network_units(data.train[:SEEN])
    return kl_to_model(log_p, method.energy, method.measure, near=near, device=model.device)


def _mean_error(values: Tensor) -> tuple[float, float]:
    return float(values.mean()), float(values.std() / len(values) ** 0.5)


def _coverage(x_model: Tensor, data: Dataset) -> Coverage | None:
    modes = None if data.density is None else data.density.modes()
    return None if modes is None else mode_coverage(x_model, modes.means, modes.std)


def _anomaly(
    model: Model, data: Dataset, test: Tensor, seed: int, arrays: dict[str, Tensor]
) -> AurocTable:
    """AUROC of the energy between held-out rows and graded corruptions, beside plain baselines."""
    rng = torch.Generator().manual_seed(seed)  # the rows are on the CPU wherever the model is
    categories = model.transform.categories
    corrupted = corrupted_copies(test, data.space, rng, data.train.std(0), categories)
    fresh = placed(assemble(model.config, model.space), model.device)
    untrained = Model(fresh, model.config, model.space, model.transform)
    train, read = _for_baselines(model, data.train), functools.partial(_for_baselines, model)
    scores = {"energy": model.energy, "Gaussian": _after(read, gaussian_anomaly_score(train))}
    if test[0].numel() > 1:
        scores["PCA"] = _after(read, pca_anomaly_score(train))
    scores["untrained"] = untrained.energy
    table = auroc_table(scores, test, corrupted)
    arrays["energy/held-out data"] = model.energy(test, seed)
    for name, x in corrupted.items():
        arrays[f"energy/{name}"] = model.energy(x, seed)
    return table


def _for_baselines(model: Model, x: Tensor) -> Tensor:
    """Rows as plain baselines read them: as they are, or with categories as one-hot blocks."""
    return model.transform.encode(x) if model.transform.categories else x


def _after(read: Callable[[Tensor], Tensor], score: Score) -> Score:
    def of_rows(x: Tensor) -> Tensor:
        return score(read(x))

    return of_rows


def _landscape(
    model: Model, data: Dataset, z: Interval | NotDefined, arrays: dict[str, Tensor]
) -> None:
    """Log-densities over the plane of two-dimensional data, in its units."""
    if (
        data.space.kind == "mixed"
        or tuple(data.space.shape) != (2,)
        or not isinstance(model.method, HasEnergy)
    ):
        return
    low, high = data.test.amin(0), data.test.amax(0)
    middle, half = (low + high) / 2, 0.6 * float((high - low).max())
    axes = [torch.linspace(float(m) - half, float(m) + half, LANDSCAPE) for m in middle]
    y, x = torch.meshgrid(axes[1], axes[0], indexing="ij")
    points = torch.stack([x.flatten(), y.flatten()], 1)
    if isinstance(z, Interval):
        values = model.log_prob_bounds(points, z=z)[1]
    else:
        values = -model.energy(points)
        values = values - values.max()
    arrays["landscape/model"] = values.view(LANDSCAPE, LANDSCAPE)
    if data.density is not None and isinstance(z, Interval):
        arrays["landscape/truth"] = data.density.log_prob(points).view(LANDSCAPE, LANDSCAPE).float()
    arrays["landscape/extent"] = torch.tensor([*axes[0][[0, -1]], *axes[1][[0, -1]]])
