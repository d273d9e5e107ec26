"""Faults of bidirectional Helmholtz machines, their sampler and their likelihoods."""

from __future__ import annotations

from mutants.fault import faults

BIHM, HALVES, CHAIN = (
    f"gibbsian/methods/{name}.py" for name in ("bihm", "helmholtz", "helmholtz_chain")
)
EVALUATION, NETWORK = (
    "gibbsian/evaluation/log_z/helmholtz_machines.py",
    "gibbsian/networks/beliefs.py",
)
TEST = "tests/methods/test_bihm.py::test"
GAUSSIAN = "tests/methods/test_bihm_gaussian.py::test"

FAULTS = [
    *faults(
        BIHM,
        f"{TEST}_many_samples_give_that_gradient",
        ("torch.softmax(0.5 * log_w, 0)", "torch.softmax(log_w, 0)"),
        ("omega * p + (omega", "omega * p - (omega"),
        ("self.l1 / rows * torch", "self.l1 * torch"),
        ("if w.ndim > 1]", "]"),
    ),
    *faults(
        BIHM,
        f"{TEST}_the_control_variate_keeps_the_mean_and_lowers_the_variance",
        ("(omega - 1.0 / len(omega)) * q", "omega * q"),
    ),
    *faults(
        BIHM,
        f"{TEST}_reweighted_wake_sleep_by_enumeration",
        ("(omega * (p + 0.5 * q))", "(omega * (p + q))"),
        ("+ 0.5 * sleep", "+ sleep"),
        ("omega = torch.softmax(log_w, 0)", "omega = torch.softmax(0.5 * log_w, 0)"),
    ),
    *faults(
        BIHM,
        f"{TEST}_estimates_of_z_squared_are_unbiased",
        ("return 0.5 * ratio + log_root", "return -0.5 * ratio + log_root"),
    ),
    *faults(
        BIHM,
        f"{TEST}_filling_in_has_the_conditional_law",
        ("chain.sweep(state, rng, observed)", "chain.sweep(state, rng)"),
    ),
    *faults(
        HALVES,
        f"{TEST}_weights_average_to_p_and_their_roots_to_the_root",
        ("return log_p(beliefs, layers) - q", "return log_p(beliefs, layers) + q"),
        ("0.5 * log_weights(beliefs", "log_weights(beliefs"),
    ),
    *faults(
        CHAIN,
        f"{TEST}_gibbs_leaves_p_star_as_it_is",
        (
            "target = from_p + from_q + log_units(below, self.beliefs.down(layer - 1, h))",
            "target = from_p + from_q",
        ),
        ("h = torch.cat([old[None], drawn", "h = torch.cat([1 - old[None], drawn"),
        ("if not last:\n", "if last and not last:\n"),
        ("0.5 * target - torch.logaddexp", "target - torch.logaddexp"),
        ("return x[chosen, rows], roots[chosen, rows]", "return x[chosen, rows], root"),
        ("pick(roots + 0.5 * log_w, rng)", "pick(0.5 * log_w, rng)"),
        ("pick(roots + 0.5 * log_w, rng)", "pick(roots + log_w, rng)"),
    ),
    *faults(
        CHAIN,
        f"{TEST}_resampled_draws_tend_to_p_star",
        ("0.5 * (log_q(beliefs, layers) - log_p", "0.0 * (log_q(beliefs, layers) - log_p"),
        ("log_w + log_root(beliefs, layers[0], inner, rng)", "0 * log_w"),
    ),
    *faults(
        NETWORK,
        f"{TEST}_layers_start_as_released",
        ("(before + after)) / before", "(before + after))"),
        ("nn.init.constant_(linear.bias, -1.0)", "nn.init.constant_(linear.bias, 0.0)"),
        ("return a.clamp(-LIMIT, LIMIT)", "return a"),
    ),
    *faults(
        HALVES,
        f"{GAUSSIAN}_units_are_drawn_from_their_law",
        (
            "mean + torch.exp(0.5 * log_variance) * normal",
            "mean + torch.exp(log_variance) * normal",
        ),
    ),
    *faults(
        HALVES,
        f"{GAUSSIAN}_many_samples_give_the_gradient_of_the_bound",
        ("* normal).detach()", "* normal)"),
    ),
    *faults(
        CHAIN,
        f"{GAUSSIAN}_gibbs_leaves_p_star_as_it_is",
        (
            "from_p, from_q = log_units(h, of_p), log_units(h, of_q)",
            "from_p = from_q = log_units(h, of_q)",
        ),
        ("target - torch.logaddexp(from_p, from_q)", "target - from_p"),
    ),
    *faults(
        HALVES,
        f"{GAUSSIAN}_a_machine_of_real_numbers_starts_away_from_the_point_where_layers_are_strangers",
        ("a.chunk(2, -1)[0]\n\n\ndef spread", "a.chunk(2, -1)[1]\n\n\ndef spread"),
    ),
    *faults(
        NETWORK,
        f"{GAUSSIAN}_a_machine_of_real_numbers_starts_away_from_the_point_where_layers_are_strangers",
        ("0.1 if gaussian else decided", "1.0"),
        ("if self.gaussian[0]:", "if False:"),
        ('(space.kind != "binary", *normal)', "(False, *normal)"),
    ),
    *faults(
        CHAIN,
        f"{GAUSSIAN}_gibbs_leaves_the_law_of_a_real_observation_as_it_is",
        (" - log_units(x, of_p)", ""),
    ),
    *faults(
        "gibbsian/models/log_density.py",
        "tests/test_normalise.py::test_log_p_star_is_in_the_user_s_units",
        (
            "z, u, rng, k=WEIGHTS)\n    return shifted(found, model.transform.log_jacobian)",
            "z, u, rng, k=WEIGHTS)\n    return found",
        ),
    ),
    *faults(
        EVALUATION,
        "tests/evaluation/test_helmholtz.py::test_log_z_has_the_stated_error",
        ("(float(figure) / 2 for", "(float(figure) for"),
    ),
    *faults(
        EVALUATION,
        "tests/evaluation/test_helmholtz.py::test_log_p_star_is_the_bound_and_the_bound_less_twice_log_z",
        ("value=lower.value - 2.0 * z.value", "value=lower.value - z.value"),
        ("power=0.5", "power=1.0"),
    ),
]
