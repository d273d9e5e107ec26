"""Gibbsian: train, sample, score and compare energy-based and adversarial generative models."""
