"""LBT: a generator taught through a density estimator that learns from it (Du et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal, Protocol, cast

import torch
from torch import Generator, Tensor, nn

from gibbsian.core import (
    Batch,
    Gradients,
    Loss,
    PlayerUpdate,
    TrainingMethod,
    check_energy,
    standard_normal,
)
from gibbsian.core.healthy_ranges import HealthyRange, relative_spread, sample_spread
from gibbsian.core.measures import Gaussian, Measure, Undefined
from gibbsian.core.numerics import call_frozen, value_and_zero_centred_penalty
from gibbsian.core.roles import CRITIC, GENERATOR, STUDENT, Role
from gibbsian.methods.adversarial_losses import cross_entropy, non_saturating
from gibbsian.methods.checks import (
    check_at_least,
    check_choice,
    check_positive,
    check_weight,
    refuse_given,
)
from gibbsian.methods.unrolled import Adam, AdamMemory, call_at, implicit, parameters_of, unroll

LIKELIHOOD = HealthyRange(
    "generator/log_likelihood",
    "the student, shown samples, gives the data next to no probability, and its gradients are worth nothing; "
    "a smaller --unrolled-student-lr or --generator-optimizer.lr helps",
    low=-1e5,
    per_dimension=1e4,
)
"""At the start -500 nats for each number of an observation have been seen."""


class Student(Protocol):
    """log p_M(x; phi) of ``x [B, *event]`` or a bound from below, ``[B]``.

    ``noise``: how many standard normal numbers it takes per row.
    """

    noise: int

    def __call__(self, x: Tensor, noise: Tensor) -> Tensor: ...


class LearningByTeaching(TrainingMethod):
    """LBT: the generator shows a student what makes the student explain the data best.

    The student M, a density estimator, sees samples only: phi* = argmax E_z log p_M(G(z); phi). The
    generator maximises E_data log p_M(x; phi*), reached through the student's K next steps, which
    are differentiated. With a student rich enough that is maximum likelihood for the generator, the
    divergence that punishes dropped modes. A GAN term of weight ``gan_loss_weight`` (LBT-GAN) repairs
    what a weak student cannot see: both terms are smallest where the generator's distribution is the data's.

    Args:
        unrolled_student_steps: K, student steps that the generator looks ahead.
        student_steps_per_unroll_step: n, the student is trained by n K steps per round.
        unrolled_student_lr: rate of the student's Adam where the generator looks ahead.
        student_lr_multiplier: the student is trained at this many times that rate.
        adam_eps_inside_root: Adam's step a m / sqrt(v + eps) as in the authors' code, otherwise the
            usual a m / (sqrt(v) + eps).
        hypergradient: unrolled through K steps, or the implicit function's: its limit for a student at
            its optimum, by conjugate gradients.
        conjugate_gradient_steps: of the conjugate gradients, implicit only.
        hessian_damping: added to the student's Hessian, implicit only.
        gan_loss_weight: lambda, of the generator's non-saturating GAN loss; 0 is LBT alone.
        r1_penalty_weight: weight of |grad f|^2 / 2 of the critic at the data (Mescheder et al. 2018).
        gan_warmup_rounds: at the start, in which the GAN is trained alone.
        unroll_gradient_checkpoint_every: s, keep only every s-th of the K steps and make the others again in
            the backward pass: less memory, more time; 0 keeps all.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "student": ("student",),
        "critic": ("critic",),
        "generator": ("generator",),
    }
    roles: ClassVar[Mapping[str, Role]] = {
        "generator": GENERATOR,
        "student": STUDENT,
        "critic": CRITIC,
    }
    healthy: ClassVar[tuple[HealthyRange, ...]] = (LIKELIHOOD, sample_spread("generator"))
    staged: ClassVar[tuple[str, ...]] = ("student", "critic")
    self_optimized: ClassVar[tuple[str, ...]] = ("student",)

    def __init__(
        self,
        generator: nn.Module,
        student: nn.Module,
        critic: nn.Module,
        prior: Gaussian,
        measure: Measure | Undefined,
        *,
        unrolled_student_steps: int = 5,
        student_steps_per_unroll_step: int = 2,
        unrolled_student_lr: float = 1e-4,
        student_lr_multiplier: float = 3.0,
        adam_eps_inside_root: bool = True,
        hypergradient: Literal["unrolled", "implicit"] = "unrolled",
        conjugate_gradient_steps: int = 10,
        hessian_damping: float = 1.0,
        gan_loss_weight: float = 0.1,
        r1_penalty_weight: float = 0.0,
        gan_warmup_rounds: int = 0,
        unroll_gradient_checkpoint_every: int = 0,
    ):
        super().__init__(measure)
        for name, count, least in (
            ("unrolled_student_steps", unrolled_student_steps, 1),
            ("student_steps_per_unroll_step", student_steps_per_unroll_step, 1),
            ("conjugate_gradient_steps", conjugate_gradient_steps, 1),
            ("gan_warmup_rounds", gan_warmup_rounds, 0),
            ("unroll_gradient_checkpoint_every", unroll_gradient_checkpoint_every, 0),
        ):
            check_at_least(name, count, least)
        check_positive("unrolled_student_lr", unrolled_student_lr)
        check_positive("student_lr_multiplier", student_lr_multiplier)
        check_choice("hypergradient", hypergradient, ("unrolled", "implicit"))
        check_weight("hessian_damping", hessian_damping)
        check_weight("gan_loss_weight", gan_loss_weight)
        check_weight("r1_penalty_weight", r1_penalty_weight)
        if gan_warmup_rounds > 0 and gan_loss_weight == 0:
            raise ValueError(
                "gan_warmup_rounds train the GAN alone; give gan_loss_weight, or gan_warmup_rounds 0"
            )
        self.generator = generator
        self.student = student
        self.critic = critic
        self.prior = prior
        self.unrolled_student_steps = unrolled_student_steps
        self.student_steps_per_unroll_step = student_steps_per_unroll_step
        self.ahead = Adam(unrolled_student_lr, adam_eps_inside_root=adam_eps_inside_root)
        self.committed = Adam(
            student_lr_multiplier * unrolled_student_lr, adam_eps_inside_root=adam_eps_inside_root
        )
        self.hypergradient = hypergradient
        self.conjugate_gradient_steps = conjugate_gradient_steps
        self.hessian_damping = hessian_damping
        self.gan_loss_weight = gan_loss_weight
        self.r1_penalty_weight = r1_penalty_weight
        self.warmup = gan_warmup_rounds
        self.unroll_gradient_checkpoint_every = unroll_gradient_checkpoint_every
        self.noise = cast("Student", student).noise
        self.memory = AdamMemory(parameters_of(student).numel())

    def round(self, index: int, data: Iterator[Batch], rng: Generator) -> Iterator[PlayerUpdate]:
        """n K committed student steps, one critic step, one generator step (authors' code)."""
        x = next(data).x
        n, teaches = len(x), index >= self.warmup
        if teaches:
            for _ in range(self.student_steps_per_unroll_step * self.unrolled_student_steps):
                lesson = (self.prior.sample(n, rng), standard_normal(n, self.noise, rng))
                yield PlayerUpdate("student", self.student_loss, lesson, transform=self.commit)
        if self.gan_loss_weight > 0:
            yield PlayerUpdate("critic", self.critic_loss, (x, self.prior.sample(n, rng)))
        z = self.prior.sample(n, rng)
        if not teaches:
            yield PlayerUpdate("generator", self.adversarial_loss, (z,))
            return
        z_k = torch.stack([self.prior.sample(n, rng) for _ in range(self.unrolled_student_steps)])
        noise_k = torch.stack(
            [standard_normal(n, self.noise, rng) for _ in range(self.unrolled_student_steps)]
        )
        noise = standard_normal(n, self.noise, rng)
        yield PlayerUpdate("generator", self.generator_loss, (x, noise, z_k, noise_k, z))

    def commit(self, gradients: Gradients) -> Gradients:
        """The step of the student's own Adam, whose state the generator unrolls from."""
        return self.memory.take(self.committed, gradients)

    def ignorance(self, phi: Tensor, x: Tensor, noise: Tensor) -> Tensor:
        """-mean log p_M(x; phi), scalar: what a student with parameters ``phi [P]`` descends."""
        return -check_energy(call_at(self.student, phi, x, noise), len(x)).mean()

    def student_loss(self, z: Tensor, noise: Tensor) -> Loss:
        """-f_G = -mean log p_M(G(z)); the generator does not move."""
        x_model = call_frozen(self.generator, z).detach()
        return Loss(-check_energy(self.student(x_model, noise), len(z)).mean())

    def critic_loss(self, x: Tensor, z: Tensor) -> Loss:
        """The cross-entropy of logits f, plus half of r1_penalty_weight times the penalty at the data."""
        x_model = call_frozen(self.generator, z).detach()
        if self.r1_penalty_weight > 0:
            f_data, slopes = value_and_zero_centred_penalty(self.values, x)
            penalty = 0.5 * self.r1_penalty_weight * slopes
            return Loss(cross_entropy(f_data, self.values(x_model)) + penalty)
        return Loss(cross_entropy(self.values(x), self.values(x_model)))

    def values(self, x: Tensor) -> Tensor:
        """The critic f(x), ``[B]``."""
        return check_energy(self.critic(x), len(x))

    def adversarial_loss(self, z: Tensor) -> Loss:
        """lambda times the non-saturating loss at ``G(z)``."""
        f = check_energy(call_frozen(self.critic, self.generator(z)), len(z))
        return Loss(self.gan_loss_weight * non_saturating(f))

    def generator_loss(
        self, x: Tensor, noise: Tensor, z_k: Tensor, noise_k: Tensor, z: Tensor
    ) -> Loss:
        """lambda GAN loss - f_D(phi_K(theta)) for ``z_k [K, B, latent]``, ``noise_k [K, B, noise]``.

        The student's parameters and its Adam's state are constants phi_0, m, v, t here; theta enters
        through the samples of the K steps, which are not detached, and nowhere else in f_D.
        """
        phi = parameters_of(self.student)
        x_k = self.generator(z_k.flatten(0, 1))

        def ignorance_of_data(at: Tensor) -> Tensor:
            return self.ignorance(at, x, noise)

        if self.hypergradient == "implicit":
            shown = (x_k, noise_k.flatten(0, 1))
            taught = implicit(
                self.ignorance,
                ignorance_of_data,
                phi,
                shown,
                self.conjugate_gradient_steps,
                self.hessian_damping,
            )
        else:
            steps = list(zip(x_k.unflatten(0, z_k.shape[:2]), noise_k, strict=True))
            state = self.memory.state()
            phi, _ = unroll(
                self.ignorance, self.ahead, phi, state, steps, self.unroll_gradient_checkpoint_every
            )
            taught = ignorance_of_data(phi)
        logs = {"log_likelihood": -taught.detach(), "relative_spread": relative_spread(x_k, x)}
        if self.gan_loss_weight == 0:
            return Loss(taught, logs)
        return Loss(self.adversarial_loss(z).value + taught, logs)

    @torch.no_grad()
    def sample(self, n: int, rng: Generator, given: Tensor | None = None) -> Tensor:
        """``[n, *event]``: G(z) with z from the prior; the student is not part of the model."""
        refuse_given(given)
        return call_frozen(self.generator, self.prior.sample(n, rng))
