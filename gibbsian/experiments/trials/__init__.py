"""Trials that several processes or machines share: claims, results, and what survives a death."""
