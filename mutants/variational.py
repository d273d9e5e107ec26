"""Faults of encoders, flows and noise levels, and of variational bounds and what is built on them."""

from __future__ import annotations

from mutants.fault import faults

TIME, FLOWS, ENCODERS, ROLES = (
    f"tests/networks/test_{name}.py::test" for name in ("time", "flows", "encoders", "encoders")
)
BOUNDS = "tests/evaluation/test_variational.py::test"
MODEL = "tests/test_normalise.py::test"
TRUNKS, FLOW = "gibbsian/networks/trunks.py", "gibbsian/networks/flows.py"
VARIATIONAL, SOBOLEV = (
    "gibbsian/evaluation/log_z/variational.py",
    "gibbsian/evaluation/log_z/log_sobolev.py",
)
NORMALISE = "gibbsian/models/log_density.py"

FAULTS = [
    *faults(
        TRUNKS,
        f"{TIME}_noise_level_shifts_what_the_first_layer_sums",
        ("if index == first:", "if index == first + 1:"),
        ("return apply_at(self.layers, 0,", "return apply_at(self.layers, 2,"),
    ),
    *faults(
        TRUNKS,
        f"{TIME}_no_noise_level_means_the_cleanest",
        ("t = x.new_zeros(len(x))", "t = x.new_ones(len(x))"),
    ),
    *faults(
        "gibbsian/networks/energies.py",
        f"{TIME}_no_noise_level_means_the_cleanest",
        ("self.features(x, t)).squeeze(1) + 0.5", "self.features(x)).squeeze(1) + 0.5"),
    ),
    *faults(
        "gibbsian/networks/encoders.py",
        f"{ENCODERS}_encoders_return_means_and_log_variances",
        ("DenseTrunk(space, replace(options, time=False))", "DenseTrunk(space, options)"),
    ),
    *faults(
        "gibbsian/models/roles.py",
        f"{ROLES}_a_wrong_encoder_is_refused",
        ("return space.shape, (2 * latent,)", "return space.shape, (latent,)"),
    ),
    *faults(
        FLOW,
        f"{FLOWS}_log_determinants_are_those_of_the_jacobian",
        ("log_det + self.log_slope(a)", "log_det"),
        ("math.log(2.0 * (high - low))", "math.log(high - low)"),
        ("- 2.0 * softplus(-2.0 * a)", "- softplus(-2.0 * a)"),
    ),
    *faults(
        FLOW,
        f"{FLOWS}_the_inverse_undoes_the_flow",
        ("log_det - self.log_slope(a)", "log_det + self.log_slope(a)"),
        ("(2.0 * x - low - high)", "(2.0 * x - low + high)"),
    ),
    *faults(
        VARIATIONAL,
        f"{BOUNDS}_lower_side_has_the_closed_form",
        ("values = values + entropy", "values = values - entropy"),
        (".neg().double()", ".double()"),
        ('"bound in expectation" if is_bound', '"bound in expectation" if not is_bound'),
    ),
    *faults(
        VARIATIONAL,
        f"{BOUNDS}_lower_side_knows_its_error_and_its_measure",
        ("+ measure.log_density(x).double()", ""),
        ("float(values.std()) / math.sqrt(len(values))", "float(values.std()) / len(values)"),
    ),
    *faults(
        VARIATIONAL,
        f"{BOUNDS}_strong_convexity_covers_the_gap",
        ("log_q(x) + check_energy", "log_q(x) - check_energy"),
        ("* fisher - log_ratio", "* fisher + log_ratio"),
        ("values = 0.5 * math.exp(oscillation)", "values = 0.5"),
    ),
    *faults(
        VARIATIONAL,
        f"{BOUNDS}_sides_are_chosen_by_standing",
        ("better and not bound.diagnostics", "not bound.diagnostics"),
        ('if e.standing != "estimate"]', "]"),
        ('if better and not bound.diagnostics["concerns"]:', "if better:"),
    ),
    *faults(
        VARIATIONAL,
        f"{BOUNDS}_in_an_interval_by_quadrature_and_by_annealing",
        ("upper = lower if exact else upper", "upper = upper"),
        ("for bound in [] if exact else below:", "for bound in below:"),
    ),
    *faults(
        SOBOLEV,
        f"{BOUNDS}_latent_bound_on_five_generators",
        ("h(z).double() + math.log(share)", "h(z).double()"),
        (".square().sum(1).double()", ".abs().sum(1).double()"),
        ("factor = 0.5 *", "factor = 1.0 *"),
        ("return highest - lowest", "return highest + lowest"),
    ),
    *faults(
        SOBOLEV,
        f"{BOUNDS}_with_what_lies_outside_it_bounds_log_z",
        ("dim <= 2 and outside is not None", "outside is None"),
        ("total + (mean - total).exp()", "mean + (mean - total).exp()"),
    ),
    *faults(
        SOBOLEV,
        f"{BOUNDS}_oscillation_of_a_tilted_bowl",
        ("* (radius / size).clamp_max(1.0)", ""),
        ("values = sign * h(z)", "values = h(z)"),
    ),
    *faults(
        NORMALISE,
        f"{MODEL}_the_generator_bounds_log_z_from_below",
        ("is_bound=claim.proved", "is_bound=True"),
    ),
    *faults(
        NORMALISE,
        f"{MODEL}_scored_rows_have_no_say_in_log_z",
        ("points.append(mean + std", "points.append(mean + 0.1 * std"),
    ),
    *faults(
        NORMALISE,
        f"{MODEL}_each_energy_is_computed_once",
        ("log_base - energies", "log_base + energies"),
        ("unnormalised - z.upper.value", "unnormalised + z.upper.value"),
    ),
]
