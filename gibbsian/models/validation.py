"""Which weights become the model: of those looked at in training, the ones that validation rows like best."""

from __future__ import annotations

import copy

import torch
from torch import Generator

from gibbsian.core import TrainingMethod
from gibbsian.core.protocols import HasLogProb, HasStages
from gibbsian.data import Dataset
from gibbsian.models.model import CHUNK
from gibbsian.training.checkpoints import Progress

VALIDATED = 10_000
"""Validation rows that are looked at, at most."""


def latest(progress: Progress) -> TrainingMethod:
    """A copy of the method; averaged weights stand in for the last ones if kept."""
    method = copy.deepcopy(progress.method)
    with torch.no_grad():
        for name, parameter in method.named_parameters():
            parameter.copy_(progress.average.get(name, parameter))
    return method


def chosen(progress: Progress) -> TrainingMethod:
    """A copy of the method with the weights that validation liked best, if it has looked; else `latest`."""
    method = latest(progress)
    if progress.best:
        method.load_state_dict(progress.best)
    return method


class Validation:
    """Mean log-likelihood of the validation rows of ``dataset``, whose best weights ``progress.best`` keeps.

    Integer data are dequantised once. A method in stages goes on to its next stage from these weights;
    ``rounds`` are those of the run. Raises ValueError for a method that has neither stages nor an exact
    log-density.
    """

    def __init__(self, method: TrainingMethod, dataset: Dataset, rounds: int = 0):
        if not isinstance(method, HasLogProb | HasStages):
            raise ValueError(
                "--validate-every compares exact log-densities, and this method has none; leave it at 0"
            )
        parameter = next(method.parameters())
        rng = Generator(parameter.device).manual_seed(0)
        rows = dataset.valid[:VALIDATED].to(parameter.device)
        self.u = dataset.transform.encode(rows, rng).to(parameter.dtype)
        self.log_jacobian, self.rounds = dataset.transform.log_jacobian, rounds

    @torch.no_grad()
    def __call__(self, progress: Progress) -> float:
        """Nats per row, in the data's units, of the weights as they are now, or of their average."""
        method = latest(progress).eval()
        value = self._log_likelihood(method) + self.log_jacobian
        gained = value > progress.best_value
        if gained:
            progress.best, progress.best_value = dict(method.state_dict()), value
        stages = progress.method
        if isinstance(stages, HasStages) and stages.stage_ends(
            gained, progress.index / self.rounds
        ):
            restore_best(progress)
            stages.next_stage()
            progress.stage_began = progress.index
        return value

    def _log_likelihood(self, method: TrainingMethod) -> float:
        """Mean log-density of the rows in the networks' units, nats."""
        if isinstance(method, HasStages):
            return method.validate(self.u)
        assert isinstance(method, HasLogProb)
        log_p = torch.cat([method.log_prob(part).cpu() for part in self.u.split(CHUNK)])
        return float(log_p.double().mean())


def restore_best(progress: Progress) -> None:
    """Go on from the weights that validation liked best; their averages start anew there."""
    progress.method.load_state_dict(progress.best)
    for name, parameter in progress.method.named_parameters():
        if name in progress.average:
            progress.average[name].copy_(parameter)
