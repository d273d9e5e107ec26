"""Bidirectional bounds: maximise a lower bound with the generator, minimise an upper one with the energy.

Geng, Wang, Gao, Frellsen, Hauberg (2021); four bounds in Geng et al. (2025).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, get_args

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import relu

from gibbsian.bounds import (
    BarberAgakov,
    DenoisingPenalty,
    DiffusionScoreMatching,
    Entropy,
    GradientPenalty,
    InfoNCE,
    LogDetEntropy,
    SingularValueEntropy,
    ZeroCentredPenalty,
    smallest_singular_value,
)
from gibbsian.bounds.entropy import evaluating
from gibbsian.bounds.guarantees import Guarantee
from gibbsian.bounds.upper import Points, Upper
from gibbsian.core import Batch, Loss, PlayerUpdate, TrainingMethod, check_energy
from gibbsian.core.healthy_ranges import (
    HealthyRange,
    energy_gap,
    relative_spread,
    sample_spread,
)
from gibbsian.core.measures import Counting, Gaussian, Measure, Undefined
from gibbsian.core.numerics import call_frozen, jacobian, log_det_gram, singular_values
from gibbsian.core.protocols import Flow
from gibbsian.core.roles import ENCODER, ENERGY, GENERATOR, Role
from gibbsian.core.signatures import RARE
from gibbsian.methods.checks import (
    check_at_least,
    check_choice,
    check_time,
    check_weight,
    refuse_given,
)

Lower = Literal["log-det", "singular", "encoder", "infonce"]
Penalty = Literal["gradient-penalty", "denoising", "diffusion", "zero-centred", "none"]
ANNEALING = 2307.0
"""Rounds over which an annealed weight begins to fall."""
PROBE_ROWS = 64
PROBED = ("sum_log_s", "d_log_s1", "d_log_mu")
PIECEWISE_LINEAR = nn.ReLU | nn.LeakyReLU | nn.PReLU


def noise_levels(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The diffusion bound needs an energy of point and noise level."""
    return {"time": True} if options["upper_bound_penalty"] == "diffusion" else {}


class BidirectionalBounds(TrainingMethod):
    """Bidirectional bounds: one bound on log Z from below for the generator, one from above for the energy.

    log Z = E_q[-E] + H(q) + KL(q || p), q the distribution of the generator. VGAN plays min-max on the first
    two terms, a lower bound; minimising a lower bound over the energy is safe only while it is
    tight. Here the energy descends E_data[E] - E_q[E] + M P, where the penalty P stands for the gap:
    with the right weight the sum is an upper bound on the negative log-likelihood. The generator
    ascends E_q[-E] + H(q) with one of four entropies. Any pairing trains; what each side proves is
    in ``claims``.

    Args:
        entropy_estimator: the generator's entropy: log-det (exact Jacobian, d forward products),
            singular (d log s_1 by LOBPCG), encoder (Barber-Agakov) or infonce, which
            both add output noise.
        upper_bound_penalty: the energy's penalty: gradient-penalty (with log-det or singular), denoising (at
            noisy samples), diffusion (over noise levels), zero-centred (at the data: the baseline)
            or none (the lower bound alone).
        upper_bound_penalty_weight: M, the weight of the penalty; 1 is the bound's own for diffusion.
        upper_bound_penalty_threshold: m, only the excess of M P over it counts.
        upper_bound_penalty_anneal_power: a of M's decline (1 + round / 2307)^-a; 0.55 is the
            authors' schedule, 0 keeps M.
        gradient_penalty_power: p of the gradient penalty, at least 1.
        penalise_one_random_direction: penalise the gradient along one random direction of the latent space,
            not the whole one.
        entropy_weight: weight of the entropy; 1 is the bound.
        lobpcg_iterations: LOBPCG steps of singular; each brings the value nearer to s_1, from above.
        jacobian_batch_size: latents of each batch at which log-det, singular and the gradient penalty are
            computed, 0 for all; fewer cost less, and the mean stays unbiased.
        output_noise_std: of the noise on the generator's output; encoder, infonce and denoising need
            it, log-det and singular gain from it where the generator folds.
        diffusion_schedule: of diffusion: preserving or exploding variance.
        points_to_diffuse: what diffusion diffuses: samples (gap to the generator's distribution) or
            data (a bound on the negative log-likelihood itself).
        score_matching_noise_min: smallest noise-to-signal ratio of diffusion: the model is of data with that
            noise.
        score_matching_noise_max: largest noise-to-signal ratio of diffusion.
        jacobian_diagnostics_every: rounds between two measurements of exact and approximate Jacobian terms on
            64 latents, for the log; 0 for none.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "energy": ("energy",),
        "generator": ("generator", "entropy_estimator"),
    }
    roles: ClassVar[Mapping[str, Role]] = {
        "energy": ENERGY.but(demands=noise_levels),
        "generator": GENERATOR,
        "encoder": ENCODER,
    }
    healthy: ClassVar[tuple[HealthyRange, ...]] = (energy_gap("energy"), sample_spread("energy"))
    latent_target: Literal["energy"]

    def __init__(
        self,
        energy: nn.Module,
        generator: nn.Module,
        encoder: nn.Module,
        prior: Gaussian,
        measure: Measure | Undefined,
        *,
        entropy_estimator: Lower = "log-det",
        upper_bound_penalty: Penalty = "gradient-penalty",
        upper_bound_penalty_weight: float = 0.1,
        upper_bound_penalty_threshold: float = 0.0,
        upper_bound_penalty_anneal_power: Annotated[float, RARE] = 0.0,
        gradient_penalty_power: Annotated[float, RARE] = 2.0,
        penalise_one_random_direction: Annotated[bool, RARE] = True,
        entropy_weight: Annotated[float, RARE] = 1.0,
        lobpcg_iterations: Annotated[int, RARE] = 2,
        jacobian_batch_size: Annotated[int, RARE] = 0,
        output_noise_std: float = 0.1,
        diffusion_schedule: Literal["preserving", "exploding"] = "preserving",
        points_to_diffuse: Literal["samples", "data"] = "samples",
        score_matching_noise_min: Annotated[float, RARE] = 0.05,
        score_matching_noise_max: Annotated[float, RARE] = 5.0,
        jacobian_diagnostics_every: Annotated[int, RARE] = 100,
    ):
        super().__init__(measure)
        check_choice("entropy_estimator", entropy_estimator, get_args(Lower))
        check_choice("upper_bound_penalty", upper_bound_penalty, get_args(Penalty))
        check_weight("upper_bound_penalty_weight", upper_bound_penalty_weight)
        check_weight("upper_bound_penalty_threshold", upper_bound_penalty_threshold)
        check_weight("upper_bound_penalty_anneal_power", upper_bound_penalty_anneal_power)
        check_weight("entropy_weight", entropy_weight)
        check_at_least("jacobian_diagnostics_every", jacobian_diagnostics_every, 0)
        check_at_least("jacobian_batch_size", jacobian_batch_size, 0)
        if isinstance(measure, Counting):
            raise ValueError(
                "bidirectional bounds are about entropies of continuous data; binary data cannot be "
                "used with them"
            )
        if entropy_estimator in ("log-det", "singular") and prior.shape[0] > math.prod(
            measure.shape
        ):
            raise ValueError(
                f"entropy_estimator {entropy_estimator} is about a generator's volume, and one from "
                f"{prior.shape[0]} to {math.prod(measure.shape)} dimensions has none; give --latent-dim "
                f"{math.prod(measure.shape)} or less, or use entropy_estimator encoder"
            )
        self.energy = energy
        self.generator = generator
        self.prior = prior
        self.entropy_estimator = entropy_of(
            entropy_estimator,
            prior,
            encoder,
            output_noise_std,
            lobpcg_iterations,
            jacobian_batch_size,
        )
        self.upper_bound_penalty: Upper | None = None
        match upper_bound_penalty:
            case "gradient-penalty":
                self.upper_bound_penalty = GradientPenalty(
                    self.entropy_estimator,
                    power=gradient_penalty_power,
                    projected=penalise_one_random_direction,
                )
                warn_of_flat_volumes(generator)
            case "denoising":
                self.upper_bound_penalty = DenoisingPenalty(output_noise_std)
            case "diffusion":
                self.upper_bound_penalty = DiffusionScoreMatching(
                    low=score_matching_noise_min,
                    high=score_matching_noise_max,
                    schedule=diffusion_schedule,
                    source=points_to_diffuse,
                )
                check_time("the diffusion bound", energy)
            case "zero-centred":
                self.upper_bound_penalty = ZeroCentredPenalty()
        self.upper_bound_penalty_weight = upper_bound_penalty_weight
        self.upper_bound_penalty_threshold = upper_bound_penalty_threshold
        self.upper_bound_penalty_anneal_power = upper_bound_penalty_anneal_power
        self.entropy_weight = entropy_weight
        volumes = isinstance(
            self.entropy_estimator, LogDetEntropy | SingularValueEntropy
        ) and not isinstance(generator, Flow)
        self.jacobian_diagnostics_every = jacobian_diagnostics_every if volumes else 0
        self.register_buffer("probed", torch.zeros(len(PROBED)))
        self.probed: Tensor
        if isinstance(self.entropy_estimator, LogDetEntropy | SingularValueEntropy):
            self.latent_target = "energy"

    def claims(self) -> tuple[Guarantee, Guarantee]:
        """What the lower value and the upper value of log Z are worth in this pairing."""
        lower = self.entropy_estimator.guarantee(self.generator, math.prod(self.measure.shape))
        upper = (
            Guarantee("neither", "log Z")
            if self.upper_bound_penalty is None
            else self.upper_bound_penalty.guarantee()
        )
        return lower, upper

    def round(self, index: int, data: Iterator[Batch], rng: Generator) -> Iterator[PlayerUpdate]:
        """One step of the energy on the upper bound, then one of the generator on the lower bound."""
        x = next(data).x
        z = self.prior.sample(len(x), rng)
        M = x.new_full(
            (),
            self.upper_bound_penalty_weight
            * (1.0 + index / ANNEALING) ** -self.upper_bound_penalty_anneal_power,
        )
        eps = torch.randn(3, *x.shape, generator=rng, device=rng.device)
        starts = (
            ()
            if self.upper_bound_penalty is None
            else self.upper_bound_penalty.randomness(x, z, rng)
        )
        yield PlayerUpdate("energy", self.energy_loss, (x, z, eps, M, *starts))
        if self.jacobian_diagnostics_every and index % self.jacobian_diagnostics_every == 0:
            self.probed.copy_(self.volumes(rng))
        z = self.prior.sample(len(x), rng)
        starts = self.entropy_estimator.randomness(z, x.shape[1:], rng)
        eps = torch.randn(x.shape, generator=rng, device=rng.device)
        yield PlayerUpdate("generator", self.generator_loss, (z, eps, self.probed.clone(), *starts))

    def energy_loss(self, x: Tensor, z: Tensor, eps: Tensor, M: Tensor, *starts: Tensor) -> Loss:
        """mean E(x) - mean E(x_model) + max(M P - m, 0); the generator does not move.

        ``eps [3, B, *event]``: of the output noise and of the first level, for data and samples.
        """
        clean = call_frozen(self.generator, z).detach()
        x_model = clean + self.entropy_estimator.noise * eps[0]
        of_data = check_energy(self.energy(self.seen(x, eps[1])), len(x)).mean()
        of_model = check_energy(self.energy(self.seen(x_model, eps[2])), len(z)).mean()
        value = of_data - of_model
        logs = {"energy_data": of_data.detach(), "energy_model": of_model.detach()}
        logs["relative_spread"] = relative_spread(x_model, x)
        if self.upper_bound_penalty is not None:
            at = Points(x, z, x_model, clean)
            gap = M * self.upper_bound_penalty.penalty(self.energy, self.generator, at, *starts)
            value = value + relu(gap - self.upper_bound_penalty_threshold)
            logs["gap"] = gap.detach()
        return Loss(value, logs)

    def generator_loss(self, z: Tensor, eps: Tensor, probed: Tensor, *starts: Tensor) -> Loss:
        """mean E(x_model) - entropy_weight H(q): minus the lower bound on log Z."""
        x_model, entropy = self.entropy_estimator(self.generator, z, *starts)
        energy = check_energy(self.energy(self.seen(x_model, eps)), len(z)).mean()
        H = entropy.mean()
        lower = H + self.shrinkage(x_model[0].numel()) - energy
        logs = {"entropy": H.detach(), "log_z_lower": lower.detach()}
        if self.jacobian_diagnostics_every:
            logs |= dict(zip(PROBED, probed.unbind(), strict=True))
        return Loss(energy - self.entropy_weight * H, logs)

    def seen(self, x: Tensor, eps: Tensor) -> Tensor:
        """``x`` as the energy at t = 0 knows it: with the diffusion's smallest noise."""
        if not isinstance(self.upper_bound_penalty, DiffusionScoreMatching):
            return x
        return self.upper_bound_penalty.noisy(x, torch.zeros(len(x), device=x.device), eps)

    def shrinkage(self, dim: int) -> float:
        """What ``seen`` takes from the entropy at most: D log alpha_0, as noise only adds to it."""
        if not isinstance(self.upper_bound_penalty, DiffusionScoreMatching):
            return 0.0
        return dim * float(self.upper_bound_penalty.levels(torch.zeros(1))[0].log())

    @torch.no_grad()
    def volumes(self, rng: Generator) -> Tensor:
        """Means over 64 latents of sum_i log s_i, d log s_1, and d log mu as LOBPCG has it."""
        z = self.prior.sample(PROBE_ROWS, rng)
        v, p = torch.randn(2, *z.shape, generator=rng, device=rng.device)
        iterations = getattr(self.entropy_estimator, "iterations", 2)
        with evaluating(self.generator):
            J = jacobian(self.generator, z)
            mu = smallest_singular_value(self.generator, z, v, p, iterations)[1]
        d = z.shape[1]
        rows = (0.5 * log_det_gram(J), d * singular_values(J)[:, 0].log(), d * mu.log())
        return torch.stack([row.mean() for row in rows])

    @torch.no_grad()
    def sample(self, n: int, rng: Generator, given: Tensor | None = None) -> Tensor:
        """``[n, *event]``: the generator's samples, with its output noise if it has one."""
        refuse_given(given)
        x = call_frozen(self.generator, self.prior.sample(n, rng))
        if self.entropy_estimator.noise == 0:
            return x
        return x + self.entropy_estimator.noise * torch.randn(
            x.shape, generator=rng, device=rng.device
        )


def entropy_of(
    name: Lower, prior: Gaussian, encoder: nn.Module, noise: float, iterations: int, rows: int
) -> Entropy:
    """The lower side by name."""
    match name:
        case "log-det":
            return LogDetEntropy(prior, noise, rows)
        case "singular":
            return SingularValueEntropy(prior, iterations, noise, rows)
        case "encoder":
            return BarberAgakov(prior, encoder, noise)
        case "infonce":
            return InfoNCE(prior, encoder, noise)


def warn_of_flat_volumes(generator: nn.Module) -> None:
    """Warn of a generator whose Jacobian is piecewise constant: its log volume has no gradient in z."""
    if any(isinstance(layer, PIECEWISE_LINEAR) for layer in generator.modules()):
        warnings.warn(
            "the generator has piecewise linear activations, for which the gradient penalty loses the "
            "gradient of the log volume; use a smooth activation such as silu",
            stacklevel=3,
        )
