"""Variational contrastive divergence: VGAN whose generator is a step of a Markov chain from the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal, Protocol, cast, runtime_checkable

import torch
from torch import Generator, Tensor, nn

from gibbsian.core import Batch, Loss, PlayerUpdate, TrainingMethod
from gibbsian.core.healthy_ranges import HealthyRange, energy_gap, sample_spread
from gibbsian.core.measures import Box, Measure, Undefined
from gibbsian.core.numerics import call_frozen
from gibbsian.core.roles import AUTOENCODER, BOUNDED, Role
from gibbsian.methods.checks import check_at_least, check_choice, check_probability, check_weight
from gibbsian.methods.experts import check_experts, contrast_loss, following_loss


@runtime_checkable
class CodedTransition(Protocol):
    """An auto-encoder of which both halves can be called, with a code of ``code_dim`` numbers."""

    encoder: nn.Module
    decoder: nn.Module
    code_dim: int


def mask_noise(h: Tensor, mask: Tensor, u: Tensor) -> Tensor:
    """h~ = m u + (1 - m) h, all ``[B, d]``: where the mask is 1 the code is replaced by noise."""
    return mask * u + (1.0 - mask) * h


class TransitionVGAN(TrainingMethod):
    """Transition VGAN: the energy against one noisy step, through an auto-encoder's code, from the data.

    x~ = Decode(m u + (1 - m) Encode(x)) with m a random mask and u uniform in [-1, 1]^d, so that
    q(x~) is the data's distribution moved by p(x~|x). As long as x~ stays near x, the entropy of q is about
    that of the data, a constant, and the bound of VGAN can do without it (Zhai, Cheng, Feris, Zhang
    2016, section 5, equation 10): one-step contrastive divergence with a learned step. An
    ``energy_loss_weight`` rho of 0 is an auto-encoder that ignores the energy, 1 a step that may forget
    where it came from.

    Args:
        transition_objective: equation-10 weighs mean E(x~) against the summed square error, on the same rows;
            released-code weighs mean E(x~) - H~ against the binary cross-entropy per pixel, and
            starts at the second half of a batch whose first half is the positive phase. The same
            energy_loss_weight means different things in the two.
        energy_loss_weight: rho, weight of the energy in the transition's loss; 1 - rho is that of the
            reconstruction.
        transition_operator_steps: per energy step, on the same batch.
        latent_corruption_prob: probability that a number of the code is replaced by noise.
        expert_entropy_weight: weight of the surrogate at the data in the energy's step; 0 for an energy
            without experts.
        transitions_per_sample: transitions that samples have made.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "transition": ("autoencoder",),
        "energy": ("energy",),
    }
    roles: ClassVar[Mapping[str, Role]] = {"energy": BOUNDED, "autoencoder": AUTOENCODER}
    healthy: ClassVar[tuple[HealthyRange, ...]] = (energy_gap("energy"), sample_spread("energy"))

    def __init__(
        self,
        energy: nn.Module,
        autoencoder: nn.Module,
        measure: Measure | Undefined,
        *,
        transition_objective: Literal["equation-10", "released-code"] = "equation-10",
        energy_loss_weight: float = 0.01,
        transition_operator_steps: int = 1,
        latent_corruption_prob: float = 0.5,
        expert_entropy_weight: float = 1.0,
        transitions_per_sample: int = 9,
    ):
        super().__init__(measure)
        check_choice("transition_objective", transition_objective, ("equation-10", "released-code"))
        if not 0 <= energy_loss_weight <= 1:
            raise ValueError(f"energy_loss_weight must lie in [0, 1], not {energy_loss_weight}")
        check_at_least("transition_operator_steps", transition_operator_steps, 1)
        check_probability("latent_corruption_prob", latent_corruption_prob)
        check_weight("expert_entropy_weight", expert_entropy_weight)
        check_at_least("transitions_per_sample", transitions_per_sample, 1)
        released = transition_objective == "released-code"
        check_experts(energy, released, expert_entropy_weight)
        if released and not isinstance(measure, Box):
            raise ValueError(
                "the released code's cross-entropy needs data in a box, such as images; use the "
                "transition_objective equation-10"
            )
        if not isinstance(autoencoder, CodedTransition):
            raise ValueError(
                "a transition needs an auto-encoder with the modules encoder and decoder and the "
                "dimension of its code as code_dim"
            )
        self.energy = energy
        self.autoencoder = autoencoder
        self.transition_objective = transition_objective
        self.energy_loss_weight = energy_loss_weight
        self.transition_operator_steps = transition_operator_steps
        self.latent_corruption_prob = latent_corruption_prob
        self.expert_entropy_weight = expert_entropy_weight
        self.transitions_per_sample = transitions_per_sample

    @property
    def halves(self) -> CodedTransition:
        """The auto-encoder as encoder, decoder and dimension of the code."""
        return cast("CodedTransition", self.autoencoder)

    def round(self, index: int, data: Iterator[Batch], rng: Generator) -> Iterator[PlayerUpdate]:
        """k transition steps with fresh noise and then one energy step, all on one batch.

        Raises ValueError for a batch of one row that the released code's reading cannot split.
        """
        x = start = next(data).x
        if self.transition_objective == "released-code":
            half = len(x) // 2
            if half == 0:
                raise ValueError(
                    "transition_objective released-code splits a batch: use at least 2 rows"
                )
            x, start = x[:half], x[half : 2 * half]
        for _ in range(self.transition_operator_steps):
            yield PlayerUpdate("transition", self.transition_loss, (start, *self.noise(start, rng)))
        yield PlayerUpdate("energy", self.energy_loss, (x, start, *self.noise(start, rng)))

    def noise(self, x: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        """The mask m in {0, 1}^d and u, uniform in [-1, 1]^d, both ``[B, d]``."""
        shape = (len(x), self.halves.code_dim)
        drawn = torch.rand(2, *shape, generator=rng, device=x.device, dtype=x.dtype)
        return (drawn[0] < self.latent_corruption_prob).to(x.dtype), 2.0 * drawn[1] - 1.0

    def transition_loss(self, x: Tensor, mask: Tensor, u: Tensor) -> Loss:
        """Equation 10, or what the released code descends in its place; see ``transition_objective``."""
        h = self.halves.encoder(x)
        x_model = self.halves.decoder(mask_noise(h, mask, u))
        error = self.reconstruction_error(self.halves.decoder(h), x)
        follow = following_loss(self.energy, x_model, self.transition_objective == "released-code")
        value = self.energy_loss_weight * follow.value + (1.0 - self.energy_loss_weight) * error
        return Loss(value, {**follow.logs, "reconstruction": error.detach()})

    def reconstruction_error(self, back: Tensor, x: Tensor) -> Tensor:
        """mean |back - x|^2, summed over the event; or the cross-entropy per pixel, in nats. Scalar."""
        if self.transition_objective == "equation-10":
            return (back - x).flatten(1).square().sum(1).mean()
        box = cast("Box", self.measure)
        grey, target = ((part - box.low) / (box.high - box.low) for part in (back, x))
        # Rounding may leave [0, 1] by 1e-7, and binary_cross_entropy refuses that.
        return nn.functional.binary_cross_entropy(grey.clamp(0, 1), target.clamp(0, 1))

    def energy_loss(self, x: Tensor, start: Tensor, mask: Tensor, u: Tensor) -> Loss:
        """mean E(x) - mean E(x~) - weight H~(data), x~ from ``start``; the transition does not move."""
        x_model = self.step(start, mask, u).detach()
        return contrast_loss(self.energy, x, x_model, self.expert_entropy_weight)

    def step(self, x: Tensor, mask: Tensor, u: Tensor) -> Tensor:
        """x~ = Decode(h~), ``[B, *event]``, with batch statistics left alone."""
        h = call_frozen(self.halves.encoder, x)
        return call_frozen(self.halves.decoder, mask_noise(h, mask, u))

    @torch.no_grad()
    def chain(self, x: Tensor, steps: int, rng: Generator) -> Tensor:
        """``[steps + 1, n, *event]``: Markov chains of the transition, from ``x [n, *event]`` on."""
        states = [x]
        for _ in range(steps):
            states.append(self.step(states[-1], *self.noise(x, rng)))
        return torch.stack(states)

    @torch.no_grad()
    def sample(self, n: int, rng: Generator, given: Tensor | None = None) -> Tensor:
        """``[n, *event]``: the ends of chains of ``transitions_per_sample`` transitions.

        They start at the rows of ``given``, used in turn, or where a code of noise alone decodes to.
        """
        if given is None:
            u = 2.0 * torch.rand(n, self.halves.code_dim, generator=rng, device=rng.device) - 1.0
            start = call_frozen(self.halves.decoder, u)
        else:
            start = given[torch.arange(n, device=given.device) % len(given)]
        return self.chain(start, self.transitions_per_sample, rng)[-1]
