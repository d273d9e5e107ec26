"""Faults of the transition form of VGAN: readings, weights, mask, noise, rows, batch statistics."""

from __future__ import annotations

from mutants.fault import faults

FILE, TEST = "gibbsian/methods/transition_vgan.py", "tests/methods/test_transition_vgan.py::test"

FAULTS = [
    *faults(
        FILE,
        f"{TEST}_transition_descends_its_reading",
        ("self.rho * follow.value + (1.0 - self.rho) * error", "follow.value + error"),
        ("(1.0 - self.rho) * error", "self.rho * error"),
        ('x_model, self.reading == "released-code")', 'x_model, self.reading != "released-code")'),
        ("square().sum(1).mean()", "square().mean()"),
        ("self.halves.decoder(h), x)", "x_model, x)"),
        ('if self.reading == "equation-10":', 'if self.reading != "equation-10":'),
        ("(part - box.low) / (box.high - box.low)", "part / (box.high - box.low)"),
        (
            "follow = following_loss(self.energy, x_model,",
            "follow = following_loss(self.energy, x,",
        ),
    ),
    *faults(
        FILE,
        f"{TEST}_energy_descends_data_minus_transitions_minus_regulariser",
        ("contrast_loss(self.energy, x, x_model,", "contrast_loss(self.energy, x_model, x,"),
        ("x_model, self.regulariser)", "x_model, 1.0)"),
        ("self.step(start, mask, u).detach()", "self.step(x, mask, u).detach()"),
    ),
    *faults(
        FILE,
        f"{TEST}_mask_noise_replaces_what_the_mask_says",
        ("mask * u + (1.0 - mask) * h", "mask * h + (1.0 - mask) * u"),
        ("mask * u + (1.0 - mask) * h", "mask * u + h"),
    ),
    *faults(
        FILE,
        f"{TEST}_noise_is_a_coin_and_uniform",
        ("(drawn[0] < self.corruption)", "(drawn[0] > self.corruption)"),
        ("(drawn[0] < self.corruption)", "(drawn[1] < self.corruption)"),
        ("2.0 * drawn[1] - 1.0", "drawn[1]"),
    ),
    *faults(
        FILE,
        f"{TEST}_k_transition_steps_then_one_energy_step_on_the_same_rows",
        ("range(self.k)", "range(self.k + 1)"),
        ("range(self.k):\n", "range(self.k):\n            start = next(data).x\n"),
    ),
    *faults(
        FILE,
        f"{TEST}_the_released_code_splits_its_batch",
        ("x[:half], x[half : 2 * half]", "x[half : 2 * half], x[:half]"),
        ("x[:half], x[half : 2 * half]", "x[:half], x[half:]"),
    ),
    *faults(
        FILE,
        f"{TEST}_only_the_mover_is_reached",
        ("self.step(start, mask, u).detach()", "self.step(start, mask, u)"),
        ('"transition": ("autoencoder",),', '"transition": ("autoencoder", "energy"),'),
    ),
    *faults(
        FILE,
        f"{TEST}_only_a_transition_move_touches_its_batch_statistics",
        ("h = call_frozen(self.halves.encoder, x)", "h = self.halves.encoder(x)"),
        ("call_frozen(self.halves.decoder, mask_noise(", "self.halves.decoder(mask_noise("),
        ("start = call_frozen(self.halves.decoder, u)", "start = self.halves.decoder(u)"),
    ),
    *faults(
        FILE,
        f"{TEST}_chains_are_repeated_transitions",
        ("self.step(states[-1], ", "self.step(x, "),
        ("for _ in range(steps):", "for _ in range(steps - 1):"),
    ),
    *faults(
        FILE,
        f"{TEST}_samples_end_chains_from_noise_or_from_given_rows",
        ("self.sample_steps, rng)[-1]", "self.sample_steps, rng)[0]"),
        ("% len(given)]", "* 0]"),
    ),
]
