"""Samplers: elementary ones, Markov kernels over an energy run on many chains at once.

Imports core only.
"""

from gibbsian.samplers.adaptation import adapt_step_size
from gibbsian.samplers.binary import RBM, block_gibbs, discrete_mala, gibbs_with_gradients
from gibbsian.samplers.chains import Chains, run_chains
from gibbsian.samplers.checkerboard import checkerboard_gibbs
from gibbsian.samplers.draws import WeightedSamples, importance_ess, pareto_k
from gibbsian.samplers.grid import log_partition_on_grid
from gibbsian.samplers.hmc import hmc
from gibbsian.samplers.importance import importance_sampling, resample_by_weight, sir
from gibbsian.samplers.kernel import ChainState, MarkovKernel, TransitionInfo
from gibbsian.samplers.langevin import mala, ula, underdamped
from gibbsian.samplers.latent import latent_energy
from gibbsian.samplers.meads import meads
from gibbsian.samplers.metropolis import independence_metropolis, random_walk_metropolis
from gibbsian.samplers.mixed import mixed_gibbs
from gibbsian.samplers.parallel import Replicas, parallel_tempering
from gibbsian.samplers.potential import AnnealingPath, energy_with_base_measure, value_and_grad
from gibbsian.samplers.rejection import rejection_sampling
from gibbsian.samplers.summary import ChainSummary, summarise_chains
from gibbsian.samplers.tempering import AnnealingSchedule, adapt_annealing_schedule, ais, smc
from gibbsian.samplers.transform import (
    TabulatedCDF,
    TransformedDistribution,
    inverse_transform_sampling,
    invert_cdf,
)

__all__ = [
    "RBM",
    "AnnealingPath",
    "AnnealingSchedule",
    "ChainState",
    "ChainSummary",
    "Chains",
    "MarkovKernel",
    "Replicas",
    "TabulatedCDF",
    "TransformedDistribution",
    "TransitionInfo",
    "WeightedSamples",
    "adapt_annealing_schedule",
    "adapt_step_size",
    "ais",
    "block_gibbs",
    "checkerboard_gibbs",
    "discrete_mala",
    "energy_with_base_measure",
    "gibbs_with_gradients",
    "hmc",
    "importance_ess",
    "importance_sampling",
    "independence_metropolis",
    "inverse_transform_sampling",
    "invert_cdf",
    "latent_energy",
    "log_partition_on_grid",
    "mala",
    "meads",
    "mixed_gibbs",
    "parallel_tempering",
    "pareto_k",
    "random_walk_metropolis",
    "rejection_sampling",
    "resample_by_weight",
    "run_chains",
    "sir",
    "smc",
    "summarise_chains",
    "ula",
    "underdamped",
    "value_and_grad",
]
