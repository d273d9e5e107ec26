"""Numbers about a model: log Z, likelihood, coverage, anomaly detection. Takes functions only."""

from gibbsian.evaluation.coverage import Coverage, mode_coverage
from gibbsian.evaluation.ood import (
    Auroc,
    AurocTable,
    auroc,
    auroc_table,
    gaussian_score,
    pca_score,
)
from gibbsian.evaluation.quadrature import kl_to_model, log_partition_quadrature

__all__ = [
    "Auroc",
    "AurocTable",
    "Coverage",
    "auroc",
    "auroc_table",
    "gaussian_score",
    "kl_to_model",
    "log_partition_quadrature",
    "mode_coverage",
    "pca_score",
]
