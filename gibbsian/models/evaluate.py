"""What is worth knowing about a trained model, as numbers with their errors and their standing."""

from __future__ import annotations

import hashlib
import io
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from gibbsian.config.run_folder import Run
from gibbsian.core import Estimate, Interval, NotDefined
from gibbsian.core.files import write_atomic
from gibbsian.core.measures import Undefined
from gibbsian.core.protocols import HasEnergy, HasLogits, HasLogWeights, HasOverlap
from gibbsian.core.records import write_record
from gibbsian.data import Dataset, corruptions
from gibbsian.evaluation import (
    auroc_table,
    gaussian_score,
    held_out_log_likelihood,
    kl_to_model,
    mode_coverage,
    pca_score,
)
from gibbsian.evaluation.log_z.effort import Amount
from gibbsian.models.build import assemble
from gibbsian.models.latents import latent_space, manifold
from gibbsian.models.log_density import (
    between_log_likelihood,
    directed_likelihood,
    directed_log_density,
    generator_bound,
    learned_log_z,
    log_density,
    log_z,
    shifted,
)
from gibbsian.models.model import Model, placed

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
    """Every figure that exists for this model on this data; written into ``run`` if given.

    Where ``run`` cannot be written, a warning says so.

    ``x_model``: samples that are drawn already. ``require`` names rows that must exist (``log-z``,
    ``kl``, ``coverage``); ValueError otherwise. ``effort``: spent on log Z.
    """
    absent = set() if data.density is not None else {"entropy", "kl"}
    absent |= set() if isinstance(model.method, HasOverlap) else {"between"}
    absent |= set() if _classifies(model, data) else {"error"}
    known = [name for name in LABELS if name not in absent]
    for name in require:
        if name not in known:
            raise ValueError(f"unknown quantity {name!r} to require; there are {', '.join(known)}")
    test = data.test[:HELD_OUT]
    near = model.encode(data.train[:SEEN], seed)
    arrays: dict[str, Tensor] = {"test": test}
    bound = generator_bound(model, seed)
    found: dict[str, object] = {
        "log-z": log_z(model, near, seed, bound, effort),
        "generator": bound,
    }
    found["learned"] = learned_log_z(model)
    found |= _likelihood(model, data, test, found["log-z"], seed)
    x_model = model.sample(samples, seed) if x_model is None else x_model
    arrays["samples"] = x_model[:SEEN]
    space = latent_space(model)
    if space is not None and space[0].shape == (2,):
        arrays["manifold"] = manifold(model, MANIFOLD)
    found["coverage"] = _coverage(x_model, data)
    if _classifies(model, data):
        found["error"] = classification_error(model, data)
    for name in require:
        if found[name] is None or isinstance(found[name], NotDefined):
            raise ValueError(f"{name} is {found[name] or 'not defined for these data'}")
    anomaly = None
    if isinstance(model.method, HasEnergy):
        anomaly = _anomaly(model, data, test, seed, arrays)
        arrays["energy/samples"] = model.energy(x_model[:SEEN], seed)
        _landscape(model, data, found["log-z"], arrays)
    warned = [w for value in found.values() if isinstance(value, Interval) for w in value.warnings]
    figures = {
        "warnings": warned,
        "rows": {LABELS[name]: str(value) for name, value in found.items() if value is not None},
        "values": {name: _numbers(value) for name, value in found.items() if value is not None},
        "anomaly": anomaly,
        "samples": samples,
        "seed": seed,
    }
    if run is not None:
        try:
            _keep(run, model.run, figures, arrays)
        except OSError as error:
            where = error.filename or run.path
            warnings.warn(
                f"the figures could not be saved in {where}: {error.strerror or error}",
                stacklevel=2,
            )
    return figures


def _keep(
    run: Run, identity: str, figures: Mapping[str, Any], arrays: Mapping[str, Tensor]
) -> None:
    """Write the arrays, then the figures with the arrays' digest: neither is taken for another's."""
    buffer = io.BytesIO()
    columns: dict[str, Any] = {name: array.numpy() for name, array in arrays.items()}
    np.savez_compressed(buffer, **columns)
    content = buffer.getvalue()
    write_atomic(run.path / "evaluation.npz", content)
    arrays_are = hashlib.sha256(content).hexdigest()
    write_record(run.evaluation, {"run": identity, **figures, "arrays": arrays_are})


LABELS: Mapping[str, str] = {
    "log-z": "log Z (scaled units, nats)",
    "generator": "the same from below, by the generator",
    "learned": "the same as training learned it",
    "log-likelihood": "held-out log-likelihood (nats per row, data's units)",
    "between": "the same of p*, between p and q",
    "entropy": "the same of the true density",
    "kl": "KL(data || model) (nats)",
    "coverage": "mode coverage of samples",
    "error": "share of test rows whose class the energy gets wrong",
}


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
    model: Model, data: Dataset, test: Tensor, z: object, seed: int
) -> dict[str, object]:
    """Held-out log-likelihood from both sides; KL to the truth where the truth is known."""
    found: dict[str, object] = {}
    method = model.method
    if isinstance(z, Interval) and isinstance(method, HasEnergy):
        assert not isinstance(method.measure, Undefined)
        u = model.encode(test, seed)
        held_out = held_out_log_likelihood(method.energy, method.measure, z, u)
        if isinstance(held_out, Interval):
            held_out = shifted(held_out, model.transform.log_jacobian)
        found["log-likelihood"] = held_out
    elif isinstance(z, NotDefined) and not isinstance(method, HasLogWeights):
        found["log-likelihood"] = z
    else:
        found["log-likelihood"] = directed_likelihood(model, test, seed)
    if isinstance(method, HasOverlap) and isinstance(z, Interval):
        found["between"] = between_log_likelihood(model, test, z, seed)
    if data.density is None:
        return found
    found["entropy"] = Estimate(*_mean_error(data.density.log_prob(test)), "both", "exact", "mean")
    found["kl"] = model_kl(model, data, z)
    return found


def model_kl(model: Model, data: Dataset, z: object) -> Estimate | NotDefined:
    """KL(p_data || p_theta) where the data's density is known: by quadrature where log Z exists.

    Of a directed model from above, on held-out rows.
    """
    density, transform = data.density, data.transform
    if density is not None and isinstance(model.method, HasLogWeights):
        x = data.test[:HELD_OUT]
        gaps = density.log_prob(x) - directed_log_density(model, x, 0)
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

    method, near = model.method, model.encode(data.train[:SEEN])
    return kl_to_model(log_p, method.energy, method.measure, near=near, device=model.device)


def _mean_error(values: Tensor) -> tuple[float, float]:
    return float(values.mean()), float(values.std() / len(values) ** 0.5)


def _coverage(x_model: Tensor, data: Dataset) -> object:
    modes = None if data.density is None else data.density.modes()
    return None if modes is None else mode_coverage(x_model, modes.means, modes.std)


def _anomaly(
    model: Model, data: Dataset, test: Tensor, seed: int, arrays: dict[str, Tensor]
) -> dict[str, Any]:
    """AUROC of the energy between held-out rows and graded corruptions, beside plain baselines."""
    rng = torch.Generator().manual_seed(seed)  # the rows are on the CPU wherever the model is
    corrupted = corruptions(test, data.space, rng, data.train.std(0))
    fresh = placed(assemble(model.config, model.space), model.device)
    untrained = Model(fresh, model.config, model.space, model.transform)
    scores = {"energy": model.energy, "Gaussian": gaussian_score(data.train)}
    if test[0].numel() > 1:
        scores["PCA"] = pca_score(data.train)
    scores["untrained"] = untrained.energy
    table = auroc_table(scores, test, corrupted)
    arrays["energy/held-out data"] = model.energy(test, seed)
    for name, x in corrupted.items():
        arrays[f"energy/{name}"] = model.energy(x, seed)
    return {
        "columns": list(corrupted),
        "rows": {name: [str(a) for a in cells.values()] for name, cells in table.cells.items()},
        "values": {
            score: {name: [a.value, a.stderr] for name, a in cells.items()}
            for score, cells in table.cells.items()
        },
    }


def _landscape(model: Model, data: Dataset, z: object, arrays: dict[str, Tensor]) -> None:
    """Log-densities over the plane of two-dimensional data, in its units."""
    if tuple(data.space.shape) != (2,) or not isinstance(model.method, HasEnergy):
        return
    low, high = data.test.amin(0), data.test.amax(0)
    middle, half = (low + high) / 2, 0.6 * float((high - low).max())
    axes = [torch.linspace(float(m) - half, float(m) + half, LANDSCAPE) for m in middle]
    y, x = torch.meshgrid(axes[1], axes[0], indexing="ij")
    points = torch.stack([x.flatten(), y.flatten()], 1)
    values = -model.energy(points)
    if isinstance(z, Interval):
        values = log_density(model, points, -values, z, 0)[1]
    else:
        values = values - values.max()
    arrays["landscape/model"] = values.view(LANDSCAPE, LANDSCAPE)
    if data.density is not None and isinstance(z, Interval):
        arrays["landscape/truth"] = data.density.log_prob(points).view(LANDSCAPE, LANDSCAPE).float()
    arrays["landscape/extent"] = torch.tensor([*axes[0][[0, -1]], *axes[1][[0, -1]]])


def _numbers(value: object) -> Any:
    """The figures of a result as JSON, which has neither NaN nor infinity: null stands for them."""
    if isinstance(value, NotDefined):
        return None
    if isinstance(value, Interval):
        return {"lower": _numbers(value.lower), "upper": _numbers(value.upper)}
    if isinstance(value, Estimate):
        return {
            "value": _finite(value.value),
            "stderr": _finite(value.stderr),
            "standing": value.standing,
        }
    return {k: _finite(v) for k, v in vars(value).items() if isinstance(v, (int, float))}


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def render(figures: Mapping[str, Any]) -> str:
    """The figures as a table for a terminal."""
    width = max(len(name) for name in figures["rows"])
    lines = [f"{name:{width}s}  {text}" for name, text in figures["rows"].items()]
    anomaly = figures["anomaly"]
    if anomaly:
        lines += ["", "AUROC between held-out and corrupted rows (0.5 guesses, 1 separates):"]
        cells = [["", *anomaly["columns"]]]
        cells += [[name, *row] for name, row in anomaly["rows"].items()]
        widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
        lines += [
            "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
            for row in cells
        ]
    lines += [f"warning: {warning}" for warning in figures["warnings"]]
    return "\n".join(lines)
