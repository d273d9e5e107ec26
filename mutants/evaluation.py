"""Faults of quadrature, mode coverage and anomaly scores."""

from __future__ import annotations

from mutants.fault import faults

QUADRATURE, GRIDS, COVERAGE, OOD = (
    f"gibbsian/evaluation/{name}.py" for name in ("quadrature", "grids", "coverage", "ood")
)
TEST_QUADRATURE, TEST_COVERAGE, TEST_OOD = (
    f"tests/evaluation/test_{name}.py::test" for name in ("quadrature", "coverage", "ood")
)

FAULTS = [
    *faults(
        QUADRATURE,
        f"{TEST_QUADRATURE}_kl_is_refined_until_the_grid_sees_all_of_the_data",
        (', 0.0).sum()), mass["data"]', ", 0.0).sum()), 0.0"),
    ),
    *faults(
        "gibbsian/experiments/compare/measuring.py",
        "tests/test_comparison.py::test_one_number_is_no_upper_side_unless_it_is_exact",
        ('lower["value"] is not None and upper', "upper"),
        ('if same and upper["standing"] != "exact":', "if same:"),
        ('if same and upper["standing"] != "exact":', "if False:"),
    ),
    *faults(
        GRIDS,
        f"{TEST_QUADRATURE}_double_well",
        (
            "torch.logsumexp(values, 0)) + self.log_cell",
            "torch.logsumexp(values, 0)) - self.log_cell",
        ),
        ("torch.logsumexp(values, 0)) + self.log_cell", "torch.logsumexp(values, 0))"),
        ("sum(math.log(width) for width in widths)", "math.log(widths[0])"),
    ),
    *faults(
        QUADRATURE,
        f"{TEST_QUADRATURE}_box_and_gaussian_measure",
        ("value + measure.log_density(x)", "value"),
        ("value + measure.log_density(x)", "value - measure.log_density(x)"),
    ),
    *faults(
        QUADRATURE,
        f"{TEST_QUADRATURE}_kl_between_gaussians",
        ("share = torch.softmax(log_data, 0)", "share = torch.softmax(log_q, 0)"),
        ('- log_q + mass["log_partition"]', "- log_q"),
        ('- log_q + mass["log_partition"]', '+ log_q - mass["log_partition"]'),
    ),
    *faults(
        QUADRATURE,
        f"{TEST_QUADRATURE}_enumeration",
        ("torch.logsumexp(-value, 0)", "torch.logsumexp(value, 0)"),
    ),
    *faults(
        COVERAGE,
        f"{TEST_COVERAGE}_a_perfect_sampler",
        ("HIGH_QUALITY_STDS = 3.0", "HIGH_QUALITY_STDS = 2.0"),
        ("(m - 1) / (2 * n)", "(m - 1) / n"),
    ),
    *faults(
        COVERAGE,
        f"{TEST_COVERAGE}_dropped_modes_and_a_collapsed_sampler",
        (
            "torch.special.xlogy(histogram, m * histogram)",
            "torch.special.xlogy(histogram, histogram)",
        ),
    ),
    *faults(
        COVERAGE,
        f"{TEST_COVERAGE}_intra_mode_kl_sees_the_width",
        ("- d - log_det)", "- d + log_det)"),
    ),
    *faults(
        OOD,
        f"{TEST_OOD}_auroc_equals_scikit_learn",
        ("last - 0.5 * (counts - 1)", "last - (counts - 1)"),
        ("(joint[:m] - midranks(a)) / n", "(joint[:m] - midranks(a)) / m"),
    ),
    *faults(
        OOD,
        f"{TEST_OOD}_standard_error_is_that_of_repetition",
        ("below.var() / m + above.var() / n", "above.var() / n"),
    ),
]
