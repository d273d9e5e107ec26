"""Samplers: kernels over an energy, run on many chains at once."""

from gibbsian.samplers.chains import Chains, run
from gibbsian.samplers.hmc import hmc
from gibbsian.samplers.kernel import Info, Kernel, State
from gibbsian.samplers.langevin import mala, ula, underdamped
from gibbsian.samplers.metropolis import independence, random_walk
from gibbsian.samplers.potential import Path, constrained, value_and_grad

__all__ = [
    "Chains",
    "Info",
    "Kernel",
    "Path",
    "State",
    "constrained",
    "hmc",
    "independence",
    "mala",
    "random_walk",
    "run",
    "ula",
    "underdamped",
    "value_and_grad",
]
