"""Faults of the trainer: what resuming forgets, what processes do not share, checks in a wrong place."""

from __future__ import annotations

from mutants.fault import faults

MOVES, LOOP, CHECKPOINTS, PROCESSES, OPTIMIZERS = (
    f"gibbsian/training/{name}.py"
    for name in ("stepper", "loop", "checkpoints", "processes", "optimizers")
)
RESUME = "tests/training/test_resume.py::test_resumed_equals_uninterrupted"
TEST_MOVES = "tests/training/test_moves.py"
TEST_PROCESSES = "tests/training/test_processes.py"

FAULTS = [
    *faults(
        CHECKPOINTS,
        RESUME,
        ('    progress.rng.set_state(own["rng"])\n', ""),
        ('    torch.set_rng_state(own["global rng"])\n', ""),
        ('    progress.stream.load_state_dict(facts["stream"])\n', ""),
        ('        import_state(optimizer, f"optimizer/{player}", shared)\n', "        pass\n"),
        ('        value.copy_(shared[f"average/{name}"])\n', "        pass\n"),
        ('state |= {k.removeprefix("local/"): v', 'own |= {k.removeprefix("local/"): v'),
        ('    progress.index = facts["round"]\n', ""),
        ('"round": progress.index,', '"round": progress.index + 1,'),
    ),
    *faults(
        CHECKPOINTS,
        "tests/training/test_resume.py::test_only_two_checkpoints_are_kept",
        ("rounds(folder)[2:]", "rounds(folder)[3:]"),
    ),
    *faults(
        CHECKPOINTS,
        "tests/training/test_resume.py::test_a_damaged_checkpoint_falls_back_to_the_one_before",
        ("rounds(folder)[2:]", "rounds(folder)[1:]"),
    ),
    *faults(
        "gibbsian/core/files.py",
        "tests/training/test_resume.py::test_a_damaged_checkpoint_falls_back_to_the_one_before",
        ('metadata.get("checksum") != _digest(tensors, metadata.get("facts", ""))', "False"),
    ),
    *faults(
        "gibbsian/core/files.py",
        "tests/training/test_resume.py::test_a_fault_while_saving_costs_nothing",
        ("        Path(name).unlink(missing_ok=True)\n", "        pass\n"),
    ),
    *faults(
        LOOP,
        f"{TEST_MOVES}::test_the_rate_follows_its_schedule_in_training",
        (
            "    stepper.set_rates(progress.index, options.rounds)\n",
            "    stepper.set_rates(0, 1)\n",
        ),
    ),
    *faults(
        LOOP,
        f"{TEST_MOVES}::test_non_finite_is_found_before_the_transform_and_named",
        ("                progress.stepper.check()\n", "                pass\n"),
    ),
    *faults(
        LOOP,
        "tests/training/test_resume.py::test_metrics_of_replayed_rounds_stand_once",
        ('entry["round"] <= index', 'entry["round"] < index'),
        ('entry["round"] <= index', "True"),
        ("progress.index % options.save_every == 0", "progress.index % options.save_every == 1"),
    ),
    *faults(
        MOVES,
        f"{TEST_MOVES}::test_non_finite_is_found_before_the_transform_and_named",
        ("torch.isfinite(value) & torch.isfinite(norm)", "torch.isfinite(value)"),
        ("torch.isfinite(value) & torch.isfinite(norm)", "torch.isfinite(norm)"),
        ("keep = sound | (self.fault[0] >= 0)", "keep = sound"),
        ("norm_type=torch.inf", "norm_type=0.0"),
    ),
    *faults(
        MOVES,
        TEST_MOVES,
        (
            "            named = dict(move.transform(named))\n",
            "            move.transform(named)\n",
        ),
        ("        if self.options[player].clip > 0:\n", "        if False:\n"),
        ("            if gradient is None:\n", "            if False:\n"),
        ("        if loss.value.ndim != 0:\n", "        if False:\n"),
        ('name.startswith(f"{a}.")', "name.startswith(a)"),
    ),
    *faults(
        MOVES,
        TEST_PROCESSES,
        ("        if processes.world() > 1:\n", "        if False:\n"),
        ("[*gradients, value, *self.shared_buffers]", "[*gradients, value]"),
        ("            if name not in method.local and", "            if"),
    ),
    *faults(PROCESSES, TEST_PROCESSES, ("    flat /= world()\n", "")),
    *faults(
        OPTIMIZERS,
        f"{TEST_MOVES}::test_schedules",
        ("rise * (1.0 - done)", "rise * done"),
        ("(index + 1) / (self.warmup + 1)", "index / (self.warmup + 1)"),
    ),
]
