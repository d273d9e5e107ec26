"""Faults of what carries a model elsewhere: estimators, the distribution, chains, the hub, trackers."""

from __future__ import annotations

from mutants.fault import faults

SKLEARN = "tests/test_sklearn.py"
DISTRIBUTION = "tests/test_distribution.py"
EXPORT = "tests/test_export.py"
HUB = "tests/test_hub.py"
TRACKERS = "tests/test_trackers.py"

FAULTS = [
    *faults(
        "gibbsian/integrations/scikit_learn.py",
        f"{SKLEARN}::test_log_densities_are_those_of_the_law_in_its_own_units",
        ("- self.log_z_.upper.value + jacobian", "- self.log_z_.upper.value"),
        ("- self.log_z_.upper.value + jacobian", "+ jacobian"),
        ("parts.append(base - method.energy(u))", "parts.append(base + method.energy(u))"),
    ),
    *faults(
        "gibbsian/integrations/scikit_learn.py",
        f"{SKLEARN}::test_what_cannot_be_is_said_at_fit",
        ("    check_able(config, data, needed)\n", ""),
        ("if not 0 < self.contamination <= 0.5:", "if not 0 < self.contamination:"),
    ),
    *faults(
        "gibbsian/integrations/scikit_learn.py",
        f"{SKLEARN}::test_rounds_grow_with_the_rows_up_to_the_usual_number",
        (
            "rounds = min(ROUNDS_PER_ROW * n, config.training.rounds)",
            "rounds = config.training.rounds",
        ),
        ("1e-3 / max(share, 0.1)", "1e-3"),
    ),
    *faults(
        "gibbsian/integrations/scikit_learn.py",
        f"{SKLEARN}::test_the_global_generators_are_left_alone",
        ("    with torch.random.fork_rng(devices=[]):\n", "    if True:\n"),
    ),
    *faults(
        "gibbsian/integrations/scikit_learn.py",
        f"{SKLEARN}::test_values_on_a_grid_are_scored_without_noise",
        (
            "model.transform.encode(x.to(model.device)).double()",
            "model.transform.encode(x.to(model.device), model.rng(len(x))).double()",
        ),
    ),
    *faults(
        "gibbsian/models/distribution.py",
        DISTRIBUTION,
        ("model.transform.dequantises:", "False:"),
        ("return torch.equal(x_model, method.sample(2, model.rng(0)))", "return True"),
        ("if isinstance(self.model.method, HasLogWeights) or not self.is_exact:", "if False:"),
        ("(shift + scale * side)", "(scale * side)"),
        ("self.rng = model.rng(seed)", "self.rng = model.rng(0)"),
        ("        one = constraints.boolean\n", "        pass\n"),
    ),
    *faults(
        "gibbsian/samplers/chains.py",
        f"{EXPORT}::test_the_record_adds_up_to_what_the_chains_say",
        (
            "sums.append((acceptance + all_moved, divergences.clone()",
            "sums.append((acceptance, divergences",
        ),
        ("prepend=first.to(acceptance.dtype)) / thin", "prepend=first.to(acceptance.dtype))"),
    ),
    *faults(
        "gibbsian/models/refinement.py",
        f"{EXPORT}::test_refining_chains_go_to_a_file_that_arviz_opens",
        ("torch.cat([part.record[name] for part in parts])", "parts[-1].record[name]"),
    ),
    *faults(
        "gibbsian/models/hub.py",
        HUB,
        ("data=Path(config.data).name, source", "source"),
        (', source={"root": None}', ""),
        ("    if not LICENCE.fullmatch(licence):\n", "    if not LICENCE.match(licence):\n"),
        ("private=private, exist_ok=True", "private=None, exist_ok=True"),
    ),
    *faults(
        "gibbsian/training/loggers.py",
        TRACKERS,
        ("purge_step=step", "purge_step=None"),
        ("self.writer.add_scalar(name, value, step)", "self.writer.add_scalar(name, value)"),
        ("        if close is not None:\n", "        if False:\n"),
    ),
    *faults(
        "gibbsian/training/loop.py",
        TRACKERS,
        ("                    watch(row)\n", "                    pass\n"),
    ),
]
