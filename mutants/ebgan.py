"""Faults of EBGAN: the hinge, the pulling-away term, who moves, the margin's course, the auto-encoder."""

from __future__ import annotations

from mutants.fault import faults

EBGAN, NETS = "gibbsian/methods/ebgan.py", "gibbsian/networks/autoencoders.py"
TEST, TEST_NETS = "tests/methods/test_ebgan.py::test", "tests/networks/test_autoencoders.py::test"

FAULTS = [
    *faults(
        EBGAN,
        f"{TEST}_hinge_is_per_sample",
        ("torch.relu(margin - energy_model).mean()", "torch.relu(margin - energy_model.mean())"),
        ("torch.relu(margin - energy_model).mean()", "(margin - energy_model).mean()"),
    ),
    *faults(
        EBGAN,
        f"{TEST}_lemma_1",
        ("return energy_data.mean() +", "return -energy_data.mean() +"),
        ("torch.relu(margin - energy_model)", "torch.relu(margin + energy_model)"),
    ),
    *faults(
        EBGAN,
        f"{TEST}_pull_away_closed_forms",
        ("(S, dim=1)", "(S, dim=0)"),
        ("(directions @ directions.T).square()", "(directions @ directions.T)"),
        (" - square.diagonal().sum()", ""),
        ("/ (n * (n - 1))", "/ n**2"),
        ("    if n < 2:\n", "    if n < 1:\n"),
    ),
    *faults(
        EBGAN,
        f"{TEST}_energy_descends_error_of_data_plus_hinge_of_samples",
        ("self.energy).denoise(x, noisy)", "self.energy).denoise(noisy, x)"),
        ("self.energy).denoise(x, noisy)", "self.energy).denoise(x, x)"),
        ("= margin_loss(energy_data, energy_model,", "= margin_loss(energy_model, energy_data,"),
    ),
    *faults(
        EBGAN,
        f"{TEST}_generator_descends_error_plus_weighted_pull_away",
        ("value + self.pull_away * alike", "value - self.pull_away * alike"),
        ("value + self.pull_away * alike", "value + alike"),
        ("call_frozen(encoder, x_model)", "call_frozen(encoder, x_model.detach())"),
    ),
    *faults(
        EBGAN,
        f"{TEST}_the_generator_s_loss_has_no_hinge",
        ("len(z)).mean()\n", "len(z)).clamp_max(self.margin).mean()\n"),
    ),
    *faults(
        EBGAN,
        f"{TEST}_the_pulling_away_term_moves_the_generator_only",
        ('"energy": ("energy",),', '"energy": ("energy", "generator"),'),
        ("call_frozen(self.generator, z).detach()", "call_frozen(self.generator, z)"),
    ),
    *faults(
        EBGAN,
        f"{TEST}_one_step_of_each_player_on_one_batch",
        ("noisy = x + self.denoise * xi", "noisy = x + xi"),
        (
            "z = self.prior.sample(len(x), rng)\n        known",
            "x = next(data).x\n        z = self.prior.sample(len(x), rng)\n        known",
        ),
    ),
    *faults(
        EBGAN,
        f"{TEST}_the_margin_falls_to_zero_and_the_generator_stops_there",
        ("max(0.0, 1.0 - index", "max(0.5, 1.0 - index"),
        ("if self.margin_at(index) > 0:", "if self.margin_at(index) >= 0:"),
        ("1.0 - index / self.margin_decay", "1.0 - (index + 1) / self.margin_decay"),
    ),
    *faults(
        EBGAN,
        f"{TEST}_a_move_leaves_the_other_s_batch_statistics_alone",
        ("call_frozen(self.generator, z).detach()", "self.generator(z).detach()"),
        ("call_frozen(self.energy, x_model)", "self.energy(x_model)"),
        ("call_frozen(encoder, x_model)", "encoder(x_model)"),
        ("return call_frozen(self.generator, self.prior", "return self.generator(self.prior"),
    ),
    *faults(
        EBGAN,
        f"{TEST}_capabilities_and_samples",
        ("super().__init__(Undefined(measure.shape, why))", "super().__init__(measure)"),
    ),
    *faults(
        NETS,
        f"{TEST_NETS}_the_energy_is_the_plain_norm_of_the_residual",
        (
            "residual = self.decoder(self.encoder(x, t)) - x\n"
            "        return torch.linalg.vector_norm(residual.flatten(1), dim=1)",
            "residual = self.decoder(self.encoder(x, t)) - x\n"
            "        return residual.flatten(1).square().mean(1)",
        ),
        ("self.decoder(self.encoder(noisy)) - x", "self.decoder(self.encoder(noisy)) - noisy"),
    ),
    *faults(
        NETS,
        f"{TEST_NETS}_published_convolutions",
        ("options.batch_norm and index > 0", "options.batch_norm"),
        ("options.channels << i", "options.channels"),
    ),
    *faults(
        NETS,
        f"{TEST_NETS}_codes_lie_in_the_cube_and_reconstructions_in_the_box",
        ("*head, nn.Tanh())", "*head)"),
    ),
]
