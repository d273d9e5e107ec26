"""What a sweep measures of a trained model, on validation rows: every choice is made on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch

from gibbsian.config.config import Config
from gibbsian.core import Estimate, NotDefined
from gibbsian.core.measures import Undefined
from gibbsian.core.protocols import HasLogWeights
from gibbsian.data import Dataset
from gibbsian.data.closed_forms import Modes
from gibbsian.evaluation import entropy_of_class_counts, inception_type_score, mode_coverage
from gibbsian.evaluation.features.classifier import Classifier
from gibbsian.evaluation.metrics.class_scores import clipped_kl_score
from gibbsian.evaluation.metrics.frechet import gaussian_frechet
from gibbsian.models.evaluate import model_kl
from gibbsian.models.log_density import WEIGHED, mean_log_likelihood
from gibbsian.models.model import Model, with_doubles
from gibbsian.models.train import untrained

ROWS = 5_000
Figures = dict[str, float]


class Setting(NamedTuple):
    """What a trial is judged with."""

    samples: int
    seed: int
    judge: Classifier | None = None


class Objective(NamedTuple):
    """A figure's name, whether larger is better, and the function that finds it among others."""

    maximise: bool
    measure: Callable[[Model, Dataset, Setting], Figures]


def density(model: Model, data: Dataset, setting: Setting) -> Figures:
    """Held-out log-likelihood, its lower side, in nats a row; KL to the truth where that is known.

    Of a directed model the importance bound, so that its KL is one from above. ValueError where log Z
    is not defined.
    """
    model = with_doubles(model)
    if isinstance(model.method, HasLogWeights):
        x = data.valid[:WEIGHED]
        below = model.log_prob_bounds(x, seed=setting.seed)[0].double()
        directed = {"log-likelihood": float(below.mean())}
        if data.density is not None:
            directed["kl"] = float((data.density.log_prob(x) - below).mean())
        return directed
    z = model.log_z(seed=setting.seed)
    found = mean_log_likelihood(model, data.valid[:ROWS], z, setting.seed)
    if isinstance(found, NotDefined):
        raise ValueError(f"log Z is {found}")
    kl = model_kl(model, data, z)
    figures = {"log-likelihood": found.lower.value}
    return figures | ({"kl": kl.value} if isinstance(kl, Estimate) else {})


def coverage(model: Model, data: Dataset, setting: Setting) -> Figures:
    """Modes of a mixture that samples reach; ValueError for data without known modes."""
    modes = modes_of(data)
    found = mode_coverage(model.sample(setting.samples, setting.seed), modes.means, modes.std)
    return {
        "modes": float(found.strictly_covered),
        "high-quality": found.high_quality,
        "mode-kl": found.histogram_kl,
    }


def pictures(model: Model, data: Dataset, setting: Setting) -> Figures:
    """A classifier's opinion of samples; ValueError without a classifier."""
    judge = judge_of(setting)
    x, rng = model.sample(setting.samples, setting.seed), torch.Generator()
    log_p = judge.logits(x).log_softmax(1)
    fits = [
        (features.mean(0), torch.cov(features.T))
        for features in (judge.features(x).double(), judge.features(data.valid[:ROWS]).double())
    ]
    return {
        "frechet": float(gaussian_frechet(*fits[0], *fits[1])),
        "i-prime": clipped_kl_score(log_p, rng.manual_seed(0)).value,
        "inception-type": inception_type_score(log_p, rng.manual_seed(0)).value,
        "class-entropy": entropy_of_class_counts(log_p.argmax(1), judge.classes).value,
    }


def modes_of(data: Dataset) -> Modes:
    """The modes of a mixture; ValueError for data without known modes."""
    modes = None if data.density is None else data.density.modes()
    if modes is None:
        raise ValueError(f"{data.name} has no known modes to cover")
    return modes


def judge_of(setting: Setting) -> Classifier:
    """The classifier; ValueError without one."""
    if setting.judge is None:
        raise ValueError(
            "images are judged by a classifier: make one with `gibbsian classifier` and give it "
            "by --metric-classifier"
        )
    return setting.judge


def possible(name: str, data: Dataset, setting: Setting, configs: Sequence[Config]) -> None:
    """ValueError if no run of ``configs`` on ``data`` could have the objective ``name``."""
    measure = SWEEP_OBJECTIVES[name].measure
    if measure is coverage:
        modes_of(data)
    elif measure is pictures:
        judge_of(setting)
    elif measure is density:
        whys = [why_not_normalised(config, data) for config in configs]
        if all(whys):
            raise ValueError(f"{name} needs log Z, which is not defined: {whys[0]}")


def why_not_normalised(config: Config, data: Dataset) -> str | None:
    """The reason if the model of ``config`` has no log Z; None too where it cannot even be built."""
    try:
        measure = untrained(config, data)[1].measure
    except ValueError:  # its trial will say why
        return None
    return measure.why if isinstance(measure, Undefined) else None


SWEEP_OBJECTIVES: Mapping[str, Objective] = {
    "kl": Objective(False, density),
    "log-likelihood": Objective(True, density),
    "modes": Objective(True, coverage),
    "high-quality": Objective(True, coverage),
    "mode-kl": Objective(False, coverage),
    "frechet": Objective(False, pictures),
    "i-prime": Objective(True, pictures),
    "inception-type": Objective(True, pictures),
    "class-entropy": Objective(True, pictures),
}
