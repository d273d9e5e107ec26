"""Numbers about a model: log Z, likelihood, coverage, anomaly detection. Takes functions only."""

from gibbsian.evaluation.quadrature import kl_to_model, log_partition_quadrature

__all__ = ["kl_to_model", "log_partition_quadrature"]
