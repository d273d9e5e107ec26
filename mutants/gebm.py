"""Faults of GEBM and of KALE: signs, what is learned, what is detached, weights, bases, halves."""

from __future__ import annotations

from mutants.fault import faults

GEBM, SMOOTH, BASE = (
    f"gibbsian/methods/{name}.py" for name in ("gebm", "smoothness", "invertible")
)
BOUND, KALE, LATENT = (
    f"gibbsian/{name}.py" for name in ("bounds/kale", "evaluation/kale", "samplers/latent")
)
TEST, TEST_BOUND, TEST_KALE = (
    f"tests/{name}.py::test"
    for name in ("methods/test_gebm", "bounds/test_kale", "evaluation/test_kale")
)

FAULTS = [
    *faults(
        BOUND,
        f"{TEST_BOUND}_the_chain_of_bounds",
        ("return 1.0 - (energy_data + A)", "return -(energy_data + A)"),
        ("(energy_data + A).mean()", "energy_data.mean()"),
        ("torch.exp(-(energy_base + A))", "torch.exp(-(energy_base - A))"),
        ("-energy_data.mean() - log_mean_exp", "-energy_data.mean() + log_mean_exp"),
    ),
    *faults(
        BOUND,
        f"{TEST_BOUND}_effective_share",
        ("(len(w) * w.square().sum())", "w.square().sum()"),
        ("torch.softmax(-energy_base, 0)", "torch.softmax(energy_base, 0)"),
    ),
    *faults(
        GEBM,
        f"{TEST}_energy_ascends_the_objective",
        ("penalty - objective, logs", "penalty + objective, logs"),
        (
            "return kale(E_data, E_base, self.A)\n        return donsker",
            "return kale(E_data, E_base, self.A.detach())\n        return donsker",
        ),
        ("log_q_data = self.relative_to(x)", "log_q_data = 0.0"),
        ('("potential", "A") if objective == "kale" else', '("potential", "A") if objective else'),
    ),
    *faults(
        GEBM,
        f"{TEST}_base_descends_the_divergence",
        ("Loss(donsker_varadhan(E_data, E_base))", "Loss(-donsker_varadhan(E_data, E_base))"),
        (
            "E_base = self.network_energy(y) + log_q\n        if",
            "E_base = self.network_energy(y)\n        if",
        ),
        ('self.base_update == "learned"', 'self.base_update != "learned"'),
        ("+ self.relative_to(x)\n", "\n"),
    ),
    *faults(
        GEBM,
        f"{TEST}_schedule_with_bursts",
        ("index % self.burst_every == 0", "index == 0"),
        ("self.burst if burst else self.energy_steps", "self.energy_steps"),
        ("self.base_samples * len(x), rng", "len(x), rng"),
        (
            '            x = next(data).x\n            yield Move("base"',
            '            yield Move("base"',
        ),
    ),
    *faults(
        GEBM,
        f"{TEST}_A_starts_at_the_log_partition_of_the_first_batches",
        (
            "log_mean_exp(-(self.network_energy(y) + log_q))",
            "log_mean_exp(self.network_energy(y) + log_q)",
        ),
        ("Generator(self.A.device).manual_seed(0)", "Generator(self.A.device)\n        rng.seed()"),
        ("index == step == 0 and", "step == 0 and"),
    ),
    *faults(
        GEBM,
        f"{TEST}_floor",
        ("relu(E + self.floor) - self.floor", "relu(E - self.floor) + self.floor"),
        ("relu(E + self.floor) - self.floor", "relu(E + self.floor)"),
    ),
    *faults(
        GEBM,
        f"{TEST}_a_base_that_is_not_trained_stays_as_it_is",
        ("requires_grad_(False).eval()", "requires_grad_(False)"),
        ("burst = self.train_base and", "burst ="),
    ),
    *faults(
        GEBM,
        f"{TEST}_base_moves_and_samples_leave_batch_statistics_alone",
        ("if moving else call_frozen(self.generator, z)", "if moving else self.generator(z)"),
        ("self.base_points(z, moving=True)", "self.base_points(z)"),
    ),
    *faults(
        GEBM,
        f"{TEST}_energy_over_its_measure",
        ("return E - log_density", "return E + log_density"),
        (
            '"tilted" if base == "implicit" else "energy"',
            '"energy" if base == "implicit" else "tilted"',
        ),
    ),
    *faults(
        GEBM,
        f"{TEST}_only_the_energy_is_transformed",
        ('bounded if transform == "bounded" else None', "bounded"),
        ("(x, z, mix), self.transform)", "(x, z, mix))"),
    ),
    *faults(
        SMOOTH,
        f"{TEST}_penalties",
        ("a * x + (1.0 - a) * y", "a * x - (1.0 - a) * y"),
        ("self.l2 * weights.square().mean()", "self.l2 * weights.square().sum()"),
        ("self.unit_penalty * one", "one"),
        ("value + self.gradient_penalty * slopes", "value - self.gradient_penalty * slopes"),
    ),
    *faults(
        SMOOTH,
        f"{TEST}_gradient_transforms",
        ("2.0 * g / (1.0 + g.square())", "g / (1.0 + g.square())"),
        ('newton(g) if name == "A"', 'newton(g) if name != "A"'),
        ("g / (1.0 - g).clamp_min(LEAST_MASS)", "g / (1.0 - g)"),
        ("g / (1.0 - g).clamp_min(LEAST_MASS)", "g"),
    ),
    *faults(
        BASE,
        f"{TEST}_density_of_the_base_in_both_directions",
        ("prior.log_density(z) - log_det", "prior.log_density(z) + log_det"),
        ("prior.log_density(z) + log_det", "prior.log_density(z) - log_det"),
    ),
    *faults(
        BASE,
        f"{TEST}_explicit_keeps_a_box_and_needs_no_confinement",
        ("if isinstance(measure, Undefined) else measure", "if True else measure"),
    ),
    *faults(
        LATENT,
        f"{TEST}_latent_targets_are_the_same_law",
        ("self.energy(x) - log_det", "self.energy(x) + log_det"),
        ("self.energy(x) - log_det", "self.energy(x)"),
    ),
    *faults(
        KALE,
        f"{TEST_KALE}_the_optimum_solves_primal_and_dual",
        ("- 0.5 * ridge * w @ w", "- ridge * w @ w"),
        ("(2.0 * ridge)\n", "ridge\n"),
        ("[torch.ones_like(phi[:, :1]), phi]", "[phi]"),
    ),
    *faults(
        KALE,
        f"{TEST_KALE}_two_diracs_that_approach_each_other",
        ("decrement < TOLERANCE", "decrement < 1.0"),
    ),
    *faults(
        KALE,
        f"{TEST_KALE}_network_is_measured_on_rows_it_has_not_seen",
        (
            "E_x, E_y = average(x_test), average(y_test)",
            "E_x, E_y = average(x_train), average(y_train)",
        ),
        ("loss + gradient_penalty * slopes", "loss - gradient_penalty * slopes"),
    ),
    *faults(
        KALE,
        f"{TEST_KALE}_network_reaches_the_divergence_from_below",
        ("loss = -kale(", "loss = kale("),
        ("copy.deepcopy(energy)", "energy"),
    ),
    *faults(
        KALE,
        f"{TEST_KALE}_the_standard_error_is_that_of_repeated_samples",
        ("math.hypot(mean_error(h_x), mean_error(h_y.exp()))", "mean_error(h_x)"),
        ("values.std() / math.sqrt(len(values))", "values.std()"),
    ),
]
