"""Monte-Carlo EM (Kingma, Welling 2014, appendix E): a decoder learnt from posterior draws by HMC."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn

from gibbsian.core import Batch, Loss, PlayerUpdate, TrainingMethod
from gibbsian.core.measures import Gaussian, Measure, Undefined
from gibbsian.core.numerics import call_frozen
from gibbsian.core.roles import DECODER, Role
from gibbsian.methods.checks import check_at_least, check_positive, check_probability, refuse_given
from gibbsian.methods.observations import observation_of
from gibbsian.samplers import hmc, run_chains

GAIN = 0.1
"""Change of log step size per unit of missed acceptance."""


class MonteCarloEM(TrainingMethod):
    """MCEM: no encoder; z ~ p(z|x) by Hamiltonian Monte Carlo, then steps of the decoder on log p(x, z).

    Every training point keeps one z, from which its chain goes on when its turn comes again. That is
    why it does not scale: each visit of a point costs ``steps`` trajectories before anything is learnt.

    Args:
        points: N, the number of training points.
        steps: HMC steps per visit of a point.
        leapfrog: gradients per HMC step.
        step_size: of the leapfrog steps at the start; tuned from then on.
        acceptance: to which the step size is tuned.
        updates: decoder steps on the acquired draws.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {"model": ("decoder",)}
    roles: ClassVar[Mapping[str, Role]] = {"decoder": DECODER}
    local: ClassVar[tuple[str, ...]] = ("z", "log_step_size")
    directed: ClassVar[bool] = True

    def __init__(
        self,
        decoder: nn.Module,
        prior: Gaussian,
        measure: Measure | Undefined,
        *,
        points: int,
        steps: int = 1,
        leapfrog: int = 10,
        step_size: float = 0.1,
        acceptance: float = 0.9,
        updates: int = 5,
    ):
        super().__init__(measure)
        counts = {"points": points, "steps": steps, "leapfrog": leapfrog, "updates": updates}
        for name, count in counts.items():
            check_at_least(name, count, 1)
        check_positive("step_size", step_size)
        check_probability("acceptance", acceptance)
        self.decoder = decoder
        self.prior = prior
        self.observation = observation_of(measure)
        self.steps = steps
        self.leapfrog = leapfrog
        self.acceptance = acceptance
        self.updates = updates
        self.register_buffer("z", torch.zeros(points, *prior.shape))
        self.register_buffer("log_step_size", torch.tensor(step_size).log())
        self.z: Tensor
        self.log_step_size: Tensor

    def round(self, index: int, data: Iterator[Batch], rng: Generator) -> Iterator[PlayerUpdate]:
        """The chains of one batch go on, then ``updates`` steps of the decoder on their ends."""
        batch = next(data)
        z = self.advance(batch.x, self.z[batch.index], rng)
        self.z[batch.index] = z
        for _ in range(self.updates):
            yield PlayerUpdate("model", self.model_loss, (batch.x, z))

    def advance(self, x: Tensor, z: Tensor, rng: Generator) -> Tensor:
        """``steps`` HMC steps of p(z|x) from ``z [B, latent_dim]``, detached; tunes the step size."""
        kernel = hmc(partial(self.energy, x), float(self.log_step_size.exp()), self.leapfrog)
        chains = run_chains(kernel, z, self.steps, rng, keep="last")
        missed = chains.acceptance.mean() - self.acceptance
        self.log_step_size += GAIN * self.steps * missed
        return chains.state.x

    def energy(self, x: Tensor, z: Tensor) -> Tensor:
        """-log p(z) - log p(x|z), ``[B]``, with gradient -grad log p(z|x)."""
        return -self.prior.log_density(z) - self.decoded(x, z)

    def model_loss(self, x: Tensor, z: Tensor) -> Loss:
        """-mean log p(x, z)."""
        return Loss(self.energy(x, z).mean())

    def decoded(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z), ``[B]``."""
        return self.observation.log_prob(x, self.decoder(z))

    @torch.no_grad()
    def sample(self, n: int, rng: Generator, given: Tensor | None = None) -> Tensor:
        """``[n, *event]``: z from the prior, then a draw of p(x|z)."""
        refuse_given(given)
        a = call_frozen(self.decoder, self.prior.sample(n, rng))
        return self.observation.draw(a, self.observation.noise(n, rng))
