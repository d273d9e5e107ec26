"""What trains a configuration, and the trained model: sample, energy, log Z, evaluate, save, load.

Imports everything below experiments: config, methods, networks, evaluation, training, data, core.
"""
