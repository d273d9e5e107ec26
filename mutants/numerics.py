"""Faults of the numerical building blocks and of the networks."""

from __future__ import annotations

from mutants.fault import faults

NUMERICS, TEST = "gibbsian/core/numerics.py", "tests/numerics/test_numerics.py::test"
ENERGIES, GENERATORS = "gibbsian/networks/energies.py", "gibbsian/networks/generators.py"
TRUNKS, TEST_NETWORKS = "gibbsian/networks/trunks.py", "tests/networks/test_networks.py::test"

FAULTS = [
    *faults(
        NUMERICS,
        f"{TEST}_log_mean_exp_does_not_overflow",
        ("torch.logsumexp(a, dim) - math.log", "torch.logsumexp(a, dim) + math.log"),
    ),
    *faults(
        NUMERICS,
        f"{TEST}_log_mean_exp_error_covers_the_truth",
        ("relative.std(dim) / math.sqrt(n)", "relative.std(dim)"),
        ("relative.std(dim) / math.sqrt(n)", "relative.std(dim) / n"),
        ("torch.exp(a - value.unsqueeze(dim))", "torch.exp(a)"),
    ),
    *faults(
        NUMERICS,
        f"{TEST}_jacobian_products",
        (".permute(1, 2, 0)", ".permute(1, 0, 2)"),
    ),
    *faults(
        NUMERICS,
        f"{TEST}_log_determinant_and_singular_values",
        ("return 2.0 * R.diagonal", "return R.diagonal"),
        ("svdvals(J).flip(-1)", "svdvals(J)"),
        (".abs().log().sum(-1)", ".log().sum(-1)"),
    ),
    *faults(
        NUMERICS,
        f"{TEST}_zero_centred_penalty_of_a_quadratic",
        (".square().sum(1).mean()", ".square().mean(1).mean()"),
    ),
    *faults(
        NUMERICS,
        f"{TEST}_one_centred_penalty_of_a_linear_critic",
        ("(norms - 1.0).square()", "norms.square()"),
        ("(norms - 1.0).square()", "(norms - 1.0).abs()"),
        (
            "input_gradient(critic, between).flatten",
            "input_gradient(critic, between).detach().flatten",
        ),
    ),
    *faults(
        NUMERICS,
        f"{TEST}_one_centred_penalty_is_taken_between_the_samples",
        ("weight * x + (1.0 - weight) * x_model", "weight * x + (1.0 + weight) * x_model"),
    ),
    *faults(
        NUMERICS,
        f"{TEST}_frozen_call_leaves_batch_statistics_alone",
        ("name: buffer.clone() for", "name: buffer for"),
    ),
    *faults(
        ENERGIES,
        f"{TEST_NETWORKS}_expert_gradient_is_minus_a_s_one_minus_s",
        ("torch.special.entr(s) + torch", "torch.special.entr(s) - torch"),
        ("+ torch.special.entr(1.0 - s)", ""),
    ),
    *faults(
        ENERGIES,
        f"{TEST_NETWORKS}_experts_are_clipped_and_saturated_ones_have_no_gradient",
        ("clip: ClassVar[float] = 1e-4", "clip: ClassVar[float] = 1e-3"),
        ("bernoulli_entropy(s).sum(1)", "bernoulli_entropy(s).mean(1)"),
    ),
    *faults(
        ENERGIES,
        f"{TEST_NETWORKS}_sigmoid_energy_is_minus_log_d",
        ("return -s.log().squeeze(1)", "return s.log().squeeze(1)"),
    ),
    *faults(
        ENERGIES,
        f"{TEST_NETWORKS}_confined_energy_is_the_plain_one_plus_the_envelope",
        ("+ 0.5 * self.precision * envelope", "- 0.5 * self.precision * envelope"),
        ("+ 0.5 * self.precision * envelope", "+ self.precision * envelope"),
        (
            "(trunk)\n        self.precision = sigma**-2",
            "(trunk)\n        self.precision = 1 / sigma",
        ),
    ),
    *faults(
        ENERGIES,
        f"{TEST_NETWORKS}_what_energies_say_of_themselves",
        (
            "True\n    bounded: ClassVar[bool] = False\n\n    def __init__(self, trunk: Trunk, sigma",
            "False\n    bounded: ClassVar[bool] = False\n\n    def __init__(self, trunk: Trunk, sigma",
        ),
    ),
    *faults(
        GENERATORS,
        f"{TEST_NETWORKS}_squashing_reaches_an_asymmetric_box_and_is_affine_in_tanh",
        ("low + (high - low) * 0.5", "low + (high - low) * 0.25"),
        ("    if box is None:\n", "    if box is not None:\n"),
    ),
    *faults(
        TRUNKS,
        f"{TEST_NETWORKS}_fourier_features_are_cosines_and_sines",
        ("phase.cos(), phase.sin()", "phase.sin(), phase.cos()"),
        ('"W", scale * torch', '"W", torch'),
    ),
    *faults(
        TRUNKS,
        f"{TEST_NETWORKS}_he_weights_have_variance_two_over_fan_in",
        ("math.sqrt(6.0 / fan_in)", "math.sqrt(3.0 / fan_in)"),
        (" / math.prod(layer.stride)", ""),
    ),
]
