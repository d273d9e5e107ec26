"""Numbers about a model: log Z, likelihoods, metrics, features. Takes functions and arrays only.

Imports bounds, samplers and core; feature extractors also networks and data.
"""

from gibbsian.evaluation.features.feature_protocols import FeatureExtractor
from gibbsian.evaluation.log_z.directed import directed_model_log_likelihood
from gibbsian.evaluation.log_z.effort import LogZEffort
from gibbsian.evaluation.log_z.helmholtz_machines import bihm_log_likelihood
from gibbsian.evaluation.log_z.likelihood import held_out_log_likelihood, log_prob_bounds
from gibbsian.evaluation.log_z.log_sobolev import (
    latent_log_importance_weight,
    log_z_upper_log_sobolev,
)
from gibbsian.evaluation.log_z.partition import log_partition
from gibbsian.evaluation.log_z.quadrature import kl_to_model, log_partition_quadrature
from gibbsian.evaluation.log_z.variational import (
    log_z_lower_variational,
    log_z_upper_strong_convexity,
)
from gibbsian.evaluation.metrics.class_scores import entropy_of_class_counts, inception_type_score
from gibbsian.evaluation.metrics.coverage import class_coverage, mode_coverage
from gibbsian.evaluation.metrics.detection import (
    auroc_estimate,
    average_precision,
    false_positive_rate,
)
from gibbsian.evaluation.metrics.discrepancy import gaussian_mmd, kernel_distance, mmd
from gibbsian.evaluation.metrics.frechet import frechet_distance
from gibbsian.evaluation.metrics.image_quality import (
    perceptual_distance,
    psnr,
    ssim,
    texture_distance,
)
from gibbsian.evaluation.metrics.kale_divergence import kale_with_kernel, kale_with_network
from gibbsian.evaluation.metrics.metric import FeatureMetric, Metric
from gibbsian.evaluation.metrics.metric_names import METRICS, build_metric
from gibbsian.evaluation.metrics.neighbours import density_coverage, precision_recall
from gibbsian.evaluation.metrics.out_of_distribution import (
    auroc,
    gaussian_anomaly_score,
    pca_anomaly_score,
)
from gibbsian.evaluation.metrics.probe import linear_probe
from gibbsian.evaluation.metrics.transport import sliced_wasserstein, wasserstein
from gibbsian.evaluation.metrics.two_sample import classifier_two_sample

__all__ = [
    "METRICS",
    "FeatureExtractor",
    "FeatureMetric",
    "LogZEffort",
    "Metric",
    "auroc",
    "auroc_estimate",
    "average_precision",
    "bihm_log_likelihood",
    "build_metric",
    "class_coverage",
    "classifier_two_sample",
    "density_coverage",
    "directed_model_log_likelihood",
    "entropy_of_class_counts",
    "false_positive_rate",
    "frechet_distance",
    "gaussian_anomaly_score",
    "gaussian_mmd",
    "held_out_log_likelihood",
    "inception_type_score",
    "kale_with_kernel",
    "kale_with_network",
    "kernel_distance",
    "kl_to_model",
    "latent_log_importance_weight",
    "linear_probe",
    "log_partition",
    "log_partition_quadrature",
    "log_prob_bounds",
    "log_z_lower_variational",
    "log_z_upper_log_sobolev",
    "log_z_upper_strong_convexity",
    "mmd",
    "mode_coverage",
    "pca_anomaly_score",
    "perceptual_distance",
    "precision_recall",
    "psnr",
    "sliced_wasserstein",
    "ssim",
    "texture_distance",
    "wasserstein",
]
