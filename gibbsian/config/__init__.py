"""Typed configurations of runs, recipes (configurations with a name) and run folders.

Imports methods, networks, training, data and core: a configuration is read off their signatures.
"""
