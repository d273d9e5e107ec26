"""Faults of the methods: signs, weights, detached samples, players, counts, starting points."""

from __future__ import annotations

from mutants.fault import faults

VGAN, EXPERTS, GAN, GAMES, CD, WALKS = (
    f"gibbsian/methods/{name}.py" for name in ("vgan", "experts", "gan", "adversarial_losses", "cd", "_langevin")
)
TEST_VGAN, TEST_GAN, TEST_CD = (
    f"tests/methods/test_{name}.py::test" for name in ("vgan", "gan", "cd")
)

FAULTS = [
    *faults(
        EXPERTS,
        f"{TEST_VGAN}_generator_descends_energy_minus_surrogate",
        ("Loss(mean - entropy, logs)", "Loss(mean + entropy, logs)"),
        ("Loss(mean - entropy, logs)", "Loss(-mean - entropy, logs)"),
        ("Loss(mean - entropy, logs)", "Loss(mean, logs)"),
        ('Loss(mean, {"energy_model"', 'Loss(-mean, {"energy_model"'),
        ("if not surrogate:", "if surrogate:"),
        ("return mean, entropy_surrogate(s)", "return mean, entropy_surrogate(s.detach())"),
    ),
    *faults(
        EXPERTS,
        f"{TEST_VGAN}_energy_descends_data_minus_samples_minus_regulariser",
        ("(energy_data - energy_model - reg", "(energy_data + energy_model - reg"),
        ("(energy_data - energy_model - reg", "(-energy_data - energy_model - reg"),
        ("- regulariser * entropy_data", "+ regulariser * entropy_data"),
        ("- regulariser * entropy_data", "- entropy_data"),
        ("Loss(energy_data - energy_model, logs)", "Loss(energy_data + energy_model, logs)"),
        ("Loss(energy_data - energy_model, logs)", "Loss(energy_model - energy_data, logs)"),
    ),
    *faults(
        VGAN,
        f"{TEST_VGAN}_only_the_mover_is_reached",
        ("self.energy, self.generator(z), self", "self.energy, self.generator(z).detach(), self"),
        ("call_frozen(self.generator, z).detach()", "call_frozen(self.generator, z)"),
        ('"generator": ("generator",),', '"generator": ("energy",),'),
        ('"energy": ("energy",),', '"energy": ("energy", "generator"),'),
    ),
    *faults(
        VGAN,
        f"{TEST_VGAN}_energy_move_leaves_batch_statistics_alone",
        ("call_frozen(self.generator, z).detach()", "self.generator(z).detach()"),
        ("call_frozen(self.generator, self.prior", "self.generator(self.prior"),
    ),
    *faults(
        EXPERTS,
        f"{TEST_VGAN}_surrogate_minus_energy_is_information_about_the_sample",
        ("mean = s.mean(0)", "mean = s.mean(1)"),
        (" + torch.special.entr(1.0 - mean)", ""),
    ),
    *faults(
        VGAN,
        f"{TEST_VGAN}_k_generator_steps_then_one_energy_step",
        ("range(self.k)", "range(self.k + 1)"),
        ("range(self.k)", "range(1, self.k)"),
        ('Move("generator", self.generator_loss', 'Move("energy", self.generator_loss'),
        ('Move("energy", self.energy_loss', 'Move("generator", self.energy_loss'),
        ("for _ in range(self.k):\n", "for _ in range(self.k):\n            next(data)\n"),
    ),
    *faults(
        VGAN,
        f"{TEST_VGAN}_capabilities",
        ('Literal["energy"] = "energy"', 'Literal["tilted"] = "tilted"'),
    ),
    *faults(
        GAMES,
        f"{TEST_GAN}_critic_loss",
        ("softplus(-f_data).mean() + ", "softplus(f_data).mean() + "),
        ("+ softplus(f_model).mean()", "+ softplus(-f_model).mean()"),
        ("+ softplus(f_model).mean()", "- softplus(f_model).mean()"),
        ("return f_model.mean() - f_data.mean()", "return f_data.mean() - f_model.mean()"),
        ("return f_model.mean() - f_data.mean()", "return f_model.mean() + f_data.mean()"),
    ),
    *faults(
        GAMES,
        f"{TEST_GAN}_generator_loss",
        ("return -softplus(f_model).mean()", "return softplus(f_model).mean()"),
        ("return softplus(-f_model).mean()", "return softplus(f_model).mean()"),
        ("return -f_model.mean()", "return f_model.mean()"),
        ("Game(cross_entropy, saturating,", "Game(cross_entropy, non_saturating,"),
    ),
    *faults(
        GAN,
        f"{TEST_GAN}_energy_is_minus_the_critic",
        ("return -self.values(pack", "return self.values(pack"),
        ("return check_energy(f, len(groups))", "return f"),
    ),
    *faults(
        GAN,
        f"{TEST_GAN}_only_the_mover_is_reached",
        (
            "pack(self.generator(z), self.packing)\n        return",
            "pack(self.generator(z).detach(), self.packing)\n        return",
        ),
        ("call_frozen(self.generator, z).detach()", "call_frozen(self.generator, z)"),
        ('"critic": ("critic",),', '"critic": ("critic", "generator"),'),
        ('"generator": ("generator",),', '"generator": ("critic",),'),
    ),
    *faults(
        GAN,
        f"{TEST_GAN}_wasserstein_penalty_of_a_linear_critic",
        ("value + self.penalty * penalty", "value - self.penalty * penalty"),
        ("value + self.penalty * penalty", "value + penalty"),
        ("value + self.penalty * penalty", "value + self.penalty * penalty.detach()"),
    ),
    *faults(
        GAN,
        f"{TEST_GAN}_wasserstein_penalty_lies_between_data_and_samples",
        ("(f, x, x_model, mix)\n", "(f, x_model, x, mix)\n"),
    ),
    *faults(
        GAN,
        f"{TEST_GAN}_logit_games_have_no_wasserstein_penalty",
        ("0.0 if self.game.logits else penalty", "penalty"),
    ),
    *faults(
        GAN,
        f"{TEST_GAN}_r1_is_taken_at_the_data",
        ("value + 0.5 * self.r1", "value - 0.5 * self.r1"),
        ("value + 0.5 * self.r1", "value + self.r1"),
        ("zero_centred_penalty(f, x)", "zero_centred_penalty(f, x_model)"),
    ),
    *faults(
        GAN,
        f"{TEST_GAN}_critic_move_and_sampling_leave_batch_statistics_alone",
        ("call_frozen(self.generator, z).detach()", "self.generator(z).detach()"),
        ("call_frozen(self.generator, self.prior", "self.generator(self.prior"),
    ),
    *faults(
        GAN,
        f"{TEST_GAN}_critic_steps_then_one_generator_step",
        ("range(self.critic_steps)", "range(self.critic_steps + 1)"),
        ("range(self.critic_steps)", "range(1, self.critic_steps)"),
        ('Move("critic", self.critic_loss', 'Move("generator", self.critic_loss'),
        ('Move("generator", self.generator_loss', 'Move("critic", self.generator_loss'),
    ),
    *faults(
        GAN,
        f"{TEST_GAN}_capabilities",
        ("elif self.game.logits:", "else:"),
    ),
    *faults(
        GAN,
        f"{TEST_GAN}_a_critic_that_sees_its_batch_has_no_latent_target",
        ('if getattr(critic, "rows_interact", False):', "if False:"),
    ),
    *faults(
        GAN,
        f"{TEST_GAN}_packing_joins_rows_of_one_kind_in_order",
        ("x[: groups * m].reshape", "x[len(x) - groups * m :].reshape"),
        ("    if groups == 0:\n", "    if groups < 0:\n"),
    ),
    *faults(
        GAN,
        f"{TEST_GAN}_a_packed_game_is_the_game_on_groups",
        ("torch.rand(len(x) // self.packing,", "torch.rand(len(x),"),
        (
            "pack(x, self.packing), pack(x_model, self.packing), mix)",
            "pack(x, 1), pack(x_model, 1), mix)",
        ),
    ),
    *faults(
        GAN,
        f"{TEST_GAN}_energy_of_a_packed_critic_is_the_log_ratio_of_one",
        ("x.repeat_interleave(m, 0), m)) / m", "x.repeat_interleave(m, 0), m))"),
        ("x.repeat_interleave(m, 0)", "x.repeat(m, 1)"),
    ),
    *faults(
        GAN,
        f"{TEST_GAN}_unrolled_generator_loss_is_that_of_metz",
        ("[(x, x_model, mix)] * self.unroll", "[(x, x_model, mix)] * (self.unroll + 1)"),
        ("[(x, x_model, mix)] * self.unroll", "[(x, x_model.detach(), mix)] * self.unroll"),
        ("Adam(unroll_rate, eps_inside_root=False)", "Adam(unroll_rate)"),
        ("self.values(x_model, phi)))", "self.values(x_model)))"),
        ("self.values(x_model, phi)))", "self.values(x_model.detach(), phi)))"),
        (
            "parameters_of(self.critic), self.memory.state()",
            "parameters_of(self.critic), self.ahead.start(parameters_of(self.critic))",
        ),
    ),
    *faults(
        GAN,
        f"{TEST_GAN}_unrolled_game_watches_the_critic_and_changes_nothing_else",
        (
            "        self.memory.take(self.ahead, gradients)\n        return gradients",
            "        return gradients",
        ),
        (
            "        self.memory.take(self.ahead, gradients)\n        return gradients",
            "        return self.memory.take(self.ahead, gradients)",
        ),
        (
            'Move("generator", self.unrolled_loss, (x, z, mix))',
            'Move("generator", self.generator_loss, (z,))',
        ),
        ("self.observe if self.unroll > 0 else None", "None"),
    ),
    *faults(
        CD,
        f"{TEST_CD}_loss_is_data_minus_samples_plus_energy_l2",
        ("value = data.mean() - model.mean()", "value = data.mean() + model.mean()"),
        ("value = data.mean() - model.mean()", "value = model.mean() - data.mean()"),
        ("value + self.energy_l2 * (", "value - self.energy_l2 * ("),
        ("value + self.energy_l2 * (", "value + ("),
        ("data.square().mean() + model.square().mean()", "data.square().mean()"),
        ("value = data.mean() - model.mean()", "value = data.mean() - model.detach().mean()"),
    ),
    *faults(
        CD,
        f"{TEST_CD}_gradient_is_that_of_the_likelihood",
        ("self.energy_loss, (x, x_model,", "self.energy_loss, (x_model, x,"),
    ),
    *faults(
        CD,
        f"{TEST_CD}_persistent_chains_go_on_where_they_ended",
        ("            self.chains.copy_(x_model)\n", "            pass\n"),
        ("        if index == 0:\n", "        if index >= 0:\n"),
        ("        if index == 0:\n", "        if index < 0:\n"),
        (
            "x0 = self.persistent_points(index, rng)",
            "x0 = self.noise_points(len(self.chains), rng)",
        ),
    ),
    *faults(
        CD,
        f"{TEST_CD}_chains_are_a_local_buffer_and_the_only_thing_a_round_changes",
        ('= ("chains",)', "= ()"),
    ),
    *faults(
        CD,
        f"{TEST_CD}_restarts_are_as_frequent_as_said",
        ("device=rng.device) < self.reinit_prob", "device=rng.device) > self.reinit_prob"),
    ),
    *faults(
        CD,
        f"{TEST_CD}_negatives_start_where_they_should",
        ('x if self.start == "data" else', 'x if self.start != "data" else'),
    ),
    *faults(
        WALKS,
        f"{TEST_CD}_each_round_costs_its_steps",
        ("self.inside(x0), self.steps, rng", "self.inside(x0), self.steps + 1, rng"),
        ("self.inside(x0), self.steps, rng", "self.inside(x0), self.steps - 1, rng"),
    ),
    *faults(
        WALKS,
        f"{TEST_CD}_first_step_is_langevin_of_the_stated_size",
        ("temperature = self.noise**2", "temperature = self.noise"),
        ("self.step_size * temperature, ", "self.step_size, "),
        ("return ula(self.target(energy), h, beta=beta)", "return ula(self.target(energy), h)"),
        ('if self.kernel == "mala":', 'if self.kernel != "mala":'),
    ),
    *faults(
        WALKS,
        f"{TEST_CD}_chains_never_leave_a_box",
        ("box=(self.measure.low, self.measure.high), beta", "beta"),
        ("x.clamp(self.measure.low, self.measure.high)", "x"),
    ),
    *faults(
        WALKS,
        f"{TEST_CD}_a_gaussian_base_counts_in_the_chains_target",
        ("        return constrained(energy, self.measure)", "        return energy"),
    ),
    *faults(
        WALKS,
        f"{TEST_CD}_jumps_know_the_temperature",
        ("self.mh_scale, beta=self.noise**-2", "self.mh_scale"),
        ("        if self.mh_scale == 0:\n", "        if self.mh_scale >= 0:\n"),
    ),
    *faults(
        CD,
        f"{TEST_CD}_samples_come_from_the_chains",
        ("        if n <= len(self.chains):", "        if n < 0:"),
    ),
    *faults(
        WALKS,
        f"{TEST_CD}_samples_are_moved_on_before_they_are_handed_out",
        ("range(-(-self.sample_steps // self.steps))", "range(self.sample_steps // self.steps)"),
    ),
    *faults(
        CD,
        f"{TEST_CD}_a_broken_energy_stops_the_round_by_name",
        (
            "raise NonFiniteError(f\"player 'energy' in round {index}: {error}\") from error",
            "raise",
        ),
    ),
]
