"""Full variational Bayes (Kingma, Welling 2014, appendix F): of the decoder's weights as well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn

from gibbsian.core import Batch, Loss, PlayerUpdate, TrainingMethod
from gibbsian.core.measures import Gaussian, Measure, Undefined
from gibbsian.core.roles import DECODER, ENCODER, Role
from gibbsian.methods.checks import check_at_least, check_positive, refuse_given
from gibbsian.methods.observations import observation_of
from gibbsian.methods.posteriors import POSTERIORS, location_and_log_scale
from gibbsian.methods.unrolled import call_at, parameters_of


class FullBayes(TrainingMethod):
    """Full VB: q(z|x) and a Gaussian q(theta) of the decoder's weights, under the prior N(0, I) of both.

    log p(X) >= E_q[log p_theta(X) + log p(theta) - log q(theta)], with the evidence lower bound in
    place of log p_theta(X): a bound on the evidence of the whole data set, of which a batch is an
    unbiased estimate. Per observation, the divergence of q(theta) counts 1/N.

    Args:
        points: N, the number of training points.
        spread: standard deviation of q(theta) at the start, about the decoder's first weights.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {"model": ("theta", "log_s", "encoder")}
    roles: ClassVar[Mapping[str, Role]] = {"decoder": DECODER, "encoder": ENCODER}
    directed: ClassVar[bool] = True

    def __init__(
        self,
        decoder: nn.Module,
        encoder: nn.Module,
        prior: Gaussian,
        measure: Measure | Undefined,
        *,
        points: int,
        spread: float = 0.01,
    ):
        super().__init__(measure)
        check_at_least("points", points, 1)
        check_positive("spread", spread)
        start = parameters_of(decoder)
        self.decoder = decoder  # its own weights are the start of theta and nothing else
        self.encoder = encoder
        self.prior = prior
        self.observation = observation_of(measure)
        self.family = POSTERIORS["gaussian"]
        self.points = points
        self.theta = nn.Parameter(start.detach().clone())
        self.log_s = nn.Parameter(torch.full_like(start, spread).log().detach())

    def round(self, index: int, data: Iterator[Batch], rng: Generator) -> Iterator[PlayerUpdate]:
        """One step of q(z|x) and q(theta) on one batch, with one draw of theta (Algorithm 2)."""
        x = next(data).x
        eps = self.family.noise((len(x), *self.prior.shape), rng)
        zeta = self.family.noise(tuple(self.theta.shape), rng)
        yield PlayerUpdate("model", self.bound_loss, (x, eps, zeta))

    def bound_loss(self, x: Tensor, eps: Tensor, zeta: Tensor) -> Loss:
        """Minus the bound per observation, both divergences in closed form.

        ``eps [B, latent_dim]`` and ``zeta [P]`` are the noise of z and of theta.
        """
        m, log_s = location_and_log_scale(self.encoder(x))
        theta = self.theta + torch.exp(self.log_s) * zeta
        a = call_at(self.decoder, theta, m + torch.exp(log_s) * eps)
        reconstruction = self.observation.log_prob(x, a).mean()
        of_z = self.family.divergence(m, log_s, self.prior).mean()
        of_theta = self.family.divergence(self.theta, self.log_s, Gaussian(tuple(self.theta.shape)))
        logs = {
            "reconstruction": reconstruction.detach(),
            "divergence": of_z.detach(),
            "divergence_theta": of_theta.detach(),
        }
        return Loss(of_z - reconstruction + of_theta / self.points, logs)

    @torch.no_grad()
    def sample(self, n: int, rng: Generator, given: Tensor | None = None) -> Tensor:
        """``[n, *event]`` from one draw of theta: z from the prior, then a draw of p(x|z)."""
        refuse_given(given)
        theta = self.theta + self.log_s.exp() * self.family.noise(tuple(self.theta.shape), rng)
        a = call_at(self.decoder, theta, self.prior.sample(n, rng))
        return self.observation.draw(a, self.observation.noise(n, rng))
