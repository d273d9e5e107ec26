"""Distances and scores between samples, labels and images, each with its standard error.

Imports core and data-free helpers only; is given arrays and functions, never methods.
"""
