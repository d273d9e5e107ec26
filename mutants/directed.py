"""Faults of the likelihood of directed models."""

from __future__ import annotations

from mutants.fault import faults

DIRECTED, NORMALISE = "gibbsian/evaluation/log_z/directed.py", "gibbsian/models/log_density.py"
TEST = "tests/evaluation/test_directed.py::test"

FAULTS = [
    *faults(
        DIRECTED,
        f"{TEST}_sides_that_cross_are_left_and_said",
        ("if upper.value < lower.value:", "if upper.value < lower.value - 9:"),
    ),
    *faults(
        DIRECTED,
        f"{TEST}_passes_join_and_shares_are_those_of_the_weights",
        ("first - math.log(k), torch", "first, torch"),
        ("(2 * log_w).logsumexp(0)", "log_w.logsumexp(0)"),
        ("log_w = power * log_weights", "log_w = log_weights"),
        ("left -= count", "left -= 2 * count"),
    ),
    *faults(
        DIRECTED,
        f"{TEST}_annealing_has_the_evidence_between_its_sides",
        (
            "return -self.prior.log_density(z) - self.log_likelihood(x, z)",
            "return -self.log_likelihood(x, z)",
        ),
        ("x = self.x.repeat_interleave(self.each, 0)", "x = self.x.repeat(self.each, 1)"),
    ),
    *faults(
        DIRECTED,
        f"{TEST}_annealing_has_the_evidence_between_its_sides",
        ("-log_mean_exp(back.log_weights, 1)", "log_mean_exp(back.log_weights, 1)"),
        ("drawn + chains * torch.arange", "drawn + 0 * torch.arange"),
    ),
    *faults(
        DIRECTED,
        f"{TEST}_the_fitted_posterior_lies_above_and_close",
        ("- log_det\n", "+ log_det\n"),
        (
            "copies = x.repeat_interleave(rows[1].shape[1], 0)",
            "copies = x.repeat(rows[1].shape[1], 1)",
        ),
        ("return -log_mean_exp((log_q", "return log_mean_exp((log_q"),
        ("(solved.square().sum(1) + latent", "(solved.square().sum(1) - latent"),
    ),
    *faults(
        DIRECTED,
        f"{TEST}_the_interval_holds_the_truth",
        ("over_rows(above - near", "over_rows(near - above"),
        ("if ess < 5 else ()", "if ess > 5 else ()"),
    ),
    *faults(
        NORMALISE,
        "tests/test_directed.py::test_units_of_the_data_count",
        (
            "(torch.cat(rows) + model.transform.log_jacobian).float()",
            "torch.cat(rows).float()",
        ),
    ),
]
