"""Bidirectional Helmholtz machines (Bornschein, Shabanian, Fischer, Bengio 2016)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal, cast

import torch
from torch import Generator, Tensor, nn

from gibbsian.core import Batch, Loss, PlayerUpdate, TrainingMethod
from gibbsian.core.measures import Counting, Measure, RealSpace, Undefined
from gibbsian.core.numerics import log_mean_exp
from gibbsian.core.roles import BELIEF_NETWORK, Role
from gibbsian.methods.checks import check_at_least, check_choice, check_weight
from gibbsian.methods.helmholtz_chain import Gibbs, resampled
from gibbsian.methods.helmholtz_layers import (
    Beliefs,
    Layers,
    log_p,
    log_q,
    log_root,
    log_weights,
    means_of,
    sample_p,
    sample_q,
    uniforms,
)


class BiHM(TrainingMethod):
    """BiHM: a deep directed model p and its inference model q meet at their geometric mean p*.

    p*(x, h) = sqrt(p(x, h) q(x) q(h|x)) / Z with q(x) defined to be p*(x). Then
    p~*(x) = (sum_h sqrt(p(x, h) q(h|x)))^2 is a lower bound on p*(x) = p~*(x) / Z^2, since Z <= 1, and
    lies between the evidence lower bound and p(x). Training ascends log p~* by importance weights over
    draws of q, which is log p* minus twice the Bhattacharyya distance of p and q.

    Args:
        helmholtz_objective: bihm, or rws: reweighted wake-sleep on the same layers (Bornschein, Bengio 2015),
            whose model is p alone.
        latent_samples: K draws of q per observation; at least 2.
        parameter_l1: weight of the sum of |W| over all weights, per minibatch whose losses are summed.
        sampler: of p*: gibbs (kept-state block Gibbs sampling from ancestral draws), sir (resampling of
            ancestral draws), or ancestral: draws of p, the model of rws.
        gibbs_sweeps: of the Gibbs sampler.
        gibbs_proposals_per_step: new values of a layer that a Gibbs step weighs, or draws of p per
            sample of sir.
        importance_samples_per_marginal: draws of q behind each estimate of p~*(x) in the samplers.
        samples_without_output_noise: a sample is not a draw of x but its mean given the first hidden
            layer, which of bits are their probabilities.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {"model": ("belief_network",)}
    roles: ClassVar[Mapping[str, Role]] = {"belief_network": BELIEF_NETWORK}
    directed: ClassVar[bool] = True

    def __init__(
        self,
        belief_network: nn.Module,
        measure: Measure | Undefined,
        *,
        helmholtz_objective: Literal["bihm", "rws"] = "bihm",
        latent_samples: int = 10,
        parameter_l1: float = 0.0,
        sampler: Literal["gibbs", "sir", "ancestral"] = "gibbs",
        gibbs_sweeps: int = 20,
        gibbs_proposals_per_step: int = 10,
        importance_samples_per_marginal: int = 5,
        samples_without_output_noise: bool = False,
    ):
        super().__init__(measure)
        if not isinstance(measure, Counting | RealSpace):
            raise ValueError(
                f"a Helmholtz machine needs binary data or all of R^d as its measure, not {measure}; "
                "leave out the box"
            )
        check_choice("helmholtz_objective", helmholtz_objective, ("bihm", "rws"))
        for name, count, least in (
            ("latent_samples", latent_samples, 2),
            ("gibbs_sweeps", gibbs_sweeps, 1),
            ("gibbs_proposals_per_step", gibbs_proposals_per_step, 1),
            ("importance_samples_per_marginal", importance_samples_per_marginal, 1),
        ):
            check_at_least(name, count, least)
        check_weight("parameter_l1", parameter_l1)
        check_choice("sampler", sampler, ("gibbs", "sir", "ancestral"))
        self.belief_network = belief_network
        self.helmholtz_objective = helmholtz_objective
        self.latent_samples = latent_samples
        self.parameter_l1 = parameter_l1
        self.sampler = sampler
        self.gibbs_sweeps = gibbs_sweeps
        self.gibbs_proposals_per_step = gibbs_proposals_per_step
        self.importance_samples_per_marginal = importance_samples_per_marginal
        self.samples_without_output_noise = samples_without_output_noise

    @property
    def layers(self) -> Beliefs:
        """The network as what it knows."""
        return cast("Beliefs", self.belief_network)

    def round(self, index: int, data: Iterator[Batch], rng: Generator) -> Iterator[PlayerUpdate]:
        """One step of p and q on one batch (Algorithm 1)."""
        x = next(data).x.flatten(1)
        sizes = self.layers.sizes
        noise = uniforms(sizes[1:], (self.latent_samples, len(x)), rng)
        if self.helmholtz_objective == "bihm":
            yield PlayerUpdate("model", self.bihm_loss, (x, *noise))
        else:
            yield PlayerUpdate(
                "model", self.rws_loss, (x, *noise, *uniforms(sizes, (len(x),), rng))
            )

    def bihm_loss(self, x: Tensor, *noise: Tensor) -> Loss:
        """-sum_k omega_k (log p + log q), omega_k = sqrt(w_k) / sum sqrt(w), held fixed.

        The gradient of log p~* is that of p and q *together*, with one sign: it is not the derivative
        of the weights' sum at fixed samples. Taking 1/K from q's coefficients, whose part has mean 0,
        leaves the mean and lowers the variance.
        """
        p, q, log_w = self.weighed(x, noise)
        omega = torch.softmax(0.5 * log_w, 0)
        surrogate = omega * p + (omega - 1.0 / len(omega)) * q
        return Loss(self.penalised(-surrogate.sum(0).mean(), len(x)), progress(log_w, omega))

    def rws_loss(self, x: Tensor, *noise: Tensor) -> Loss:
        """Reweighted wake-sleep: p by normalised weights, q half by them and half on dreams of p."""
        depth = len(self.layers.sizes) - 1
        p, q, log_w = self.weighed(x, noise[:depth])
        omega = torch.softmax(log_w, 0)
        with torch.no_grad():
            dreamt = sample_p(self.layers, noise[depth:])
        sleep = log_q(self.layers, dreamt).mean()
        surrogate = (omega * (p + 0.5 * q)).sum(0).mean() + 0.5 * sleep
        return Loss(self.penalised(-surrogate, len(x)), progress(log_w, omega))

    def weighed(self, x: Tensor, noise: Layers) -> tuple[Tensor, Tensor, Tensor]:
        """log p(x, h), log q(h|x) and log w, held fixed, of draws of q, ``[K, B]`` each."""
        layers, q = sample_q(self.layers, x, noise)
        p = log_p(self.layers, layers)
        return p, q, (p - q).detach()

    def penalised(self, value: Tensor, rows: int) -> Tensor:
        """``value`` plus the L1 term: it stands beside a sum over rows, and this is their mean."""
        if self.parameter_l1 == 0:
            return value
        weights = [w.abs().sum() for w in self.belief_network.parameters() if w.ndim > 1]
        return value + self.parameter_l1 / rows * torch.stack(weights).sum()

    @torch.no_grad()
    def log_weights(self, x: Tensor, k: int, rng: Generator) -> Tensor:
        """log p(x, h) - log q(h|x) of ``k`` draws of q for each row, ``[k, B]``."""
        return log_weights(self.layers, x.flatten(1), k, rng)

    @torch.no_grad()
    def overlap_terms(self, n: int, k: int, rng: Generator) -> Tensor:
        """Logs of ``n`` independent estimates of Z^2, each unbiased, ``[n]``.

        sqrt(q(h|x) / p(x, h)) times the mean of sqrt(w) over ``k`` draws of q, (x, h) ~ p.
        """
        layers = sample_p(self.layers, uniforms(self.layers.sizes, (n,), rng))
        ratio = log_q(self.layers, layers) - log_p(self.layers, layers)
        return 0.5 * ratio + log_root(self.layers, layers[0], k, rng)

    @torch.no_grad()
    def sample(self, n: int, rng: Generator, given: Tensor | None = None) -> Tensor:
        """``[n, *event]``: draws of p* (of p with the ancestral sampler), or their means.

        ``given [d]``: an observation with NaN where it is to be filled in, by Gibbs sampling.
        """
        observed = None
        layers = self.begin(n, rng)
        if given is not None:
            if self.sampler != "gibbs":
                raise ValueError("only the gibbs sampler fills in; set sampler to gibbs")
            observed = ~given.flatten().isnan()
            x = torch.where(observed, given.flatten(), layers[0])
            layers = sample_q(self.layers, x, uniforms(self.layers.sizes[1:], (n,), rng))[0]
        if self.sampler == "gibbs":
            chain = Gibbs(
                self.layers, self.gibbs_proposals_per_step, self.importance_samples_per_marginal
            )
            state = chain.start(layers, rng)
            for _ in range(self.gibbs_sweeps):
                state = chain.sweep(state, rng, observed)
            layers = state[0]
        x = layers[0]
        if self.samples_without_output_noise:
            means = means_of(self.layers.down(0, layers[1]), x)
            x = means if observed is None else torch.where(observed, x, means)
        return x.view(n, *self.measure.shape)

    def begin(self, n: int, rng: Generator) -> Layers:
        """Ancestral draws of p, or those of them that resampling takes."""
        if self.sampler == "sir":
            return resampled(
                self.layers,
                n,
                self.gibbs_proposals_per_step,
                self.importance_samples_per_marginal,
                rng,
            )
        return sample_p(self.layers, uniforms(self.layers.sizes, (n,), rng))


def progress(log_w: Tensor, omega: Tensor) -> dict[str, Tensor]:
    """Means over rows of the estimates that need no log Z, and of the share of samples that count."""
    return {
        "elbo": log_w.mean(),
        "log_p_tilde": 2.0 * log_mean_exp(0.5 * log_w).mean(),
        "log_p": log_mean_exp(log_w).mean(),
        "ess": (1.0 / (len(omega) * omega.detach().square().sum(0))).mean(),
    }
