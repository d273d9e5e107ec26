"""Better samples from a trained pair: Markov chains on the distribution that the method declares.

A method with a latent target is refined in its generator's latent space, started at the prior; one
with an energy alone in data space, started at its own samples.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Generator, Tensor

from gibbsian.core import Energy
from gibbsian.core.measures import Counting, Mixed, Undefined
from gibbsian.core.protocols import HasEnergy, HasLatentTarget
from gibbsian.models.model import KernelName, Model
from gibbsian.samplers import (
    Chains,
    ChainState,
    MarkovKernel,
    adapt_step_size,
    energy_with_base_measure,
    hmc,
    independence_metropolis,
    latent_energy,
    mala,
    run_chains,
    ula,
    underdamped,
)

TUNED: dict[str, float] = {"mala": 0.57, "hmc": 0.7}
WARM_UP, WARM_CHAINS = 100, 128


def refine(
    model: Model,
    n: int,
    kernel: KernelName,
    steps: int = 1_000,
    *,
    seed: int = 0,
    step_size: float | None = None,
    inverse_temperature: float = 1.0,
    friction: float = 1.0,
    decay: float = 1.0,
    decay_every: int = 200,
    progress: bool = False,
) -> tuple[Tensor, Chains[ChainState]]:
    """``[n, *event]`` refined samples in the data's units, and the chains they end.

    ``n`` chains make ``steps`` steps. Without ``step_size`` MALA and HMC find theirs on 128
    chains of 100 steps (acceptance 0.57 and 0.7); the unadjusted kernels take 0.01. ``friction`` is that
    of the underdamped kernel. An inverse temperature above 1 is colder than the model. Every
    ``decay_every`` steps the step size is multiplied by ``decay``: 0.1 every 200 steps for GEBM's
    Langevin chains, which takes the unadjusted kernels' bias away as they go (Arbel, Zhou, Gretton
    2021, appendix on samplers). Raises ValueError when the method declares no target, or a setting
    does not fit it.
    """
    method, rng = model.method, model.rng(seed)
    if n < 1 or steps < 20:
        raise ValueError(f"refining needs at least 1 sample and 20 steps, not {n} and {steps}")
    if not 0 < decay <= 1 or decay_every < 1:
        raise ValueError(
            f"the step size's decay must lie in (0, 1] and come every 1 or more steps, not {decay} "
            f"every {decay_every}"
        )
    if not isinstance(method, HasEnergy):
        raise ValueError(f"{model.config.method} has no energy to refine samples with")
    pair: HasLatentTarget | None = method if isinstance(method, HasLatentTarget) else None
    if pair is not None:
        target = latent_energy(
            pair.energy, pair.generator, pair.prior, inverse_temperature, pair.latent_target
        )
        x0 = pair.prior.sample(n, rng)
    else:
        if isinstance(method.measure, Undefined | Counting):
            why = getattr(method.measure, "why", "its data are binary")
            raise ValueError(f"{model.config.method} declares no target for refinement: {why}")
        if isinstance(method.measure, Mixed):
            raise ValueError(
                "refinement moves numbers, and these rows hold categories too; the chains that sample them "
                "already make --sampler.steps-per-sample steps on both, as trained"
            )
        if kernel == "independence":
            raise ValueError(
                "independence needs a generator's prior to propose from; use mala or hmc"
            )
        target, x0 = energy_with_base_measure(method.energy, method.measure), method.sample(n, rng)
        target = target if inverse_temperature == 1 else TemperedEnergy(target, inverse_temperature)
    h = 0.01 if step_size is None else step_size
    chosen = _kernel(kernel, target, h, friction, pair)
    if step_size is None and kernel in TUNED:
        found = adapt_step_size(
            *(chosen, x0[:WARM_CHAINS], WARM_UP, rng),
            target_acceptance=TUNED[kernel],
            scale=False,
        )
        chosen = _kernel(kernel, target, float(found.step_size), friction, pair)
    stage = steps if decay == 1 else min(steps, decay_every)
    chains = in_stages(chosen, x0, steps, stage, decay, rng, progress)
    with torch.no_grad():
        u = chains.state.x if pair is None else pair.generator(chains.state.x)
    return model.transform.decode(u).cpu(), chains


def in_stages(
    kernel: MarkovKernel[ChainState],
    start: Tensor,
    steps: int,
    stage: int,
    decay: float,
    rng: Generator,
    progress: bool = False,
) -> Chains[ChainState]:
    """The chains of ``run`` with a step size that falls by the factor ``decay`` every ``stage`` steps.

    About 100 draws of each chain are kept, at least one of each stage.
    """
    lengths = [stage] * (steps // stage) + [steps % stage] * (steps % stage > 0)
    parts: list[Chains[ChainState]] = []
    state = kernel.init(start)
    for length in lengths:
        thin = max(1, min(length, steps // 100))
        parts.append(
            run_chains(kernel, state, length, rng, thin=thin, record=True, progress=progress)
        )
        state = parts[-1].state.replace(step_size=parts[-1].state.step_size * decay)
    return dataclasses.replace(
        parts[-1],
        draws=torch.cat([part.draws for part in parts]),
        acceptance=torch.stack([part.acceptance * part.steps for part in parts]).sum(0) / steps,
        divergences=torch.stack([part.divergences for part in parts]).sum(0),
        steps=steps,
        thin=parts[0].thin,
        evaluations=sum(part.evaluations for part in parts),
        start_std=parts[0].start_std,
        record={name: torch.cat([part.record[name] for part in parts]) for name in parts[0].record},
    )


class TemperedEnergy:
    """beta E: the energy at another temperature."""

    def __init__(self, energy: Energy, inverse_temperature: float):
        if not inverse_temperature > 0:
            raise ValueError(f"the inverse temperature must be positive, not {inverse_temperature}")
        self.energy, self.inverse_temperature = energy, inverse_temperature

    def __call__(self, x: Tensor) -> Tensor:
        """``[B, *event] -> [B]``."""
        return self.inverse_temperature * self.energy(x)


def _kernel(
    name: KernelName, target: Energy, h: float, friction: float, pair: HasLatentTarget | None
) -> MarkovKernel[ChainState]:
    match name:
        case "langevin":
            return ula(target, h)
        case "mala":
            return mala(target, h)
        case "hmc":
            return hmc(target, h, jitter=0.2)
        case "underdamped":
            return underdamped(target, h, friction=friction)
        case "independence":
            assert pair is not None
            return independence_metropolis(target, pair.prior)
