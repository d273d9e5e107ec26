"""Feature extractors with digests, and the classifier of images that serves as one.

Imports data, networks and core.
"""
