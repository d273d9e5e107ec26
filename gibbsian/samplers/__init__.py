"""Samplers: elementary ones, Markov kernels over an energy run on many chains at once.

Imports core only.
"""

from gibbsian.samplers.adaptation import adapt
from gibbsian.samplers.binary import RBM, block_gibbs, discrete_mala, gibbs_with_gradients
from gibbsian.samplers.chains import Chains, run
from gibbsian.samplers.checkerboard import checkerboard_gibbs
from gibbsian.samplers.draws import Draws, importance_ess, pareto_k
from gibbsian.samplers.grid import grid_sum
from gibbsian.samplers.hmc import hmc
from gibbsian.samplers.importance import importance, resample, sir
from gibbsian.samplers.kernel import Info, Kernel, State
from gibbsian.samplers.langevin import mala, ula, underdamped
from gibbsian.samplers.latent import pullback
from gibbsian.samplers.meads import meads
from gibbsian.samplers.metropolis import independence, random_walk
from gibbsian.samplers.parallel import Replicas, parallel_tempering
from gibbsian.samplers.potential import Path, constrained, value_and_grad
from gibbsian.samplers.rejection import rejection
from gibbsian.samplers.summary import Summary, summarise
from gibbsian.samplers.tempering import Schedule, adapt_schedule, ais, smc
from gibbsian.samplers.transform import Tabulated, Transformed, inverse_transform, invert_cdf

__all__ = [
    "RBM",
    "Chains",
    "Draws",
    "Info",
    "Kernel",
    "Path",
    "Replicas",
    "Schedule",
    "State",
    "Summary",
    "Tabulated",
    "Transformed",
    "adapt",
    "adapt_schedule",
    "ais",
    "block_gibbs",
    "checkerboard_gibbs",
    "constrained",
    "discrete_mala",
    "gibbs_with_gradients",
    "grid_sum",
    "hmc",
    "importance",
    "importance_ess",
    "independence",
    "inverse_transform",
    "invert_cdf",
    "mala",
    "meads",
    "parallel_tempering",
    "pareto_k",
    "pullback",
    "random_walk",
    "rejection",
    "resample",
    "run",
    "sir",
    "smc",
    "summarise",
    "ula",
    "underdamped",
    "value_and_grad",
]
