"""The upper side of log Z: penalties on the energy that cover the gap KL(q || p) of the lower side.

log Z = E_q[-E(x)] + H(q) + KL(q || p). Each penalty P below is 0 or least where q = p. Trained with
a weight M, E_q[-E] + H(q) + M P is an upper bound on log Z only under the conditions its guarantee
names; otherwise P is a regulariser of the energy. No penalty moves the generator.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from gibbsian.bounds.entropy import Entropy, LogDetEntropy, SingularValueEntropy, evaluating
from gibbsian.bounds.guarantees import Guarantee
from gibbsian.core.numerics import input_gradient, jvp, vjp, zero_centred_penalty
from gibbsian.core.protocols import Flow


class Points(NamedTuple):
    """Where a penalty looks: data ``x [B, *event]``, latents ``z [B, d]``, the samples made of them.

    ``x_model``: with the output noise, if there is one; ``clean``: G(z) itself.
    """

    x: Tensor
    z: Tensor
    x_model: Tensor
    clean: Tensor


class Upper(ABC):
    """A penalty P(energy) at data and at samples of q."""

    @abstractmethod
    def randomness(self, x: Tensor, z: Tensor, rng: Generator) -> tuple[Tensor, ...]:
        """What ``penalty`` needs besides ``x`` and the latents ``z [B, d]``."""

    @abstractmethod
    def penalty(
        self, energy: Callable[..., Tensor], generator: nn.Module, at: Points, *randomness: Tensor
    ) -> Tensor:
        """P, a scalar; differentiable in the parameters of ``energy``."""

    @abstractmethod
    def guarantee(self) -> Guarantee:
        """What lower value + M P is worth."""


def absolute_moment(p: float) -> float:
    """E|N|^p of a standard normal N: what projecting on a random direction multiplies |g|^p by."""
    return 2 ** (p / 2) * math.gamma((p + 1) / 2) / math.sqrt(math.pi)


class GradientPenalty(Upper):
    """P = 1/2 E_z |grad_z [E(G(z)) + log p_G(G(z))]|^p (Geng et al. 2021).

    -log p_G(G(z)) is the term of ``entropy`` at z: by the exact log-determinant or with d log s_1 in
    its place. P = 0 iff E = -log p_G + const on the image of G. A generator of piecewise linear
    layers has a log volume without gradient, and the penalty then asks for the wrong slope.

    ``projected``: one random direction v per z, (v . g)^p / E|N|^p; without the Jacobian at hand it costs
    one forward product through G, and the whole gradient one reverse product whose own graph is needed.
    Looks at as many rows as ``entropy`` does.
    """

    def __init__(self, entropy: Entropy, *, power: float = 2.0, projected: bool = True):
        if not isinstance(entropy, LogDetEntropy | SingularValueEntropy):
            raise ValueError(
                "the gradient penalty needs the density of the generator's samples, which the "
                "information bounds do not give; use log-det or singular below it, or the denoising "
                "or diffusion penalty above"
            )
        if not 1 <= power < math.inf:
            raise ValueError(f"gradient_penalty_power must be at least 1, not {power}")
        self.entropy, self.power, self.projected = entropy, power, projected

    def randomness(self, x: Tensor, z: Tensor, rng: Generator) -> tuple[Tensor, ...]:
        """The direction ``v [R, d]`` and the entropy's own starts."""
        z = self.entropy.part(z)
        v = torch.randn(z.shape, generator=rng, device=rng.device, dtype=z.dtype)
        return v, *self.entropy.randomness(z, x.shape[1:], rng)

    def penalty(
        self, energy: Callable[..., Tensor], generator: nn.Module, at: Points, *randomness: Tensor
    ) -> Tensor:
        """P by the directions drawn."""
        v, *starts = randomness
        z, x_model = self.entropy.part(at.z), self.entropy.part(at.x_model)
        slope = input_gradient(energy, x_model)
        # A compiled graph cannot be differentiated twice by torch.autograd; torch.func's transforms can.
        if self.projected and isinstance(generator, Flow) and not torch.compiler.is_compiling():
            a, Jv = self._linearised_flow(generator, z, v, *starts)
            return self._along(slope, Jv, a, v)
        a, J = self._linearised(generator, z, *starts)
        if J is not None:
            pulled = (J.mT @ slope.flatten(1)[:, :, None])[:, :, 0]
            if self.projected:
                return self._of_projections(((pulled - a) * v).sum(1))
            return self._of_slopes(pulled - a)
        with evaluating(generator):
            if self.projected:
                with torch.no_grad():
                    Jv = jvp(generator, z, v)[1]
                return self._along(slope, Jv, a, v)
            pulled = vjp(generator, z, slope)[1]
        return self._of_slopes(pulled - a)

    def _along(self, slope: Tensor, Jv: Tensor, a: Tensor, v: Tensor) -> Tensor:
        """1/2 E|g|^p by v . g = slope . J v - a . v."""
        return self._of_projections((slope * Jv).flatten(1).sum(1) - (a * v).sum(1))

    def _of_projections(self, along: Tensor) -> Tensor:
        """1/2 E|g|^p from v . g ``[R]``, v standard normal."""
        return 0.5 * along.abs().pow(self.power).mean() / absolute_moment(self.power)

    def _of_slopes(self, g: Tensor) -> Tensor:
        """1/2 E|g|^p from g ``[R, d]``."""
        return 0.5 * g.square().sum(1).pow(self.power / 2).mean()

    def minus_grad_log_density(self, generator: nn.Module, z: Tensor, *starts: Tensor) -> Tensor:
        """-grad_z log p_G(G(z)) = grad_z [entropy term], ``[B, d]``, detached."""
        return self._linearised(generator, z, *starts)[0]

    def _linearised_flow(
        self, generator: nn.Module, z: Tensor, v: Tensor, *starts: Tensor
    ) -> tuple[Tensor, Tensor]:
        """``minus_grad_log_density`` and J v ``[R, *event]`` of a flow, from one pass through it.

        J v is the derivative in u of J^T u: two reverse products, a third of the cost of a forward
        product through splines.
        """
        with torch.enable_grad(), evaluating(generator):
            free = z.detach().requires_grad_()
            x, entropy = self.entropy(generator, free, *starts)
            u = torch.zeros_like(x, requires_grad=True)
            (pulled,) = torch.autograd.grad(x, free, u, create_graph=True)
            (Jv,) = torch.autograd.grad(pulled, u, v, retain_graph=True)
            (a,) = torch.autograd.grad(entropy.sum(), free)
        return a, Jv

    def _linearised(
        self, generator: nn.Module, z: Tensor, *starts: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """``minus_grad_log_density``, and J ``[B, D, d]`` where the entropy computed it; both detached."""
        log_det = self.entropy
        if not isinstance(log_det, LogDetEntropy):
            with torch.enable_grad():
                free = z.detach().requires_grad_()
                (gradient,) = torch.autograd.grad(
                    self.entropy(generator, free, *starts).entropy.sum(), free
                )
            return gradient, None

        def total(points: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
            found, J = log_det.with_jacobian(generator, points, *starts)
            # torch.func.grad takes tensors beside the value only, and a flow has no J.
            return found.entropy.sum(), () if J is None else (J,)

        gradient, beside = torch.func.grad(total, has_aux=True)(z.detach())
        return gradient.detach(), beside[0].detach() if beside else None

    def guarantee(self) -> Guarantee:
        """A bound for p = 2 only with a weight that covers the oscillation of E + log p_G."""
        exact = isinstance(self.entropy, LogDetEntropy) and self.entropy.noise == 0
        if not exact or self.power != 2:
            return Guarantee("neither", "log Z")
        return Guarantee(
            "upper",
            "log of the integral of exp(-E) over the image of G",
            (
                "M >= exp(osc h), h = -E(G(z)) - log p0(z) + 1/2 log det J^T J (a log-Sobolev "
                "inequality of the prior)",
            ),
        )


class DenoisingPenalty(Upper):
    """P = 1/2 E |grad E(x) - eps / sigma|^2 at noisy samples x = G(z) + sigma eps.

    Vincent's (2011) identity: up to a constant in E it is the Fisher divergence
    1/2 E_q |grad E + grad log q|^2 of the noisy samples' distribution q in all directions of x, without a
    Jacobian. The constant is unknown, so P has no absolute value.
    """

    def __init__(self, noise: float):
        if not 0 < noise < math.inf:
            raise ValueError(
                f"the denoising penalty needs output noise: output_noise_std must be positive, not {noise}"
            )
        self.noise = noise

    def randomness(self, x: Tensor, z: Tensor, rng: Generator) -> tuple[Tensor, ...]:
        """eps ``[B, *event]``."""
        return (torch.randn(len(z), *x.shape[1:], generator=rng, device=rng.device),)

    def penalty(
        self, energy: Callable[..., Tensor], generator: nn.Module, at: Points, *randomness: Tensor
    ) -> Tensor:
        """P at fresh noise added to G(z): what the penalty looks at has the distribution of the samples."""
        (eps,) = randomness
        slope = input_gradient(energy, at.clean + self.noise * eps)
        return 0.5 * (slope - eps / self.noise).flatten(1).square().sum(1).mean()

    def guarantee(self) -> Guarantee:
        """A bound, up to its constant, where exp(-E) satisfies a log-Sobolev inequality."""
        return Guarantee(
            "upper",
            "log Z + const",
            ("exp(-E) satisfies a log-Sobolev inequality with a constant of at least 1 / M",),
        )


class ZeroCentredPenalty(Upper):
    """P = E_data |grad E|^2 (Mescheder et al. 2018): the baseline, which bounds nothing."""

    def randomness(self, x: Tensor, z: Tensor, rng: Generator) -> tuple[Tensor, ...]:
        """None."""
        return ()

    def penalty(
        self, energy: Callable[..., Tensor], generator: nn.Module, at: Points, *randomness: Tensor
    ) -> Tensor:
        """P at the data."""
        return zero_centred_penalty(energy, at.x)

    def guarantee(self) -> Guarantee:
        """No bound."""
        return Guarantee("neither", "log Z")
