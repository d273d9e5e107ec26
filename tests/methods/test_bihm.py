"""Bidirectional Helmholtz machines by enumeration of a 4-3-2 machine: all 512 states."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator, Tensor

from gibbsian.core import DataSpace
from gibbsian.core.measures import Counting
from gibbsian.core.protocols import HasLogWeights, HasOverlap
from gibbsian.methods.bihm import BiHM
from gibbsian.methods.helmholtz_chain import Gibbs, resampled
from gibbsian.methods.helmholtz_layers import (
    Layers,
    log_p,
    log_q,
    log_root,
    sample_p,
    sample_q,
    uniforms,
)
from gibbsian.networks import SigmoidBeliefNetwork
from tests.methods.play import Stream, check_gradient, descend, gradients
from tests.nets import build_belief_network

SIZES = (4, 3, 2)
BITS = torch.tensor([0.0, 1.0], dtype=torch.float64)


def machine(seed: int = 0, strength: float = 1.5, **options: object) -> BiHM:
    """Random weights of this standard deviation, so that p and q are far apart."""
    space = DataSpace((4,), "binary", (0.0, 1.0))
    beliefs = build_belief_network("sigmoid", space, dict(layer_sizes="3,2")).double()
    rng = Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in beliefs.parameters():
            parameter.copy_(strength * torch.randn(parameter.shape, generator=rng).double())
    return BiHM(beliefs, Counting((4,)), **options)


def states(*sizes: int) -> Tensor:
    """Every vector of sum(sizes) bits."""
    return torch.cartesian_prod(*[BITS] * sum(sizes)).view(2 ** sum(sizes), -1)


def split(rows: Tensor) -> Layers:
    return tuple(rows.split(SIZES, 1))


def joint(method: BiHM) -> tuple[Tensor, Tensor]:
    """log p(x, h) and log q(h|x), ``[16, 32]``: rows x, columns h."""
    every = split(states(*SIZES))
    return log_p(method.layers, every).view(16, 32), log_q(method.layers, every).view(16, 32)


def root(method: BiHM) -> Tensor:
    """sum_h sqrt(p(x, h) q(h|x)), ``[16]``."""
    p, q = joint(method)
    return (0.5 * (p + q)).exp().sum(1)


def star(method: BiHM) -> Tensor:
    """p*(x, h), ``[512]``, from its definition."""
    p, q = joint(method)
    weight = (0.5 * (p + q)).exp() * root(method)[:, None]
    return (weight / weight.sum()).flatten()


def test_both_models_are_normalised_and_written_as_their_factors() -> None:
    method = machine()
    p, q = joint(method)
    assert p.exp().sum().item() == pytest.approx(1.0)
    assert torch.allclose(q.exp().sum(1), torch.ones(16).double())
    every = split(states(*SIZES))
    both = method.belief_network(*every)
    assert torch.allclose(both, log_p(method.layers, every) + log_q(method.layers, every))
    x, h1, h2 = (layer[100] for layer in every)
    net, total = method.belief_network, 0.0
    for bit, logit in zip(
        torch.cat([h2, h1, x]),
        torch.cat([net.prior, net.p[1](h2), net.p[0](h1)]),
        strict=True,
    ):
        probability = torch.sigmoid(logit)
        total += (probability if bit else 1 - probability).log().item()
    assert p.flatten()[100].item() == pytest.approx(total)


@pytest.mark.parametrize("seed", range(3))
def test_identities_and_bounds(seed: int) -> None:
    """Z <= 1, p*(x) = p~*(x) / Z^2, and elbo <= log p~* <= log p, log p* (sections 2 and 3)."""
    p, q = joint(machine(seed))
    tilde = root(machine(seed)).square()
    Z2 = tilde.sum()
    p_x = p.exp().sum(1)
    elbo = (q.exp() * (p - q)).sum(1)
    assert Z2 < 1
    assert torch.allclose(star(machine(seed)).view(16, 32).sum(1), tilde / Z2)
    assert (elbo <= tilde.log()).all() and (tilde <= p_x).all() and (tilde < tilde / Z2).all()
    x_star = tilde / Z2
    assert (x_star > p_x).any() and (x_star < p_x).any(), "no order between p* and p"
    marginal = (0.5 * (p + x_star.log()[:, None] + q)).exp().sum()
    assert marginal.item() == pytest.approx(Z2.sqrt().item())


def test_z_is_one_where_q_is_the_posterior() -> None:
    p, _ = joint(machine())
    posterior = p - p.logsumexp(1, keepdim=True)
    assert (0.5 * (p + posterior)).exp().sum(1).square().sum().item() == pytest.approx(1.0)


def test_of_equal_log_p_star_the_larger_bound_is_nearer() -> None:
    """log p* = log p~* + 2 D_B, D_B = -log Z = -log sum sqrt(p(x, h) p*(x) q(h|x))."""
    for seed in range(3):
        method = machine(seed)
        p, q = joint(method)
        x_star = star(method).view(16, 32).sum(1)
        distance = -(0.5 * (p + x_star.log()[:, None] + q)).exp().sum().log()
        gap = x_star.log() - root(method).square().log()
        assert torch.allclose(gap, 2 * distance.expand(16))


def all_draws(method: BiHM, x: Tensor) -> tuple[Tensor, Tensor]:
    """log p(x, h) and log q(h|x) of every h for one x, differentiable, ``[32]``."""
    h = states(3, 2)
    layers = (x.expand(32, 4), *h.split([3, 2], 1))
    return log_p(method.layers, layers), log_q(method.layers, layers)


def test_the_gradient_s_sign_of_q_by_enumeration() -> None:
    """Coefficients omega of p and q alike give the derivative of log p~*; p - q does not."""
    method, x = machine(), states(4)[5]

    def surrogate(sign: float) -> Tensor:
        p, q = all_draws(method, x)
        omega = (0.5 * (p + q)).softmax(0).detach()
        return (omega * (p + sign * q)).sum()

    def truth() -> Tensor:
        p, q = all_draws(method, x)
        return 2.0 * (0.5 * (p + q)).logsumexp(0)

    check_gradient(method, "model", lambda: surrogate(1.0), truth)
    with pytest.raises(AssertionError):
        check_gradient(method, "model", lambda: surrogate(-1.0), truth)


def flat(method: BiHM, loss: Tensor) -> Tensor:
    found = torch.autograd.grad(loss, [*method.parameters()])
    return torch.cat([g.flatten() for g in found])


def test_many_samples_give_that_gradient() -> None:
    """K = 20 000: the self-normalised gradient within 2 % of log p~*'s; the penalty per row."""
    method, x = machine(parameter_l1=0.3), states(4)[5:7]
    noise = uniforms(SIZES[1:], (20_000, 2), Generator().manual_seed(0))
    noise = tuple(u.double() for u in noise)
    found = flat(method, method.bihm_loss(x, *noise).value)
    p, q = zip(*(all_draws(method, row) for row in x), strict=True)
    bound = torch.stack([2 * (0.5 * (a + b)).logsumexp(0) for a, b in zip(p, q, strict=True)])
    weights = sum(w.abs().sum() for name, w in method.named_parameters() if "weight" in name)
    truth = flat(method, -bound.mean() + 0.3 / 2 * weights)
    assert (found - truth).norm() < 0.02 * truth.norm()


def test_reweighted_wake_sleep_by_enumeration() -> None:
    """p by posterior expectations; q half by those, half by dreams: K and dreams of 60 000."""
    method, x = machine(helmholtz_objective="rws"), states(4)[5:6]
    rng, n = Generator().manual_seed(0), 60_000
    wake = tuple(u.double() for u in uniforms(SIZES[1:], (n, 1), rng))
    sleep = tuple(u.double() for u in uniforms(SIZES, (n,), rng))
    found = flat(method, method.rws_loss(x, *wake, *sleep).value)
    p, q = all_draws(method, x[0])
    posterior = p.softmax(0).detach()
    every_p, every_q = joint(method)
    dreams = (every_p.exp().detach() * every_q).sum()
    truth = flat(method, -(posterior * (p + 0.5 * q)).sum() - 0.5 * dreams)
    assert (found - truth).norm() < 0.04 * truth.norm()


@pytest.mark.parametrize("k", [2, 10])
def test_the_control_variate_keeps_the_mean_and_lowers_the_variance(k: int) -> None:
    """Over 4000 draws of q's gradient, with and without 1/K: means agree, variance at most half."""
    method, x, n = machine(strength=0.5), states(4)[5:6], 4_000
    noise = tuple(u.double() for u in uniforms(SIZES[1:], (k, n), Generator().manual_seed(0)))
    log_w = method.weighed(x.expand(n, 4), noise)[2]
    omega = (0.5 * log_w).softmax(0)
    # d log q / d bias of the last layer of q, per draw: h_2 - sigmoid(logits).
    layers, _ = sample_q(method.layers, x.expand(n, 4), noise)
    score = layers[2] - torch.sigmoid(method.layers.up(2, layers[1]))
    plain = (omega[..., None] * score).sum(0)
    less = ((omega - 1 / k)[..., None] * score).sum(0)
    difference = (plain - less).mean(0) / ((plain - less).std(0) / math.sqrt(n))
    assert (difference.abs() < 4.5).all()
    assert less.var(0).sum() < 0.5 * plain.var(0).sum()
    bias = method.belief_network.q[1][0].bias
    (taken,) = torch.autograd.grad(-method.bihm_loss(x.expand(n, 4), *noise).value, [bias])
    assert torch.allclose(taken, less.mean(0))


def test_estimates_of_z_squared_are_unbiased() -> None:
    """Mean of 40 000 terms within 4.5 standard errors of Z^2, for one and for five inner draws."""
    method = machine()
    Z2 = root(method).square().sum().item()
    for k in (1, 5):
        s = method.overlap_terms(40_000, k, Generator().manual_seed(k)).exp()
        assert abs(s.mean().item() - Z2) < 4.5 * s.std().item() / 200


def test_weights_average_to_p_and_their_roots_to_the_root() -> None:
    method, x = machine(), states(4)
    p, _ = joint(method)
    log_w = method.log_weights(x, 20_000, Generator().manual_seed(0))
    for power, truth in ((1.0, p.exp().sum(1)), (0.5, root(method))):
        w = (power * log_w).exp()
        error = w.std(0) / math.sqrt(len(w))
        assert ((w.mean(0) - truth).abs() < 4.5 * error + 1e-9).all()
    once = log_root(method.layers, x, 7, Generator().manual_seed(1))
    again = method.log_weights(x, 7, Generator().manual_seed(1))
    assert torch.allclose(once.exp(), (0.5 * again).exp().mean(0))


def codes(layers: Layers) -> Tensor:
    """Which of the 512 states each row is, in the order of ``states``."""
    rows = torch.cat(layers, 1).long()
    return (rows * 2 ** torch.arange(8, -1, -1)).sum(1)


def deviation(layers: Layers, law: Tensor) -> float:
    """Pearson's chi-square of the states against ``distribution [512]``, as a z-score; rare states pooled."""
    counts = torch.bincount(codes(layers), minlength=512).double()
    expected = law * counts.sum()
    common = expected > 8
    found = torch.cat([counts[common], counts[~common].sum()[None]])
    wanted = torch.cat([expected[common], expected[~common].sum()[None]])
    chi, degrees = ((found - wanted).square() / wanted).sum(), len(found) - 1
    return float((chi - degrees) / math.sqrt(2 * degrees))


@torch.no_grad()
def test_dreams_have_the_law_of_p() -> None:
    method = machine()
    layers = sample_p(method.layers, uniforms(SIZES, (20_000,), Generator().manual_seed(0)))
    assert (
        deviation(tuple(layer.double() for layer in layers), joint(method)[0].exp().flatten()) < 5
    )


def exact_draws(law: Tensor, n: int, rng: Generator) -> Layers:
    return split(states(*SIZES)[torch.multinomial(law, n, replacement=True, generator=rng)])


@torch.no_grad()
@pytest.mark.parametrize(("candidates", "inner"), [(1, 1), (4, 2)])
def test_gibbs_leaves_p_star_as_it_is(candidates: int, inner: int) -> None:
    """8000 exact draws of p*, their pseudo-marginal estimates warmed up, remain draws of p*.

    Chi-square over the 512 states below 5 in z (false alarm below 1e-5); any few candidates do. What
    the published script leaves out, p(h_{L-1}|h_L), would be seen: its stationary distribution, by
    enumeration of its top step, is further away than that.
    """
    method, rng = machine(), Generator().manual_seed(3)
    law, chain = star(method), Gibbs(machine().layers, candidates, inner)
    state = chain.start(exact_draws(law, 8_000, rng), rng)
    for _ in range(15):
        state = chain.sweep(state, rng)
    assert deviation(state[0], law) < 5
    assert deviation(without_the_top_term(method, law, 8_000, rng), law) > 10


def without_the_top_term(method: BiHM, law: Tensor, n: int, rng: Generator) -> Layers:
    """Exact draws of p* whose h_2 is drawn again from sqrt(p(h_2) q(h_2|h_1))."""
    x, h1, _ = exact_draws(law, n, rng)
    top = states(2)
    of_q = method.layers.up(2, h1)[:, None].expand(-1, 4, -1)
    logits = 0.5 * (torch.log_softmax(torch.stack([0 * of_q, of_q]), 0))
    prior = 0.5 * torch.log_softmax(torch.stack([0 * method.layers.top(), method.layers.top()]), 0)
    total = sum(
        torch.where(top.bool(), part[1], part[0]).sum(-1) for part in (logits, prior[:, None])
    )
    return x, h1, top[torch.multinomial(total.softmax(1), 1, generator=rng)[:, 0]]


@torch.no_grad()
def test_gibbs_gets_there_from_ancestral_draws() -> None:
    """The chain forgets p: from draws of p it reaches p*."""
    method, rng = machine(), Generator().manual_seed(4)
    law, chain = star(method), Gibbs(machine().layers, 5, 2)
    start = sample_p(method.layers, uniforms(SIZES, (8_000,), rng))
    start = tuple(layer.double() for layer in start)
    assert deviation(start, law) > 10
    state = chain.start(start, rng)
    for _ in range(25):
        state = chain.sweep(state, rng)
    assert deviation(state[0], law) < 5


def test_filling_in_has_the_conditional_law() -> None:
    """x_1 = 1, x_3 = 0 given: the rest has p*(x, h | x_1, x_3)."""
    method = machine(gibbs_sweeps=25, gibbs_proposals_per_step=5, importance_samples_per_marginal=2)
    given = torch.tensor([1.0, math.nan, 0.0, math.nan], dtype=torch.float64)
    every = states(*SIZES)
    agrees = (every[:, 0] == 1) & (every[:, 2] == 0)
    law = torch.where(agrees, star(method), 0.0)
    law = (law / law.sum()).view(16, 32).sum(1)
    x = method.sample(8_000, Generator().manual_seed(0), given)
    counts = torch.bincount((x.long() * 2 ** torch.arange(3, -1, -1)).sum(1), minlength=16).double()
    assert counts[law == 0].sum() == 0
    expected = law[law > 0] * counts.sum()
    chi = ((counts[law > 0] - expected).square() / expected).sum().item()
    assert chi < 3 + 5 * math.sqrt(6)  # 3 degrees of freedom, 5 in z
    method.samples_without_output_noise = True
    means = method.sample(3, Generator().manual_seed(0), given)
    assert (means[:, 0] == 1).all() and (means[:, 2] == 0).all()
    assert ((means[:, 1] > 0) & (means[:, 1] < 1)).all()
    method.sampler = "sir"
    with pytest.raises(ValueError, match="only the gibbs sampler"):
        method.sample(3, Generator(), given)


@torch.no_grad()
def test_resampled_draws_tend_to_p_star() -> None:
    """Expectations of x under 4000 of 100 000 dreams; p's own are further away."""
    method = machine()
    every, law = states(*SIZES), star(method)
    drawn = resampled(method.layers, 4_000, 25, 5, Generator().manual_seed(0))[0].mean(0)
    of_star, of_p = law @ every[:, :4], joint(method)[0].exp().flatten() @ every[:, :4]
    assert (drawn - of_star).abs().max() < 0.04 < (of_p - of_star).abs().max()


def test_samples_follow_the_sampler() -> None:
    method = machine(gibbs_sweeps=2)
    rng = Generator().manual_seed(0)
    for sampler in ("gibbs", "sir", "ancestral"):
        method.sampler = sampler
        assert set(method.sample(50, rng).unique().tolist()) <= {0.0, 1.0}
    noise = uniforms(SIZES, (5,), Generator().manual_seed(1))
    layers = sample_p(method.layers, noise)
    assert torch.equal(method.sample(5, Generator().manual_seed(1)), layers[0])
    method.samples_without_output_noise = True
    means = method.sample(5, Generator().manual_seed(1))
    assert torch.equal(means, torch.sigmoid(method.layers.down(0, layers[1])))


def test_layers_start_as_released() -> None:
    """Biases -1; weights uniform within sqrt(6 / (n_in + n_out)) / n_in; sizes from their spec."""
    space = DataSpace((20,), "binary", (0.0, 1.0))
    net = SigmoidBeliefNetwork(space, layer_sizes="30,10", deterministic_layers=1)
    assert net.sizes == (20, 30, 10) and (net.prior == -1).all()
    assert [layer.out_features for layer in net.p[0] if hasattr(layer, "bias")] == [25, 20]
    for half in (net.p, net.q):
        for linear in (m for m in half.modules() if isinstance(m, torch.nn.Linear)):
            n_in, n_out = linear.in_features, linear.out_features
            bound = math.sqrt(6 / (n_in + n_out)) / n_in
            assert (linear.bias == -1).all()
            assert 0.9 * bound < linear.weight.abs().max() <= bound
    spaced = SigmoidBeliefNetwork(space, layer_sizes="4x-5l-5")
    assert spaced.sizes == (20, 80, 40, 20, 10, 5)
    extreme = torch.sigmoid(spaced.up(1, 1e9 * torch.ones(20)).double())  # no tanh in between
    assert extreme.min() >= 0.99e-6 and extreme.max() <= 1 - 0.99e-6


@pytest.mark.parametrize("algorithm", ["bihm", "rws"])
def test_a_round_is_one_move_that_reaches_everything(algorithm: str) -> None:
    method = machine(helmholtz_objective=algorithm, latent_samples=3, parameter_l1=0.1).float()
    stream = Stream(8, (4,))
    moves = list(method.round(0, stream, Generator().manual_seed(0)))
    assert [move.player for move in moves] == ["model"]
    assert len({*moves[0].inputs[1].flatten().tolist()}) > 60
    found = gradients(method, moves[0])
    assert all(g.abs().sum() > 0 for g in found.values())
    logs = moves[0].loss(*moves[0].inputs).logs
    assert logs["elbo"] <= logs["log_p_tilde"] <= logs["log_p"] and 0 < logs["ess"] <= 1
    before = [p.detach().clone() for p in method.parameters()]
    descend(method, iter(moves), 0.1)
    assert all(not torch.equal(a, b) for a, b in zip(before, method.parameters(), strict=True))


def test_capabilities_and_unusable_options() -> None:
    method = machine()
    assert isinstance(method, HasLogWeights) and isinstance(method, HasOverlap)
    with pytest.raises(ValueError, match="latent_samples must be a whole number of at least 2"):
        machine(latent_samples=1)
    with pytest.raises(ValueError, match="layer_sizes must be sizes"):
        SigmoidBeliefNetwork(DataSpace((4,), "binary"), layer_sizes="3;2")
