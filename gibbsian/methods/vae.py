"""Auto-encoding variational Bayes (Kingma, Welling 2014), with the estimators it is compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal, get_args

import torch
from torch import Generator, Tensor, nn

from gibbsian.core import Batch, Loss, PlayerUpdate, TrainingMethod
from gibbsian.core.measures import Gaussian, Measure, Undefined
from gibbsian.core.numerics import call_frozen, log_mean_exp
from gibbsian.core.roles import DECODER, ENCODER, Role
from gibbsian.methods.checks import check_at_least, check_choice
from gibbsian.methods.observations import observation_of
from gibbsian.methods.posteriors import POSTERIORS, location_and_log_scale

Estimator = Literal["b", "a", "score-function", "importance-weighted", "wake-sleep"]
Posterior = Literal["gaussian", "laplace", "logistic"]


class VAE(TrainingMethod):
    """VAE: a decoder p(x|z) and an encoder q(z|x) ascend a lower bound on log p(x) together.

    log p(x) = KL(q(z|x) || p(z|x)) + L, L = E_q[log p(x, z) - log q(z|x)]. With z = m(x) + s(x) eps
    the expectation is over eps alone and L is differentiated through z. Bits have a Bernoulli
    decoder, all other data a Gaussian one with a mean and a variance per coordinate; the model is
    normalised, so that its likelihood is bounded without any log Z. Grey images are densities
    here and not probabilities of ink.

    Args:
        elbo_gradient_estimator: of the bound: b (divergence from the prior in closed form) or a
            (all by sampling), score-function (no derivative through z), importance-weighted (log of the
            mean weight of the samples, Burda et al. 2016), or wake-sleep, which is no bound's gradient.
        latent_samples: L, how many z are drawn per observation.
        posterior_family: the family of q(z|x), z = m + s eps.
        samples_without_output_noise: hand out the mean of p(x|z) in place of a draw.
        inpainting_sweeps: of the chain that fills in what is missing of an observation.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {"model": ("decoder", "encoder")}
    roles: ClassVar[Mapping[str, Role]] = {"decoder": DECODER, "encoder": ENCODER}
    directed: ClassVar[bool] = True

    def __init__(
        self,
        decoder: nn.Module,
        encoder: nn.Module,
        prior: Gaussian,
        measure: Measure | Undefined,
        *,
        elbo_gradient_estimator: Estimator = "b",
        latent_samples: int = 1,
        posterior_family: Posterior = "gaussian",
        samples_without_output_noise: bool = False,
        inpainting_sweeps: int = 100,
    ):
        super().__init__(measure)
        check_choice("elbo_gradient_estimator", elbo_gradient_estimator, get_args(Estimator))
        check_at_least("latent_samples", latent_samples, 1)
        check_choice("posterior_family", posterior_family, POSTERIORS)
        check_at_least("inpainting_sweeps", inpainting_sweeps, 1)
        self.decoder = decoder
        self.encoder = encoder
        self.prior = prior
        self.observation = observation_of(measure)
        self.family = POSTERIORS[posterior_family]
        self.elbo_gradient_estimator = elbo_gradient_estimator
        self.latent_samples = latent_samples
        self.samples_without_output_noise = samples_without_output_noise
        self.inpainting_sweeps = inpainting_sweeps

    def round(self, index: int, data: Iterator[Batch], rng: Generator) -> Iterator[PlayerUpdate]:
        """One step of both networks on one batch (Algorithm 1)."""
        x = next(data).x
        eps = self.family.noise((self.latent_samples, len(x), *self.prior.shape), rng)
        if self.elbo_gradient_estimator == "wake-sleep":
            dream = self.prior.sample(len(x), rng), self.observation.noise(len(x), rng)
            yield PlayerUpdate("model", self.wake_sleep_loss, (x, eps, *dream))
        else:
            yield PlayerUpdate("model", self.bound_loss, (x, eps))

    def bound_loss(self, x: Tensor, eps: Tensor) -> Loss:
        """Minus the bound per observation, for noise ``eps [L, B, latent]``."""
        m, log_s = self.posterior(x)
        z = m + torch.exp(log_s) * eps
        if self.elbo_gradient_estimator == "b":
            reconstruction = self.log_likelihood(x, z).mean()
            divergence = self.family.divergence(m, log_s, self.prior).mean()
            logs = {"reconstruction": reconstruction.detach(), "divergence": divergence.detach()}
            return Loss(divergence - reconstruction, logs)
        if self.elbo_gradient_estimator == "score-function":
            return self.score_function_loss(x, z.detach(), m, log_s)
        f = self.log_joint(x, z) - self.family.log_prob(z, m, log_s)
        value = log_mean_exp(f) if self.elbo_gradient_estimator == "importance-weighted" else f
        return Loss(-value.mean(), {"bound": value.detach().mean()})

    def score_function_loss(self, x: Tensor, z: Tensor, m: Tensor, log_s: Tensor) -> Loss:
        """Its gradient in q is mean f grad log q(z|x), f = log p(x, z) - log q(z|x) held fixed.

        The value has no meaning of its own; ``bound`` is the mean of f.
        """
        log_p, log_q = self.log_joint(x, z), self.family.log_prob(z, m, log_s)
        f = (log_p - log_q).detach()
        return Loss(-(log_p + f * log_q).mean(), {"bound": f.mean()})

    def wake_sleep_loss(self, x: Tensor, eps: Tensor, z_dream: Tensor, noise: Tensor) -> Loss:
        """-mean log p(x, z), z ~ q(z|x), reaches p; -mean log q(z|x) of dreams from p reaches q.

        Hinton, Dayan, Frey, Neal (1995). Two objectives, not jointly a bound.
        """
        m, log_s = self.posterior(x)
        z = (m + torch.exp(log_s) * eps).detach()
        wake = self.log_joint(x, z)
        bound = wake - self.family.log_prob(z, m, log_s)
        x_dream = self.observation.draw(call_frozen(self.decoder, z_dream), noise).detach()
        sleep = self.family.log_prob(z_dream, *self.posterior(x_dream))
        logs = {"bound": bound.detach().mean(), "sleep": sleep.detach().mean()}
        return Loss(-(wake.mean() + sleep.mean()), logs)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Location m and log-scale log s of q(z|x), ``[B, latent_dim]`` each."""
        return location_and_log_scale(self.encoder(x))

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) of ``x [B, *event]`` for ``z [L, B, latent]``, ``[L, B]``."""
        a = self.decoder(z.flatten(0, 1))
        copies = x.expand(len(z), *x.shape).flatten(0, 1)
        return self.observation.log_prob(copies, a).view(z.shape[:2])

    def log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(z) + log p(x|z) for ``z [L, B, latent]``, ``[L, B]``."""
        log_prior = self.prior.log_density(z.flatten(0, 1)).view(z.shape[:2])
        return log_prior + self.log_likelihood(x, z)

    def decoded(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) of ``x [B, *event]``, ``z [B, latent_dim]``, ``[B]``."""
        return self.log_likelihood(x, z[None])[0]

    @torch.no_grad()
    def log_weights(self, x: Tensor, k: int, rng: Generator) -> Tensor:
        """log p(x, z) - log q(z|x) of ``k`` draws of q for each row, ``[k, B]``."""
        m, log_s = self.posterior(x)
        z = m + torch.exp(log_s) * self.family.noise((k, *m.shape), rng)
        return self.log_joint(x, z) - self.family.log_prob(z, m, log_s)

    def encode(self, x: Tensor) -> Tensor:
        """The means of q(z|x), ``[B, latent_dim]``."""
        return self.posterior(x)[0]

    @torch.no_grad()
    def sample(self, n: int, rng: Generator, given: Tensor | None = None) -> Tensor:
        """``[n, *event]``: z from the prior, then a draw of p(x|z) or its mean.

        ``given [*event]``: an observation with NaN where it is to be filled in.
        """
        z = self.prior.sample(n, rng)
        x = self.drawn(z, rng)
        if given is None:
            return x if not self.samples_without_output_noise else self.means(z)
        observed = ~given.isnan()
        x = torch.where(observed, given, x)
        for _ in range(self.inpainting_sweeps):
            z = self.renewed(x, z, rng)
            x = torch.where(observed, given, self.drawn(z, rng))
        if not self.samples_without_output_noise:
            return x
        return torch.where(observed, given, self.means(z))

    def means(self, z: Tensor) -> Tensor:
        """The means of p(x|z), ``[B, latent_dim] -> [B, *event]``; of bits their probabilities."""
        return self.observation.mean(call_frozen(self.decoder, z))

    def drawn(self, z: Tensor, rng: Generator) -> Tensor:
        """x ~ p(x|z), ``[B, latent_dim] -> [B, *event]``."""
        return self.observation.draw(
            call_frozen(self.decoder, z), self.observation.noise(len(z), rng)
        )

    def renewed(self, x: Tensor, z: Tensor, rng: Generator) -> Tensor:
        """z after a Metropolis step with q(z|x) as proposal, so that p(z|x) is left as it is.

        With draws of x|z between such steps the chain fills in from p(x) exactly (Mattei,
        Frellsen 2018); without the test it would be q's (Rezende, Mohamed, Wierstra 2014).
        """
        m, log_s = self.posterior(x)
        new = m + torch.exp(log_s) * self.family.noise(tuple(m.shape), rng)
        both = torch.stack([z, new])
        log_w = self.log_joint(x, both) - self.family.log_prob(both, m, log_s)
        u = torch.rand(len(z), generator=rng, device=rng.device)
        return torch.where((torch.log(u) < log_w[1] - log_w[0])[:, None], new, z)
