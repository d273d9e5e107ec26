"""Faults of sweeps: claims, locks, torn journals, repeated draws, spellings, directions."""

from __future__ import annotations

from mutants.fault import faults

JOURNAL, LOCKS, SPACE, RUNS, SUMMARY = (
    f"gibbsian/experiments/sweep/{name}.py"
    for name in ("journal", "locks", "space", "runs", "summary")
)
TEST, TEST_SPACE, TEST_RUNS = (
    f"tests/sweep/test_{name}.py::test" for name in ("journal", "space", "sweep")
)

FAULTS = [
    *faults(
        JOURNAL,
        f"{TEST}_a_trial_left_running_is_adopted_before_new_ones",
        ("if trial.state != states.RUNNING or", "if trial.state == states.RUNNING or"),
        ("return self._claimed(trial), lock\n", "pass\n"),
    ),
    *faults(
        JOURNAL,
        f"{TEST}_a_result_that_was_not_told_is_not_computed_again",
        ("(result := self._result(trial.number)) is not None", "(result := None) is not None"),
    ),
    *faults(
        JOURNAL,
        f"{TEST}_two_workers_share_without_repeating",
        (
            "        lock.acquire()\n        return self._claimed(asked)",
            "        return self._claimed(asked)",
        ),
    ),
    *faults(
        JOURNAL,
        f"{TEST}_a_death_at_any_record_of_the_journal_loses_and_repeats_nothing",
        (
            "                study.tell(trial.number, state=states.FAIL)\n",
            "                return self._claimed(trial), lock\n",
        ),
        ('        write_json(claim.folder / "result.json", result)\n        with', "        with"),
        ("if not any(trial.state == states.WAITING for trial in known):", "if True:"),
    ),
    *faults(
        LOCKS,
        f"{TEST}_the_torn_end_of_a_journal_is_cut_off",
        ('content.rfind(b"\\n") + 1', 'content.rfind(b"\\n")'),
        ('if content and not content.endswith(b"\\n"):', "if not content:"),
    ),
    *faults(
        JOURNAL,
        f"{TEST}_random_draws_do_not_begin_anew",
        ("self.seed * 1_000_003 + begun", "self.seed * 1_000_003"),
    ),
    *faults(
        JOURNAL,
        f"{TEST}_bayes_finds_what_random_search_does_not",
        ('if self.search == "bayes":', 'if self.search == "grid":'),
        ('"maximize" if self.maximise else "minimize"', '"maximize"'),
    ),
    *faults(
        SPACE,
        f"{TEST_SPACE}_options_that_vary_together",
        ('for name in names.split(",")]', 'for name in names.split(",")[:1]]'),
    ),
    *faults(
        SPACE,
        f"{TEST_SPACE}_values_reach_the_configuration",
        ('for g in ("training", "source")', 'for g in ("training",)'),
    ),
    *faults(
        SUMMARY,
        f"{TEST_RUNS}_the_page_sorts_by_what_is_better",
        ("reverse=OBJECTIVES[settings.objective].maximise", "reverse=True"),
    ),
    *faults(
        RUNS,
        f"{TEST_RUNS}_a_run_left_in_its_folder_goes_on",
        ('if (run.path / "config.json").is_file():', "if False:"),
    ),
    *faults(
        RUNS,
        f"{TEST_RUNS}_more_trials_later",
        ('max(there["trials"], settings.trials)', 'there["trials"]'),
    ),
    *faults(
        "gibbsian/experiments/sweep/workers.py",
        f"{TEST_RUNS}_two_workers",
        ("process.exitcode != 0", "process.exitcode == 0 and False"),
    ),
]
