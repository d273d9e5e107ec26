"""Faults of score matching, noise contrast, their noise law, and energies of one class."""

from __future__ import annotations

from mutants.fault import faults

SCORE, NCE, NOISE, CLASSES = (
    f"gibbsian/methods/{name}.py" for name in ("score_matching", "nce", "noise_law", "_conditional")
)
TEST_SCORE, TEST_NCE, TEST_CLASSES = (
    f"tests/methods/test_{name}.py::test" for name in ("score_matching", "nce", "conditional")
)
JOINT = "gibbsian/networks/energies.py"

FAULTS = [
    *faults(
        SCORE,
        f"{TEST_SCORE}_denoising_is_the_squared_error_of_the_kernel_s_score",
        ("x + sigma * xi) - xi", "x + sigma * xi) + xi"),
        ("x + sigma * xi) - xi", "x) - xi"),
        ("error = sigma * input_gradient", "error = input_gradient"),
        ("return 0.5 * error.flatten(1)", "return error.flatten(1)"),
    ),
    *faults(
        SCORE,
        f"{TEST_SCORE}_sliced_is_half_the_square_minus_the_curvature_along_the_noise",
        ("sum(1) - curvature", "sum(1) + curvature"),
        ("(0.5 * gradient.square()", "(gradient.square()"),
        ("(x) * xi).flatten(1)", "(x)).flatten(1)"),
    ),
    *faults(
        SCORE,
        f"{TEST_SCORE}_gradients_are_those_of_the_objective",
        ('if self.objective == "denoising":', 'if self.objective != "denoising":'),
        ("x, xi, self.sigma)", "x, xi, 2 * self.sigma)"),
    ),
    *faults(
        SCORE,
        f"{TEST_SCORE}_the_energy_s_constant_is_left_alone",
        ("value + 0.0 * self.checked(x).mean()", "value"),
        ("value + 0.0 * self.checked(x).mean()", "value + self.checked(x).mean()"),
    ),
    *faults(
        SCORE,
        f"{TEST_SCORE}_a_round_is_one_move_with_fresh_noise",
        ("xi = torch.randn(", "xi = torch.rand("),
    ),
    *faults(
        NCE,
        f"{TEST_NCE}_loss_is_minus_the_log_probability_of_right_answers",
        ("softplus(log_nu - G_data)", "softplus(G_data - log_nu)"),
        ("softplus(log_nu - G_data)", "softplus(-G_data)"),
        ("nu * softplus(G_noise - log_nu)", "softplus(G_noise - log_nu)"),
        ("nu * softplus(G_noise - log_nu)", "nu * softplus(log_nu - G_noise)"),
        ("self.log_model(x) - self.A - log_noise", "self.log_model(x) + self.A - log_noise"),
        ("self.log_model(x_noise) - self.A", "self.log_model(x_noise) - self.A.detach()"),
        ("G_data.detach() > log_nu", "G_data.detach() < log_nu"),
        ("G_noise.detach() < log_nu", "G_noise.detach() > log_nu"),
    ),
    *faults(
        NCE,
        f"{TEST_NCE}_a_round_is_one_move_against_nu_times_the_rows",
        ("self.noise.sample(self.nu * len(x), rng)", "self.noise.sample(len(x), rng)"),
        ("torch.cat([x, x_noise])", "torch.cat([x_noise, x])"),
        ("        self.noise.see(x, index)\n", ""),
        ('{"energy": ("energy", "A")}', '{"energy": ("energy",)}'),
    ),
    *faults(
        NCE,
        f"{TEST_NCE}_A_starts_at_the_mean_log_ratio",
        ("+ measure.log_volume", "- measure.log_volume"),
        ("- Gaussian(measure.shape).log_density", "+ Gaussian(measure.shape).log_density"),
    ),
    *faults(
        NCE,
        f"{TEST_NCE}_the_base_measure_counts",
        ("        return log_p + self.measure.log_density(x)", "        return log_p"),
        ("log_p = -check_energy", "log_p = check_energy"),
    ),
    *faults(
        NCE,
        f"{TEST_NCE}_rows_outside_a_box_are_moved_onto_its_walls",
        ("self.walk.inside(batch.x)", "batch.x"),
    ),
    *faults(
        NCE,
        f"{TEST_NCE}_samples_start_at_the_noise_law",
        ("self.walk, self.noise.sample, n", "self.walk, self.walk.start, n"),
    ),
    *faults(
        NOISE,
        f"{TEST_NCE}_noise_is_the_gaussian_of_what_was_seen",
        ("self.mean.lerp_(flat.mean(0), 1 / (index + 1))", "self.mean.lerp_(flat.mean(0), 0.5)"),
        ("self.second.lerp_(second, 1 / (index + 1))", "self.second.lerp_(second, 0.5)"),
        ("- torch.outer(self.mean, self.mean)", ""),
        ("covariance = covariance + ridge", "covariance = covariance + 100 * ridge"),
        ("return self.spread * root", "return root"),
        ("xi @ scale.T", "xi @ scale"),
        ("square().sum(0) - log_det", "square().sum(0) + log_det"),
        ("torch.linalg.solve_triangular(scale, centred.T, upper=False)", "scale @ centred.T"),
    ),
    *faults(
        NOISE,
        f"{TEST_NCE}_noise_on_a_box_is_cut_off_at_its_walls",
        (" + (high - low).log().sum()", ""),
        ("scale.log().sum() + (high", "(high"),
        ("(low + (high - low) * u)", "u"),
        ("log_p.masked_fill(outside, -math.inf)", "log_p"),
        ("return self.spread * (variance", "return (variance"),
    ),
    *faults(
        NOISE,
        f"{TEST_NCE}_noise_keeps_its_moments_on_a_box",
        ("flat.square().mean(0) if", "flat.mean(0) if"),
    ),
    *faults(
        NOISE,
        f"{TEST_NCE}_noise_of_data_far_from_zero_is_as_wide_as_they_are",
        ("torch.zeros(d, dtype=torch.float64)", "torch.zeros(d)"),
        ("one.double()", "one"),
    ),
    *faults(
        CLASSES,
        f"{TEST_CLASSES}_energies_given_a_class_are_its_gaussian",
        ("len(x)) - log_p.gather", "len(x)) + log_p.gather"),
        ("return check_energy(self.energy(x), len(x)) - ", "return -"),
    ),
    *faults(
        CLASSES,
        f"{TEST_CLASSES}_loss_adds_the_classes_log_probability",
        ("loss.value + weight * cost", "loss.value + cost"),
        ("loss.value + weight * cost", "loss.value - weight * cost"),
        ("if not target:", "if target:"),
    ),
    *faults(
        CLASSES,
        f"{TEST_CLASSES}_a_pool_is_drawn_with_the_classes_probabilities",
        ("len(mine), replacement=True", "len(mine), replacement=False"),
        ("weight = (log_p[:, c] - log_p[:, c].max()).exp()", "weight = log_p[:, c].exp() * 0 + 1"),
    ),
    *faults(
        CLASSES,
        f"{TEST_CLASSES}_samples_of_a_class_are_its_gaussian",
        ("walk.go_far(Given(energy, y), pool[rows]", "walk.go_far(energy, pool[rows]"),
    ),
    *faults(
        CLASSES,
        f"{TEST_CLASSES}_what_does_not_fit",
        ("if seen > classes:", "if seen > classes + 9:"),
        ("int(given.max()) >= classes", "int(given.max()) > classes"),
        ("if classify == 0:\n        raise", "if classify < 0:\n        raise"),
    ),
    *faults(
        JOINT,
        "tests/networks/test_networks.py::test_a_joint_energy_sums_its_classes",
        ("envelope - torch.logsumexp", "envelope + torch.logsumexp"),
    ),
]
