"""Faults of unrolled learning and of LBT: signs, rates, severed paths, orders, states."""

from __future__ import annotations

from mutants.fault import faults

UNROLLED, TEST = "gibbsian/methods/unrolled.py", "tests/test_unrolled.py::test"
LBT, TEST_LBT = "gibbsian/methods/lbt.py", "tests/methods/test_lbt.py::test"
STUDENTS, MINIBATCH = (f"gibbsian/networks/{name}.py" for name in ("students", "minibatch"))
TEST_STUDENTS = "tests/networks/test_students.py::test"

FAULTS = [
    *faults(
        UNROLLED,
        f"{TEST}_linear_gaussian",
        ("return (phi - self.rate * g,)", "return (phi + self.rate * g,)"),
        ("    for k in range(steps):\n", "    for k in range(1, steps):\n"),
        ("g = grad(objective)(carried[0],", "g = grad(objective)(carried[0].detach(),"),
    ),
    *faults(
        UNROLLED,
        f"{TEST}_sensitivity_recursion",
        ("g = grad(objective)(carried[0],", "g = grad(objective)(carried[0].detach(),"),
        ("rest[k * width : (k + 1) * width]", "rest[:width]"),
        ("inputs[first : first + segment] if segment", "inputs[first : first + 1] if segment"),
    ),
    *faults(
        UNROLLED,
        f"{TEST}_adam_is_torch_s",
        ("m = b1 * m + (1 - b1) * g", "m = b1 * m + g"),
        ("(b2 * v + (1 - b2) * g.square())", "(b2 * v + (1 - b2) * g.abs())"),
        ("        t = t + 1\n", ""),
        (
            "direction = m / (v.sqrt() / second.sqrt() + self.eps)",
            "direction = m / (v.sqrt() + self.eps)",
        ),
        ("        if self.eps_inside_root:\n", "        if not self.eps_inside_root:\n"),
        ("return phi - self.rate / first * direction", "return phi - self.rate * direction"),
    ),
    *faults(
        UNROLLED,
        f"{TEST}_epsilon_inside_the_root_shortens_steps_of_small_gradients",
        ("m / torch.sqrt(v + self.eps)", "m / (torch.sqrt(v) + self.eps)"),
    ),
    *faults(
        UNROLLED,
        f"{TEST}_the_bias_of_single_precision_is_removed_exactly",
        ("-torch.expm1(t * math.log(b2))", "1 - b2**t"),
    ),
    *faults(
        UNROLLED,
        f"{TEST}_gradient_flows_through_m_and_not_through_v",
        ("g.square()).detach()", "g.square())"),
        ("m = b1 * m + (1 - b1) * g\n", "m = b1 * m + (1 - b1) * g.detach()\n"),
        ("m = b1 * m + (1 - b1) * g\n", "m = b1 * m.detach() + (1 - b1) * g\n"),
    ),
    *faults(
        UNROLLED,
        f"{TEST}_recomputed_segments_change_no_gradient",
        (
            "                [gradients[i] for i in reached],\n",
            "                [torch.ones_like(outputs[i]) for i in reached],\n",
        ),
    ),
    *faults(
        UNROLLED,
        f"{TEST}_memory_grows_at_most_linearly_in_K",
        ("_Recomputed.apply(run, *arguments) if segment else", "run(*arguments) if segment else"),
    ),
    *faults(
        UNROLLED,
        f"{TEST}_memory_is_adam_s_state_and_hands_out_its_steps",
        ("return split_like(-phi, gradients)", "return split_like(phi, gradients)"),
        ("            buffer.copy_(value)\n", "            pass\n"),
    ),
    *faults(
        UNROLLED,
        f"{TEST}_call_at_is_the_module_with_other_weights",
        ("module.named_parameters() if p.requires_grad}", "module.named_parameters()}"),
    ),
    *faults(
        UNROLLED,
        f"{TEST}_conjugate_gradients_solve_in_as_many_steps_as_dimensions",
        ("r = r - step * image", "r = r + step * image"),
        ("torch.where(running, new / square, 0.0) * p", "0.0 * p"),
    ),
    *faults(
        UNROLLED,
        f"{TEST}_conjugate_gradients_stop_at_negative_curvature",
        ("running = running & (curvature > 0)", "running = running & (curvature != 0)"),
    ),
    *faults(
        UNROLLED,
        f"{TEST}_implicit_gradient_is_the_limit_of_the_unrolled_one",
        ("- (mixed - mixed.detach())", "+ (mixed - mixed.detach())"),
        ("- (mixed - mixed.detach())", "- mixed"),
        ("transpose(v)[0] + damping * v", "transpose(v)[0]"),
    ),
    *faults(
        LBT,
        f"{TEST_LBT}_order_of_moves",
        ("index >= self.warmup", "index > self.warmup"),
        ("range(self.n_est * self.k)", "range(self.n_est)"),
        ("        if self.gan_weight > 0:\n", "        if self.gan_weight >= 0:\n"),
        ("[self.prior.sample(n, rng) for _ in range(self.k)]", "[z for _ in range(self.k)]"),
    ),
    *faults(
        LBT,
        f"{TEST_LBT}_committed_steps_are_adam_s_at_the_leading_rate",
        ("Adam(lead * student_rate,", "Adam(student_rate,"),
        ("take(self.committed, gradients)", "take(self.ahead, gradients)"),
        ("lesson, transform=self.commit)", "lesson)"),
    ),
    *faults(
        LBT,
        f"{TEST_LBT}_generator_loss_is_the_papers",
        ("unroll(self.ignorance, self.ahead,", "unroll(self.ignorance, self.committed,"),
        ("state = self.memory.state()", "state = self.ahead.start(phi)"),
        (
            "self.adversarial_loss(z).value + taught, logs",
            "self.adversarial_loss(z).value - taught, logs",
        ),
        ("Loss(self.gan_weight * non_saturating", "Loss(non_saturating"),
        (
            "return -check_energy(call_at(self.student, phi, x, noise)",
            "return check_energy(call_at(self.student, phi, x, noise)",
        ),
        (
            "x_k = self.generator(z_k.flatten(0, 1))",
            "x_k = self.generator(z_k.flatten(0, 1)).detach()",
        ),
    ),
    *faults(
        LBT,
        f"{TEST_LBT}_the_mover_alone_is_reached_and_changed",
        (
            "        x_model = call_frozen(self.generator, z).detach()\n        return Loss(-",
            "        x_model = self.generator(z).detach()\n        return Loss(-",
        ),
        (
            "        x_model = call_frozen(self.generator, z).detach()\n        value",
            "        x_model = call_frozen(self.generator, z)\n        value",
        ),
    ),
    *faults(
        LBT,
        f"{TEST_LBT}_critic_loss_and_its_penalty",
        ("value + 0.5 * self.r1", "value + self.r1"),
        (
            "cross_entropy(self.values(x), self.values(x_model))",
            "cross_entropy(self.values(x_model), self.values(x))",
        ),
    ),
    *faults(
        LBT,
        f"{TEST_LBT}_implicit_gradient_of_a_gaussian_student",
        ("self.cg_steps, self.damping", "self.cg_steps"),
    ),
    *faults(
        STUDENTS,
        f"{TEST_STUDENTS}_vae_is_likelihood_minus_divergence",
        ("self.decoder(z)) - kl", "self.decoder(z)) + kl"),
        ("torch.exp(0.5 * log_variance) * noise", "torch.exp(log_variance) * noise"),
        ("square / variance + d", "square + d"),
        ("(x - low) / (high - low), a)", "x, a)"),
    ),
    *faults(
        "gibbsian/core/numerics.py",
        f"{TEST_STUDENTS}_vae_is_likelihood_minus_divergence",
        ("(h * logits - softplus(logits))", "(h * logits - softplus(-logits))"),
    ),
    *faults(
        STUDENTS,
        f"{TEST_STUDENTS}_mixture_is_a_mixture",
        ("- self.log_std).sum(2)", "+ self.log_std).sum(2)"),
        ("component + torch.log_softmax(self.logits, 0)", "component + self.logits"),
    ),
    *faults(
        STUDENTS,
        f"{TEST_STUDENTS}_exact_students_integrate_to_one",
        ("torch.zeros_like(z), 1.0) + log_det", "torch.zeros_like(z), 1.0) - log_det"),
        ("torch.zeros_like(z), 1.0) + log_det", "torch.zeros_like(z), 1.0)"),
    ),
    *faults(
        MINIBATCH,
        f"{TEST_STUDENTS}_minibatch_critic_compares_each_row_with_the_others",
        ("(alike - 1.0) /", "alike /"),
        ("max(1, len(M) - 1)", "len(M)"),
        (".abs().sum(3)).sum(1)", ".abs().sum(3)).amax(1)"),
    ),
]
