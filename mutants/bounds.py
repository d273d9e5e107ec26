"""Faults of the bounds on log Z and of the method that plays them."""

from __future__ import annotations

from mutants.fault import faults

ENTROPY, INFORMATION, SINGULAR, UPPER, DIFFUSION = (
    f"gibbsian/bounds/{name}.py"
    for name in ("entropy", "information", "singular", "upper", "diffusion")
)
METHOD = "gibbsian/methods/bidirectional.py"
TEST_ENTROPY, TEST_SINGULAR, TEST_UPPER, TEST_DIFFUSION = (
    f"tests/bounds/test_{name}.py::test" for name in ("entropy", "singular", "upper", "diffusion")
)
TEST_METHOD = "tests/methods/test_bidirectional.py::test"

FAULTS = [
    *faults(
        ENTROPY,
        f"{TEST_ENTROPY}_products_agree_with_autograd_jacobians",
        ("entropy = 0.5 * log_det_gram(J)", "entropy = log_det_gram(J)"),
        ("log_volume - self.prior.log_density(z)", "log_volume + self.prior.log_density(z)"),
    ),
    *faults(
        ENTROPY,
        f"{TEST_ENTROPY}_output_noise_is_exact_for_an_affine_generator",
        ("J = torch.cat([J, blur.expand(len(J), -1, -1)], dim=1)", "J = J"),
        ("directions * (math.log(self.noise) + 0.5", "directions * (math.log(self.noise) - 0.5"),
        ("torch.log(mu.square() + self.noise**2)", "torch.log(mu.square())"),
        ("return x + self.noise * eps[0] if", "return x + eps[0] if"),
    ),
    *faults(
        ENTROPY,
        f"{TEST_ENTROPY}_batch_normalisation_does_not_couple_the_rows_of_a_jacobian",
        (
            "        with evaluating(generator):\n            x, J",
            "        if True:\n            x, J",
        ),
    ),
    *faults(
        INFORMATION,
        f"{TEST_ENTROPY}_barber_agakov_is_exact_with_the_posterior_and_below_otherwise",
        (
            "log_normal(z, mean, log_variance) - self.prior",
            "log_normal(z, mean, log_variance) + self.prior",
        ),
        ("of_noise = 0.5 * x[0].numel()", "of_noise = 1.0 * x[0].numel()"),
        ("generator(z) + self.noise * randomness[0]", "generator(z) + randomness[0]"),
    ),
    *faults(
        INFORMATION,
        f"{TEST_ENTROPY}_infonce_lies_below_the_information_and_below_log_b",
        ("- torch.logsumexp(f, 1) + math.log(len(z))", "- torch.logsumexp(f, 1)"),
        ("torch.logsumexp(f, 1)", "torch.logsumexp(f, 0) * 0"),
    ),
    *faults(
        SINGULAR,
        f"{TEST_SINGULAR}_the_published_table_for_both_variants",
        ("p = torch.where(sound, (Q[:, :, 1:] @ c[:, 1:]).squeeze(2), p)", "p = p"),
        ("eigenvectors[:, :, :1]", "eigenvectors[:, :, -1:]"),
    ),
    *faults(
        UPPER,
        f"{TEST_UPPER}_the_gradient_penalty_of_a_scaled_gaussian",
        ("(slope * Jv).flatten(1).sum(1) - (a * v)", "(slope * Jv).flatten(1).sum(1) + (a * v)"),
        ("return 0.5 * (pulled - a)", "return 0.5 * (pulled + a)"),
        ("return 0.5 * (pulled - a)", "return (pulled - a)"),
    ),
    *faults(
        UPPER,
        f"{TEST_UPPER}_a_power_of_the_projection_estimates_that_of_the_norm",
        ("pow(self.power / 2).mean()", "pow(self.power).mean()"),
        ("math.gamma((p + 1) / 2)", "math.gamma((p + 2) / 2)"),
    ),
    *faults(
        UPPER,
        f"{TEST_UPPER}_denoising_is_the_fisher_divergence_up_to_a_constant",
        ("(slope - eps / self.noise)", "(slope + eps / self.noise)"),
        ("at.clean + self.noise * eps", "at.clean"),
    ),
    *faults(
        DIFFUSION,
        f"{TEST_DIFFUSION}_the_integral_is_the_divergence",
        ("(sigma * slope - eps)", "(sigma * slope + eps)"),
        ("return 0.5 * self.log_snr_range", "return self.log_snr_range"),
        ('at.x if self.source == "data" else at.x_model', "at.x"),
    ),
    *faults(
        DIFFUSION,
        f"{TEST_DIFFUSION}_the_last_level_s_divergence_is_bounded",
        ("d * (ratio - 1.0 - ratio.log())", "d * (ratio - 1.0 + ratio.log())"),
    ),
    *faults(
        METHOD,
        f"{TEST_METHOD}_the_energy_descends_the_upper_bound",
        ("value = of_data - of_model", "value = of_model - of_data"),
        ("value + relu(gap - self.margin)", "value - relu(gap - self.margin)"),
        ("relu(gap - self.margin)", "relu(gap)"),
    ),
    *faults(
        METHOD,
        f"{TEST_METHOD}_the_generator_ascends_the_lower_bound",
        ("energy - self.entropy_weight * H", "energy + self.entropy_weight * H"),
        ("energy - self.entropy_weight * H", "energy - H"),
    ),
    *faults(
        METHOD,
        f"{TEST_METHOD}_every_pairing_moves_each_player_by_its_own_bound",
        (
            "call_frozen(self.generator, z).detach()\n        x_model",
            "call_frozen(self.generator, z)\n        x_model",
        ),
        (
            "self.shrinkage(x_model[0].numel()) - energy",
            "self.shrinkage(x_model[0].numel()) + energy",
        ),
    ),
    *faults(
        METHOD,
        f"{TEST_METHOD}_an_annealed_weight_follows_its_schedule",
        ("** -self.anneal", "** self.anneal"),
    ),
    *faults(
        METHOD,
        f"{TEST_METHOD}_samples_carry_the_output_noise",
        ("return x + self.lower.noise * torch.randn", "return x + 0.5 * torch.randn"),
    ),
]
