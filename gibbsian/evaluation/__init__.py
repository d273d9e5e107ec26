"""Numbers about a model: log Z, likelihood, coverage, anomaly detection. Takes functions only."""

from gibbsian.evaluation.annealing import Effort
from gibbsian.evaluation.class_scores import class_entropy, clipped_kl_score, inception_type_score
from gibbsian.evaluation.coverage import (
    ClassCoverage,
    Coverage,
    class_coverage,
    mode_coverage,
)
from gibbsian.evaluation.directed import (
    MeanWeights,
    annealed,
    by_fitted_posterior,
    directed_log_likelihood,
    mean_weights,
)
from gibbsian.evaluation.frechet import frechet_distance
from gibbsian.evaluation.helmholtz import bidirectional_log_likelihood, overlap
from gibbsian.evaluation.kale import kale_kernel, kale_network
from gibbsian.evaluation.likelihood import held_out_log_likelihood, log_prob_bounds
from gibbsian.evaluation.ood import (
    Auroc,
    AurocTable,
    auroc,
    auroc_table,
    gaussian_score,
    pca_score,
)
from gibbsian.evaluation.partition import log_partition
from gibbsian.evaluation.pictures import (
    Bootstrap,
    bootstrap,
    perceptual_distance,
    psnr,
    ssim,
    texture_distance,
)
from gibbsian.evaluation.probe import Labelled, linear_probe
from gibbsian.evaluation.quadrature import kl_to_model, log_partition_quadrature
from gibbsian.evaluation.reference import FromDistribution
from gibbsian.evaluation.sobolev import latent_log_sobolev_upper, latent_log_weight
from gibbsian.evaluation.variational import strongly_convex_upper, variational_lower

__all__ = [
    "Auroc",
    "AurocTable",
    "Bootstrap",
    "ClassCoverage",
    "Coverage",
    "Effort",
    "FromDistribution",
    "Labelled",
    "MeanWeights",
    "annealed",
    "auroc",
    "auroc_table",
    "bidirectional_log_likelihood",
    "bootstrap",
    "by_fitted_posterior",
    "class_coverage",
    "class_entropy",
    "clipped_kl_score",
    "directed_log_likelihood",
    "frechet_distance",
    "gaussian_score",
    "held_out_log_likelihood",
    "inception_type_score",
    "kale_kernel",
    "kale_network",
    "kl_to_model",
    "latent_log_sobolev_upper",
    "latent_log_weight",
    "linear_probe",
    "log_partition",
    "log_partition_quadrature",
    "log_prob_bounds",
    "mean_weights",
    "mode_coverage",
    "overlap",
    "pca_score",
    "perceptual_distance",
    "psnr",
    "ssim",
    "strongly_convex_upper",
    "texture_distance",
    "variational_lower",
]
