"""Faults of the samplers and of the estimators of log Z."""

from __future__ import annotations

from mutants.fault import faults

LANGEVIN, HMC, METROPOLIS, LATENT, TEMPERING, POTENTIAL = (
    f"gibbsian/samplers/{name}.py"
    for name in ("langevin", "hmc", "metropolis", "latent", "tempering", "potential")
)
TEST_LANGEVIN, TEST_LATENT, TEST_TEMPERING, TEST_EXACT, TEST_CONTRACT = (
    f"tests/samplers/test_{name}.py::test"
    for name in ("langevin", "latent", "tempering", "exactness", "contract")
)

FAULTS = [
    *faults(
        LANGEVIN,
        f"{TEST_LANGEVIN}_one_step_of_ula_is_the_formula",
        ("diffusion = (2 * h).sqrt() * s", "diffusion = h.sqrt() * s"),
        ("drift = h * s.square()", "drift = h * s"),
    ),
    *faults(
        LANGEVIN,
        f"{TEST_LANGEVIN}_mala_acceptance_is_the_ratio_of_densities",
        ("state.potential - end + way_back", "state.potential - end"),
        ("state.potential - end + way_back", "state.potential - end - way_back"),
        ("w * torch.sub(xi, w, alpha=0.5)", "w * torch.sub(xi, w, alpha=1.0)"),
        ("(g + slope(proposal)[0]) * ratio", "(2 * g) * ratio"),
    ),
    *faults(
        LANGEVIN,
        f"{TEST_LANGEVIN}_aboba_on_a_gaussian",
        ("(1 - decay.square()).sqrt()", "(1 - decay).sqrt()"),
        ("torch.exp(-friction * h), h / 2", "torch.exp(-friction * h), h"),
    ),
    *faults(
        LANGEVIN,
        f"{TEST_LANGEVIN}_ula_reflects_at_the_walls",
        ("            x = reflect(x, *box)\n", "            x = x.clamp(*box)\n"),
    ),
    *faults(
        LANGEVIN,
        f"{TEST_CONTRACT}_broken_energies_are_rejected_and_counted",
        ("surely_finite(energy) and surely_finite(grad)", "surely_finite(grad)"),
        ("None if known else finite(way_back) & (end > -torch.inf)", "None"),
    ),
    *faults(
        POTENTIAL,
        f"{TEST_LANGEVIN}_value_and_grad_is_that_of_autograd",
        ("(rows,), False", "(2 * rows,), False"),
        ("torch.zeros_like(x) if grad is None else grad", "x if grad is None else grad"),
    ),
    *faults(
        METROPOLIS,
        f"{TEST_EXACT}_detailed_balance",
        (
            "state, proposal, state.potential - end, end",
            "state, proposal, end - state.potential, end",
        ),
        ("there, state.potential - end + gain", "there, state.potential - end"),
    ),
    *faults(
        HMC,
        f"{TEST_EXACT}_detailed_balance",
        ("state.potential - potential + gain", "state.potential - potential"),
        ("state.potential - potential + gain", "state.potential - potential - gain"),
    ),
    *faults(
        HMC,
        "tests/samplers/test_hmc.py::test_leapfrog_is_of_second_order",
        ("kick if i < steps - 1 else kick / 2", "kick"),
    ),
    *faults(
        LATENT,
        f"{TEST_LATENT}_a_perfect_pair_is_invariant_under_its_target",
        ("- 0.5 * volume", "+ 0.5 * volume"),
        ("- 0.5 * volume", "- volume"),
    ),
    *faults(
        LATENT,
        f"{TEST_LATENT}_a_perfect_logit_is_invariant_under_the_tilted_target",
        ("- self.prior.log_density(z)", "+ self.prior.log_density(z)"),
    ),
    *faults(
        TEMPERING,
        f"{TEST_TEMPERING}_forward_and_reverse_weights_are_unbiased",
        ("log_w - increment if reverse", "log_w + increment if reverse"),
        (
            "(betas[k - 1] - betas[k])[:, None] * _gap(state, runs)\n        log_w",
            "(betas[k] - betas[k - 1])[:, None] * _gap(state, runs)\n        log_w",
        ),
    ),
    *faults(
        TEMPERING,
        f"{TEST_TEMPERING}_smc_is_unbiased_and_ends_at_the_target",
        ("ratio = ratio + torch.logsumexp(log_w, 1) - before", "ratio = ratio - before"),
    ),
]
