"""Each library's samplers behind one signature.

``build(target, kernel, step_size, x0, steps, keep)`` gives a function of a seed that runs ``steps``
steps of all chains from ``x0 [chains, 2]`` and returns the draws, ``[steps, chains, 2]`` if ``keep``
and otherwise the last, ``[1, chains, 2]``. Every library is used as its documentation shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import blackjax
import ebm.samplers
import jax
import jax.numpy as jnp
import numpy as np
import torch
import torchebm.samplers
from blackjax.mcmc import diffusions
from torch import Generator, Tensor

from benchmarks.targets import Target
from gibbsian import samplers

LEAPFROG = 10
GRADIENTS = {"ula": 1, "mala": 1, "hmc": LEAPFROG}
"""Gradients a step needs if none is computed twice."""

Run = Callable[[int], Tensor]
Build = Callable[[Target, str, float, Tensor, int, bool], Run]


@dataclass(frozen=True)
class Contestant:
    """A library, or one way of using ours, and the kernels it has."""

    name: str
    kernels: tuple[str, ...]
    build: Build
    targets: tuple[str, ...] = ("double well", "mlp")


def ours(compile: bool, analytic: bool) -> Build:
    """This library: eager or compiled, gradients by autograd or from the energy."""

    def build(target: Target, kernel: str, h: float, x0: Tensor, steps: int, keep: bool) -> Run:
        energy = target.analytic if analytic else target.energy
        made = {"ula": samplers.ula, "mala": samplers.mala, "hmc": samplers.hmc}[kernel]
        extra = {"steps": LEAPFROG} if kernel == "hmc" else {}
        sampler = made(energy, h, **extra)

        def run(seed: int) -> Tensor:
            rng = Generator().manual_seed(seed)
            kept = "all" if keep else "last"
            return samplers.run_chains(sampler, x0, steps, rng, keep=kept, compile=compile).draws

        return run

    return build


def torchebm_(target: Target, kernel: str, h: float, x0: Tensor, steps: int, keep: bool) -> Run:
    if kernel == "ula":
        sampler = torchebm.samplers.LangevinDynamics(target.torchebm, step_size=h)
    else:
        sampler = torchebm.samplers.HamiltonianMonteCarlo(
            target.torchebm, step_size=h, n_leapfrog_steps=LEAPFROG
        )

    def run(seed: int) -> Tensor:
        rng = Generator().manual_seed(seed)
        x = sampler.sample(x=x0, n_steps=steps, return_trajectory=keep, generator=rng)
        return x.transpose(0, 1) if keep else x[None]

    return run


def ebmkit_(target: Target, kernel: str, h: float, x0: Tensor, steps: int, keep: bool) -> Run:
    if kernel == "hmc":
        sampler = ebm.samplers.HMC(step_size=h, leapfrog_steps=LEAPFROG)
    else:
        made = {"ula": ebm.samplers.LangevinDynamics, "mala": ebm.samplers.MALA}[kernel]
        sampler = made(step_size=h)

    def run(seed: int) -> Tensor:
        torch.manual_seed(seed)  # it draws from the global generator
        x = sampler.sample(target.energy, x0, steps=steps, return_trajectory=keep)
        return x[1:] if keep else x[None]

    return run


def blackjax_(target: Target, kernel: str, h: float, x0: Tensor, steps: int, keep: bool) -> Run:
    def log_density(x: jax.Array) -> jax.Array:
        return -target.jax(x)

    if kernel == "ula":
        step = diffusions.overdamped_langevin(jax.value_and_grad(log_density))

        def init(x: jax.Array) -> diffusions.DiffusionState:
            return diffusions.DiffusionState(x, *jax.value_and_grad(log_density)(x))

        def one(key: jax.Array, state: diffusions.DiffusionState) -> diffusions.DiffusionState:
            return step(key, state, h)
    else:
        if kernel == "mala":
            algorithm = blackjax.mala(log_density, h)
        else:
            algorithm = blackjax.hmc(log_density, h, jnp.ones(2), LEAPFROG)
        init = algorithm.init

        def one(key, state):
            return algorithm.step(key, state)[0]

    @jax.jit
    def chain(key: jax.Array, x: jax.Array) -> jax.Array:
        def body(state, key):
            state = jax.vmap(one)(jax.random.split(key, len(x)), state)
            return state, state.position if keep else None

        state, draws = jax.lax.scan(body, jax.vmap(init)(x), jax.random.split(key, steps))
        return draws if keep else state.position[None]

    start = jnp.asarray(x0.numpy())

    def run(seed: int) -> Tensor:
        return torch.from_numpy(np.array(chain(jax.random.key(seed), start)))

    return run


OURS = "gibbsian"
ALL = (
    Contestant(OURS, ("ula", "mala", "hmc"), ours(compile=False, analytic=False)),
    Contestant("compiled", ("ula", "mala", "hmc"), ours(compile=True, analytic=False)),
    Contestant(
        "analytic", ("ula", "mala", "hmc"), ours(compile=False, analytic=True), ("double well",)
    ),
    Contestant("ebmkit", ("ula", "mala", "hmc"), ebmkit_),
    Contestant("torchebm", ("ula", "hmc"), torchebm_),
    Contestant("blackjax", ("ula", "mala", "hmc"), blackjax_),
)


def field(target: Target, kernel: str) -> tuple[Contestant, ...]:
    """The contestants that have this kernel for this target."""
    return tuple(c for c in ALL if kernel in c.kernels and target.name in c.targets)
