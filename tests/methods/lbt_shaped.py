"""A small method of LBT's shape (Du et al. 2020): what the trainer must carry, in few lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn
from torch.func import grad

from gibbsian.core import Batch, Gradients, Loss, PlayerUpdate, TrainingMethod
from gibbsian.core.measures import Gaussian, Measure, Undefined
from gibbsian.core.roles import GENERATOR, Role


class LBTShaped(TrainingMethod):
    """A Gaussian student fitted to G(z) + shift by its own Adam teaches generator and shift.

    The student's moves are committed through ``adam``, a transform in front of plain SGD of rate 1,
    at three times ``rate``; the teacher's loss unrolls Adam from the live m, v, t and commits none.

    Args:
        unroll: student steps per teacher step, committed and again unrolled.
        rate: of the student's Adam inside the unroll.
        clip: largest norm of the teacher's gradient, of generator and shift together.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "student": ("mean", "log_std"),
        "teacher": ("generator", "shift"),
    }
    roles: ClassVar[Mapping[str, Role]] = {"generator": GENERATOR}

    def __init__(
        self,
        generator: nn.Module,
        prior: Gaussian,
        measure: Measure | Undefined,
        *,
        unroll: int = 5,
        rate: float = 0.01,
        clip: float = 5.0,
    ):
        super().__init__(measure)
        self.generator, self.prior = generator, prior
        self.unroll, self.rate, self.clip = unroll, rate, clip
        self.shift, self.mean, self.log_std = (
            nn.Parameter(torch.zeros(measure.shape)) for _ in range(3)
        )
        for name in self.players["student"]:
            self.register_buffer(f"m_{name}", torch.zeros(measure.shape))
            self.register_buffer(f"v_{name}", torch.zeros(measure.shape))
        self.register_buffer("t", torch.zeros(()))

    def round(self, index: int, data: Iterator[Batch], rng: Generator) -> Iterator[PlayerUpdate]:
        x = next(data).x
        for _ in range(self.unroll):
            z = self.prior.sample(len(x), rng)
            yield PlayerUpdate("student", self.student_loss, (z,), transform=self.adam)
        z = torch.stack([self.prior.sample(len(x), rng) for _ in range(self.unroll)])
        yield PlayerUpdate("teacher", self.teacher_loss, (x, z), transform=self.tame)

    def model(self, z: Tensor) -> Tensor:
        return self.generator(z) + self.shift

    def student_loss(self, z: Tensor) -> Loss:
        return Loss(self.nll({"mean": self.mean, "log_std": self.log_std}, self.model(z).detach()))

    def teacher_loss(self, x: Tensor, z: Tensor) -> Loss:
        """-log p_M(x; phi_K) after K steps on fresh samples z ``[K, B, latent]``, not detached."""
        phi = {name: getattr(self, name).detach() for name in self.players["student"]}
        m, v, t = self.moments()
        for z_k in z:
            m, v, t, step = self.adam_step(grad(self.nll)(phi, self.model(z_k)), m, v, t)
            phi = {name: phi[name] - self.rate * step[name] for name in phi}
        return Loss(self.nll(phi, x))

    def nll(self, phi: Gradients, x: Tensor) -> Tensor:
        scaled = (x - phi["mean"]) * torch.exp(-phi["log_std"])
        return (0.5 * scaled.square() + phi["log_std"]).flatten(1).sum(1).mean()

    def moments(self) -> tuple[Gradients, Gradients, Tensor]:
        names = self.players["student"]
        m, v = ({name: getattr(self, f"{kind}_{name}") for name in names} for kind in "mv")
        return m, v, self.t

    def adam_step(
        self, g: Gradients, m: Gradients, v: Gradients, t: Tensor
    ) -> tuple[Gradients, Gradients, Tensor, Gradients]:
        """Adam's new m, v (no gradient through v), t and step; epsilon outside the root."""
        t = t + 1
        m = {name: 0.5 * m[name] + 0.5 * g[name] for name in g}
        v = {name: (0.999 * v[name] + 0.001 * g[name].square()).detach() for name in g}
        scale, root = 1 / (1 - 0.5**t), torch.sqrt(1 - 0.999**t)
        return m, v, t, {name: scale * m[name] / (v[name].sqrt() / root + 1e-8) for name in g}

    def adam(self, gradients: Gradients) -> Gradients:
        m, v, t, step = self.adam_step(gradients, *self.moments())
        self.t.copy_(t)
        for name in gradients:
            getattr(self, f"m_{name}").copy_(m[name])
            getattr(self, f"v_{name}").copy_(v[name])
        return {name: 3 * self.rate * step[name] for name in gradients}

    def tame(self, gradients: Gradients) -> Gradients:
        norm = torch.nn.utils.get_total_norm(gradients.values())
        return {name: g * (self.clip / norm).clamp(max=1) for name, g in gradients.items()}

    @torch.no_grad()
    def sample(self, n: int, rng: Generator, given: Tensor | None = None) -> Tensor:
        return self.model(self.prior.sample(n, rng))
