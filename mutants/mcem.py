"""Faults of Monte-Carlo EM and of full variational Bayes."""

from __future__ import annotations

from mutants.fault import faults

MCEM, FULL = "gibbsian/methods/mcem.py", "gibbsian/methods/full_bayes.py"
TEST = "tests/methods/test_mcem.py::test"

FAULTS = [
    *faults(
        MCEM,
        f"{TEST}_chains_have_the_posterior_and_tune_their_steps",
        ("-self.prior.log_density(z) - self.decoded(x, z)", "-self.decoded(x, z)"),
        ("self.log_step_size += GAIN", "self.log_step_size -= GAIN"),
    ),
    *faults(
        MCEM,
        f"{TEST}_a_round_visits_its_rows_and_then_updates",
        ("self.z[batch.index] = z\n", "self.z[:] = self.z\n"),
        ("range(self.updates)", "range(1)"),
    ),
    *faults(
        FULL,
        f"{TEST}_full_bayes_descends_the_written_out_bound",
        ("of_theta / self.points", "of_theta"),
        ("return Loss(of_z - reconstruction", "return Loss(-reconstruction"),
        ("self.theta + torch.exp(self.log_s) * zeta", "self.theta"),
    ),
]
