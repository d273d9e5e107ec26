"""Samplers: kernels over an energy, run on many chains at once."""

from gibbsian.samplers.chains import Chains, run
from gibbsian.samplers.kernel import (
    Info,
    Kernel,
    Path,
    State,
    constrained,
    value_and_grad,
)
from gibbsian.samplers.langevin import mala, ula

__all__ = [
    "Chains",
    "Info",
    "Kernel",
    "Path",
    "State",
    "constrained",
    "mala",
    "run",
    "ula",
    "value_and_grad",
]
