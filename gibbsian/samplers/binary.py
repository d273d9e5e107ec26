"""Kernels on {0, 1}^d: block Gibbs for restricted Boltzmann machines, and informed proposals.

Binary states are floats that are exactly 0 or 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from gibbsian.core import Energy
from gibbsian.core.protocols import HasHiddenUnits
from gibbsian.samplers.kernel import (
    ChainState,
    MarkovKernel,
    Noise,
    TransitionInfo,
    accept_or_keep,
    check_positive,
    finite,
    kernel_of,
    metropolis,
    per_chain,
    sum_event,
    uniform_like,
)
from gibbsian.samplers.potential import AnnealingPath, Evaluate


@dataclass(frozen=True)
class RBM:
    """E(v, h) = -a.v - b.h - v W h on joint states x = (v, h) (Smolensky, 1986; Hinton, 2002).

    ``weight [n_visible, n_hidden]`` W, ``visible_bias`` a, ``hidden_bias`` b. It is linear in its
    parameters, so that an ``AnnealingPath`` between two RBMs is at every beta an RBM again.
    """

    weight: Tensor
    visible_bias: Tensor
    hidden_bias: Tensor

    @staticmethod
    def behind(energy: object) -> RBM | None:
        """The machine, without gradients, whose free energy ``energy`` is; None for another energy."""
        if not isinstance(energy, HasHiddenUnits):
            return None
        w, a, b = energy.weight, energy.visible_bias, energy.hidden_bias
        return RBM(w.detach(), a.detach(), b.detach())

    def __call__(self, x: Tensor) -> Tensor:
        """E(v, h), ``[B, n_visible + n_hidden] -> [B]``."""
        v, h = self.split(x)
        return -(v @ self.visible_bias) - h @ self.hidden_bias - ((v @ self.weight) * h).sum(1)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Joint states ``[B, n_visible + n_hidden]`` as (v, h)."""
        return x[:, : len(self.visible_bias)], x[:, len(self.visible_bias) :]

    def hidden_field(self, v: Tensor) -> Tensor:
        """Log-odds of the hidden units given v, ``[B, n_hidden]``."""
        return v @ self.weight + self.hidden_bias

    def visible_field(self, h: Tensor) -> Tensor:
        """Log-odds of the visible units given h, ``[B, n_visible]``."""
        return h @ self.weight.T + self.visible_bias

    def free_energy(self, v: Tensor) -> Tensor:
        """F(v) = -log sum_h exp(-E(v, h)), ``[B, n_visible] -> [B]``."""
        softplus = torch.nn.functional.softplus(self.hidden_field(v))
        return -(v @ self.visible_bias) - softplus.sum(1)


def block_gibbs(
    energy: RBM | AnnealingPath, *, beta: float | Tensor = 1.0
) -> MarkovKernel[ChainState]:
    """Alternate Gibbs sampling of an RBM: h | v, then v | h; every unit of a layer at once. Exact.

    States are joint, ``[B, n_visible + n_hidden]``; at inverse temperature beta both conditionals
    are those of exp(-Phi), so that the kernel anneals exactly. No gradient.

    Raises ValueError if the energy is not an RBM, or a path between two.
    """
    path = energy if isinstance(energy, AnnealingPath) else None
    rbm, base = (path.energy, path.base) if path else (energy, None)
    if not isinstance(rbm, RBM) or not isinstance(base, RBM | None):
        raise ValueError(
            "block Gibbs sampling needs the conditionals of an RBM, or of an AnnealingPath between two; use "
            "gibbs_with_gradients or discrete_mala for another energy on binary vectors"
        )
    evaluate = Evaluate(energy, gradient=False)

    def init(x0: Tensor) -> ChainState:
        refuse_non_binary(x0)
        return evaluate.init(x0, 1.0, 1.0, beta)

    def noise(state: ChainState, rng: Generator) -> Noise:
        return (uniform_like(state.x, rng),)

    def move(state: ChainState, noise: Noise) -> tuple[ChainState, TransitionInfo]:
        b = per_chain(state.beta, state.x)
        u_v, u_h = rbm.split(noise[0])
        v, _ = rbm.split(state.x)
        field = rbm.hidden_field(v)
        field = b * field if base is None else torch.lerp(base.hidden_field(v), field, b)
        h = (u_h < field.sigmoid()).to(v)
        field = rbm.visible_field(h)
        field = b * field if base is None else torch.lerp(base.visible_field(h), field, b)
        v = (u_v < field.sigmoid()).to(v)
        new = evaluate(state, torch.cat([v, h], 1))
        sound = finite(new.potential)
        return accept_or_keep(sound, new, state), TransitionInfo(sound.to(v), ~sound, 1)

    return kernel_of(init, noise, move)


def gibbs_with_gradients(
    energy: Energy | AnnealingPath, *, beta: float | Tensor = 1.0
) -> MarkovKernel[ChainState]:
    """Flip one coordinate, chosen where the gradient promises a gain (Grathwohl et al., 2021). Exact.

    q(i | x) = softmax_i(d_i / 2), d = (2 x - 1) grad Phi(x): the first-order guess of
    Phi(x) - Phi(x with i flipped); then a Metropolis step. The energy must extend smoothly to
    real x. One gradient a step.
    """
    evaluate = Evaluate(energy)

    def init(x0: Tensor) -> ChainState:
        refuse_non_binary(x0)
        return evaluate.init(x0, 1.0, 1.0, beta)

    def noise(state: ChainState, rng: Generator) -> Noise:
        return uniform_like(state.x, rng), uniform_like(state.energy, rng)

    def move(state: ChainState, noise: Noise) -> tuple[ChainState, TransitionInfo]:
        log_q = gain(state).flatten(1).log_softmax(1)
        gumbel = -(-(noise[0].flatten(1).clamp_min(1e-30).log())).log()
        flip = (log_q + gumbel).argmax(1, keepdim=True)
        rows = state.x.flatten(1)
        x = rows.scatter(1, flip, 1 - rows.gather(1, flip)).reshape(state.x.shape)
        new = evaluate(state, x)
        back = gain(new).flatten(1).log_softmax(1)
        way_back = (back.gather(1, flip) - log_q.gather(1, flip)).squeeze(1)
        end = new.potential
        sound = finite(way_back) & (end > -torch.inf)
        return metropolis(state, new, state.potential - end + way_back, sound, noise[1], 1)

    return kernel_of(init, noise, move)


def discrete_mala(
    energy: Energy | AnnealingPath, step_size: float | Tensor, *, beta: float | Tensor = 1.0
) -> MarkovKernel[ChainState]:
    """Flip many coordinates at once (discrete MALA of Zhang, Liu, Liu, 2022). Exact.

    Coordinate i flips with probability sigmoid(d_i / 2 - 1 / (2 h)), d as in
    ``gibbs_with_gradients``, independently given x; then a Metropolis step. One gradient a step.

    Raises ValueError if the step size is not positive.
    """
    check_positive("step_size", step_size)
    evaluate = Evaluate(energy)

    def init(x0: Tensor) -> ChainState:
        refuse_non_binary(x0)
        return evaluate.init(x0, step_size, 1.0, beta)

    def noise(state: ChainState, rng: Generator) -> Noise:
        return uniform_like(state.x, rng), uniform_like(state.energy, rng)

    def move(state: ChainState, noise: Noise) -> tuple[ChainState, TransitionInfo]:
        cost = 1 / (2 * per_chain(state.step_size, state.x))
        logit = gain(state) - cost
        flip = noise[0] < logit.sigmoid()
        sign = torch.where(flip, 1.0, -1.0).to(logit)
        new = evaluate(state, torch.where(flip, 1 - state.x, state.x))
        # log q(x' -> x) - log q(x -> x'): the same coordinates flip on the way back.
        log_q = torch.nn.functional.logsigmoid
        way_back = sum_event(log_q(sign * (gain(new) - cost)) - log_q(sign * logit))
        end = new.potential
        sound = finite(way_back) & (end > -torch.inf)
        return metropolis(state, new, state.potential - end + way_back, sound, noise[1], 1)

    return kernel_of(init, noise, move)


def gain(state: ChainState) -> Tensor:
    """Half the first-order fall of Phi on flipping each coordinate, ``[B, *event]``."""
    return (state.x - 0.5) * state.potential_grad


def refuse_non_binary(x0: Tensor) -> None:
    """ValueError unless every entry is 0 or 1."""
    if not bool(((x0 == 0) | (x0 == 1)).all()):
        raise ValueError("binary chains start at points of 0 and 1; round x0 or threshold it")
