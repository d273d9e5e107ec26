"""Numbers about a model: log Z, likelihoods, metrics, features. Takes functions and arrays only.

Imports bounds, samplers and core; feature extractors also networks and data.
"""

from gibbsian.evaluation.features.feature_protocols import Extractor, FeatureEstimate, on_features
from gibbsian.evaluation.log_z.directed import (
    MeanWeights,
    annealed,
    directed_log_likelihood,
    mean_weights,
)
from gibbsian.evaluation.log_z.effort import Effort
from gibbsian.evaluation.log_z.helmholtz_machines import bidirectional_log_likelihood, overlap
from gibbsian.evaluation.log_z.likelihood import held_out_log_likelihood, log_prob_bounds
from gibbsian.evaluation.log_z.log_sobolev import latent_log_sobolev_upper, latent_log_weight
from gibbsian.evaluation.log_z.partition import log_partition
from gibbsian.evaluation.log_z.posterior import PosteriorLikelihood, posterior_likelihood
from gibbsian.evaluation.log_z.quadrature import kl_to_model, log_partition_quadrature
from gibbsian.evaluation.log_z.references import FromDistribution
from gibbsian.evaluation.log_z.variational import strongly_convex_upper, variational_lower
from gibbsian.evaluation.metrics.class_scores import (
    class_entropy,
    clipped_kl_score,
    inception_type_score,
)
from gibbsian.evaluation.metrics.coverage import (
    ClassCoverage,
    Coverage,
    class_coverage,
    mode_coverage,
)
from gibbsian.evaluation.metrics.detection import (
    Detection,
    area_under_roc,
    average_precision,
    detection_scores,
    false_positive_rate,
)
from gibbsian.evaluation.metrics.discrepancy import (
    gaussian_mmd,
    kernel_distance,
    median_bandwidths,
    mmd,
)
from gibbsian.evaluation.metrics.frechet import frechet_distance
from gibbsian.evaluation.metrics.image_quality import (
    Bootstrap,
    bootstrap,
    perceptual_distance,
    psnr,
    ssim,
    texture_distance,
)
from gibbsian.evaluation.metrics.kale_divergence import kale_kernel, kale_network
from gibbsian.evaluation.metrics.metric import Frechet, Metric, OnFeatures, Rows
from gibbsian.evaluation.metrics.metric_names import METRICS, build_metric
from gibbsian.evaluation.metrics.neighbours import (
    DensityCoverage,
    PrecisionRecall,
    density_coverage,
    perfect_coverage,
    precision_recall,
)
from gibbsian.evaluation.metrics.out_of_distribution import (
    Auroc,
    AurocTable,
    auroc,
    auroc_table,
    gaussian_score,
    pca_score,
)
from gibbsian.evaluation.metrics.probe import Labelled, linear_probe
from gibbsian.evaluation.metrics.transport import sliced_wasserstein, wasserstein
from gibbsian.evaluation.metrics.two_sample import classifier_two_sample

__all__ = [
    "METRICS",
    "Auroc",
    "AurocTable",
    "Bootstrap",
    "ClassCoverage",
    "Coverage",
    "DensityCoverage",
    "Detection",
    "Effort",
    "Extractor",
    "FeatureEstimate",
    "Frechet",
    "FromDistribution",
    "Labelled",
    "MeanWeights",
    "Metric",
    "OnFeatures",
    "PosteriorLikelihood",
    "PrecisionRecall",
    "Rows",
    "annealed",
    "area_under_roc",
    "auroc",
    "auroc_table",
    "average_precision",
    "bidirectional_log_likelihood",
    "bootstrap",
    "build_metric",
    "class_coverage",
    "class_entropy",
    "classifier_two_sample",
    "clipped_kl_score",
    "density_coverage",
    "detection_scores",
    "directed_log_likelihood",
    "false_positive_rate",
    "frechet_distance",
    "gaussian_mmd",
    "gaussian_score",
    "held_out_log_likelihood",
    "inception_type_score",
    "kale_kernel",
    "kale_network",
    "kernel_distance",
    "kl_to_model",
    "latent_log_sobolev_upper",
    "latent_log_weight",
    "linear_probe",
    "log_partition",
    "log_partition_quadrature",
    "log_prob_bounds",
    "mean_weights",
    "median_bandwidths",
    "mmd",
    "mode_coverage",
    "on_features",
    "overlap",
    "pca_score",
    "perceptual_distance",
    "perfect_coverage",
    "posterior_likelihood",
    "precision_recall",
    "psnr",
    "sliced_wasserstein",
    "ssim",
    "strongly_convex_upper",
    "texture_distance",
    "variational_lower",
    "wasserstein",
]
