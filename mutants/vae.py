"""Faults of the variational auto-encoder, its families of posteriors and its observations."""

from __future__ import annotations

from mutants.fault import faults

VAE, POSTERIORS, OBSERVATIONS = (
    f"gibbsian/methods/{name}.py" for name in ("vae", "posteriors", "observations")
)
TEST = "tests/methods/test_vae.py::test"

FAULTS = [
    *faults(
        VAE,
        f"{TEST}_the_gradient_is_that_of_the_written_out_bound",
        ("return Loss(divergence - reconstruction, logs)", "return Loss(-reconstruction, logs)"),
        ("return log_prior + self.log_likelihood(x, z)", "return self.log_likelihood(x, z)"),
        (
            'log_mean_exp(f) if self.estimator == "importance-weighted" else f',
            "f",
        ),
    ),
    *faults(
        POSTERIORS,
        f"{TEST}_the_gradient_is_that_of_the_written_out_bound",
        ("return m, 0.5 * log_variance", "return m, log_variance"),
    ),
    *faults(
        VAE,
        f"{TEST}_estimators_agree_in_gradient_and_b_has_the_smallest_variance",
        ("-(log_p + f * log_q).mean()", "-(log_p - f * log_q).mean()"),
        ("x, z.detach(), m, log_s", "x, z, m, log_s"),
    ),
    *faults(
        VAE,
        f"{TEST}_wake_reaches_the_decoder_and_sleep_the_encoder",
        ("z = (m + torch.exp(log_s) * eps).detach()", "z = m + torch.exp(log_s) * eps"),
        ("noise).detach()\n        sleep", "noise)\n        sleep"),
        ("-(wake.mean() + sleep.mean())", "-(wake.mean() - sleep.mean())"),
    ),
    *faults(
        VAE,
        f"{TEST}_weights_average_to_the_evidence",
        (
            "self.log_joint(x, z) - self.family.log_prob(z, m, log_s)\n\n    def encode",
            "self.log_joint(x, z)\n\n    def encode",
        ),
    ),
    *faults(
        VAE,
        f"{TEST}_samples_are_draws_of_the_model_or_means",
        ("return x if not self.return_mean", 'return x if self.return_mean != "draw"'),
    ),
    *faults(
        VAE,
        f"{TEST}_filling_in_has_the_conditional_law",
        ("< log_w[1] - log_w[0])[:, None], new, z)", "< 1e9 + 0 * u)[:, None], new, z)"),
        ("< log_w[1] - log_w[0])", "< log_w[0] - log_w[1])"),
        ("log_w = self.log_joint(x, both) - self", "log_w = self.log_joint(x, both) + self"),
    ),
    *faults(
        POSTERIORS,
        f"{TEST}_families_are_normalised_and_know_their_moments",
        ("return -centred.sign() * torch", "return centred.abs() * torch"),
        ("math.pi**2 / 3.0", "math.pi**2 / 6.0"),
        ("return -eps - 2.0 * softplus(-eps)", "return -eps - softplus(-eps)"),
        ("+ math.log(prior.scale)", "- math.log(prior.scale)"),
        ("1.0 + math.log(2.0), 2.0", "1.0 - math.log(2.0), 2.0"),
    ),
    *faults(
        OBSERVATIONS,
        f"{TEST}_observations",
        ("(noise < torch.sigmoid(a))", "(noise > torch.sigmoid(a))"),
        ("torch.exp(0.5 * log_variance) * noise", "torch.exp(log_variance) * noise"),
    ),
    *faults(
        "gibbsian/core/numerics.py",
        f"{TEST}_observations",
        ("square + log_variance + math", "square - log_variance + math"),
    ),
    *faults(
        "gibbsian/models/latents.py",
        "tests/test_latents.py::test_the_first_coordinate_grows_to_the_right_and_the_second_upwards",
        ("torch.meshgrid(axis.flip(0), axis", "torch.meshgrid(axis, axis"),
        ("[right.flatten(), up.flatten()]", "[up.flatten(), right.flatten()]"),
    ),
    *faults(
        "gibbsian/models/latents.py",
        "tests/test_latents.py::test_quantiles_are_equal_steps_of_probability",
        ("(torch.arange(count) + 0.5) / count", "(torch.arange(count) + 1) / (count + 1)"),
    ),
    *faults(
        "gibbsian/networks/options.py",
        "tests/networks/test_decoders.py::test_all_weights_start_with_the_spread_asked_for",
        ("std=self.spread", "std=self.spread**0.5"),
    ),
]
