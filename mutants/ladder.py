"""Faults of the ladder energy and of the rows whose classes it is told."""

from __future__ import annotations

from mutants.fault import faults

LADDER, TEST = "gibbsian/networks/ladder.py", "tests/networks/test_ladder.py::test"
ROWS, EBGAN, TEST_ROWS = (
    "gibbsian/methods/labelled.py",
    "gibbsian/methods/ebgan.py",
    "tests/methods/test_labelled.py::test",
)

FAULTS = [
    *faults(
        LADDER,
        f"{TEST}_the_combinator_unit_by_unit",
        ("return (z - mu) * v + mu", "return (z - mu) * v"),
        ("a[3] * u + a[4]", "a[3] + a[4]"),
    ),
    *faults(
        LADDER,
        f"{TEST}_the_energy_written_out",
        ("h = torch.relu(z[-1] + shift)", "h = torch.relu(z[-1])"),
        ("logits.softmax(1)", "logits"),
        ("self.combine[level](z[level], u)", "self.combine[level](z[level - 0] * 0, u)"),
        (
            "(reconstruction - x.flatten(1)).square().sum(1)",
            "(reconstruction - x.flatten(1)).square().mean(1)",
        ),
        ("before, self.gain * (", "before, (self.gain * 0 + 1) * ("),
        ("return self.climb(x)[1]", "return self.climb(x)[0][-2]"),
    ),
    *faults(
        LADDER,
        f"{TEST}_noise_in_training_only",
        (" if self.training else z", ""),
    ),
    *faults(
        LADDER,
        f"{TEST}_the_noise_at_each_layer_has_the_asked_deviation",
        ("z.append(self.noisy(norm(up(before))))", "z.append(norm(up(before)))"),
        ("self.noise * torch.randn_like(z)", "self.noise**2 * torch.randn_like(z)"),
    ),
    *faults(
        ROWS,
        f"{TEST_ROWS}_the_first_rows_are_kept_as_they_were_last_seen",
        ("clamp(max=self.count)", "remainder(self.count)"),
        ("        self.seen[place] = 1.0\n", "        self.seen[:] = 1.0\n"),
        ("torch.randint(self.count, (n,)", "torch.randint(self.count - 1, (n,)"),
    ),
    *faults(
        ROWS,
        f"{TEST_ROWS}_the_cost_counts_rows_that_were_seen",
        ("(seen * cross_entropy", "(cross_entropy"),
        ("/ seen.sum().clamp(min=1)", "/ len(seen)"),
    ),
    *faults(
        EBGAN,
        f"{TEST_ROWS}_the_energy_s_loss_has_the_weighted_cost_on_top",
        ("value + self.classify * cost", "value + cost"),
    ),
    *faults(
        EBGAN,
        f"{TEST_ROWS}_a_resumed_run_with_labels_is_the_uninterrupted_one",
        (
            "self.labelled = LabelledRows(labels, measure.shape)",
            'self.__dict__["labelled"] = LabelledRows(labels, measure.shape)',
        ),
    ),
]
