"""Which weights become the model: of those looked at in training, the ones that validation rows like best."""

from __future__ import annotations

import copy

import torch
from torch import Generator

from gibbsian.core import TrainingMethod
from gibbsian.core.protocols import HasLogProb
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

    Integer data are dequantised once. Raises ValueError for a method without an exact log-density.
    """

    def __init__(self, method: TrainingMethod, dataset: Dataset):
        if not isinstance(method, HasLogProb):
            raise ValueError(
                "--validate-every compares exact log-densities, and this method has none; leave it at 0"
            )
        parameter = next(method.parameters())
        rng = Generator(parameter.device).manual_seed(0)
        rows = dataset.valid[:VALIDATED].to(parameter.device)
        self.u = dataset.transform.encode(rows, rng).to(parameter.dtype)
        self.log_jacobian = dataset.transform.log_jacobian

    @torch.no_grad()
    def __call__(self, progress: Progress) -> float:
        """Nats per row, in the data's units, of the weights as they are now, or of their average."""
        method = latest(progress).eval()
        assert isinstance(method, HasLogProb)
        log_p = torch.cat([method.log_prob(part).cpu() for part in self.u.split(CHUNK)])
        value = float(log_p.double().mean()) + self.log_jacobian
        if value > progress.best_value:
            progress.best, progress.best_value = dict(method.state_dict()), value
        return value
