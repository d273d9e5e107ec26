"""log Z and likelihoods from both sides: quadrature, importance, annealing, bridges, variational bounds.

Imports samplers, bounds and core; is given functions (an energy, a sampler), never methods.
"""
