"""Gaussian units in a bidirectional Helmholtz machine, x among them, by quadrature over the one there is."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator, Tensor, nn

from gibbsian.core import DataSpace
from gibbsian.core.measures import Box, Counting, RealSpace
from gibbsian.methods.bihm import BiHM
from gibbsian.methods.helmholtz_chain import Gibbs
from gibbsian.methods.helmholtz_layers import Layers, drawn, log_p, log_q, means_of, uniforms
from gibbsian.networks import SigmoidBeliefNetwork
from tests.nets import build_belief_network

BITS = torch.tensor([0.0, 1.0], dtype=torch.float64)
REACH, POINTS = 14.0, 1401
GRID = torch.linspace(-REACH, REACH, POINTS, dtype=torch.float64)
CELL = 2 * REACH / (POINTS - 1)
MACHINES = ["1g", "2,1g", "1g,1"]


def strangers(space: DataSpace, layers: str, seed: int = 0, strength: float = 0.8) -> nn.Module:
    """Layers with random weights, so that p and q are far apart."""
    beliefs = build_belief_network("sigmoid", space, dict(layer_sizes=layers)).double()
    rng = Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in beliefs.parameters():
            parameter.copy_(strength * torch.randn(parameter.shape, generator=rng).double())
    return beliefs


def machine(layers: str) -> BiHM:
    """Two bits of data."""
    return BiHM(strangers(DataSpace((2,), "binary", (0.0, 1.0)), layers), Counting((2,)))


def everything(method: BiHM) -> Layers:
    """Every state with the Gaussian unit on the grid; rows of one x lie together."""
    kinds = zip(method.layers.sizes, method.belief_network.gaussian, strict=True)
    axes = [GRID if gaussian else BITS for n, gaussian in kinds for _ in range(n)]
    return torch.cartesian_prod(*axes).split(method.layers.sizes, 1)


def joint(method: BiHM) -> tuple[Tensor, Tensor]:
    """log p(x, h) and log q(h|x), ``[4, states of h]``."""
    every = everything(method)
    return log_p(method.layers, every).view(4, -1), log_q(method.layers, every).view(4, -1)


def root(method: BiHM) -> Tensor:
    """Integral of sqrt(p(x, h) q(h|x)) over h, ``[4]``."""
    p, q = joint(method)
    return (0.5 * (p + q)).exp().sum(1) * CELL


@pytest.mark.parametrize("layers", MACHINES)
def test_both_models_are_normalised_and_bounded(layers: str) -> None:
    """Trapezoids on 1401 points: p and q integrate to 1; elbo <= log p~* <= log p; Z < 1."""
    method = machine(layers)
    p, q = joint(method)
    assert (p.exp().sum() * CELL).item() == pytest.approx(1.0, abs=1e-6)
    assert torch.allclose(q.exp().sum(1) * CELL, torch.ones(4).double(), atol=1e-6)
    elbo = (q.exp() * (p - q)).sum(1) * CELL
    tilde, p_x = root(method).square(), p.exp().sum(1) * CELL
    assert (elbo < tilde.log()).all() and (tilde < p_x).all() and tilde.sum() < 1


@pytest.mark.parametrize("layers", MACHINES)
def test_many_samples_give_the_gradient_of_the_bound(layers: str) -> None:
    """K = 40 000 draws: within 4 % of the derivative of log p~* by quadrature, q's part included."""
    method, x = machine(layers), torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    noise = uniforms(method.layers.sizes[1:], (40_000, 1), Generator().manual_seed(0))
    loss = method.bihm_loss(x, *(u.double() for u in noise)).value
    parameters = list(method.parameters())
    found = torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)])
    bound = 2.0 * root(method)[2].log()
    truth = torch.cat([g.flatten() for g in torch.autograd.grad(-bound, parameters)])
    assert (found - truth).norm() < 0.04 * truth.norm()


def test_estimates_of_z_squared_are_unbiased() -> None:
    """Mean of 40 000 terms within 4.5 standard errors of Z^2 by quadrature."""
    method = machine("2,1g")
    s = method.overlap_terms(40_000, 2, Generator().manual_seed(0)).exp()
    assert abs(s.mean() - root(method).square().sum()).item() < 4.5 * s.std().item() / 200


@torch.no_grad()
@pytest.mark.parametrize("layers", MACHINES)
def test_gibbs_leaves_p_star_as_it_is(layers: str) -> None:
    """8000 draws of p* (off the grid within its cells) keep its distribution over 20 sweeps.

    Chi-square of the four x and sixteen quantile classes of the Gaussian unit: below 5 in z.
    """
    method, rng, n = machine(layers), Generator().manual_seed(1), 8_000
    p, q = joint(method)
    law = (0.5 * (p + q)).exp() * root(method)[:, None]
    law = law.flatten() / law.sum()
    every, unit = everything(method), method.belief_network.gaussian.index(True)
    chosen = torch.multinomial(law, n, replacement=True, generator=rng)
    layers_ = [layer[chosen] for layer in every]
    layers_[unit] = layers_[unit] + CELL * (torch.rand(n, 1, generator=rng).double() - 0.5)
    chain = Gibbs(method.layers, 3, 2)
    state = chain.start(tuple(layers_), rng)
    for _ in range(20):
        state = chain.sweep(state, rng)
    values, order = every[unit][:, 0].sort()
    limits = values[torch.searchsorted(law[order].cumsum(0), torch.arange(1, 16) / 16.0)] + CELL / 2

    def classes(layer: Layers) -> Tensor:
        x = (layer[0] @ torch.tensor([2.0, 1.0]).double()).long()
        return 16 * x + torch.bucketize(layer[unit][:, 0].contiguous(), limits)

    expected = n * torch.zeros(64).double().index_add(0, classes(every), law)
    counts = torch.bincount(classes(state[0]), minlength=64).double()
    common = expected > 8
    chi = ((counts - expected).square() / expected)[common].sum()
    degrees = int(common.sum()) - 1
    assert float(chi - degrees) / math.sqrt(2 * degrees) < 5
    assert counts[~common].sum() < expected[~common].sum() + 30


@torch.no_grad()
def test_units_are_drawn_from_their_law() -> None:
    """40 000 draws: mean and variance within 5 standard errors; the least and largest uniform are finite."""
    a = torch.tensor([1.0, -2.0, math.log(4.0), math.log(0.25)])
    (u,) = uniforms((2,), (40_000,), Generator().manual_seed(0))
    h = drawn(a.expand(40_000, 4), u)
    deviation = torch.tensor([2.0, 0.5])
    assert ((h.mean(0) - a[:2]).abs() < 5 * deviation / 200).all()
    assert ((h.var(0) / deviation**2 - 1).abs() < 5 * math.sqrt(2) / 200).all()
    ends = torch.tensor([[0.0, 1.0 - 2.0**-24]])
    assert drawn(torch.zeros(1, 4), ends).isfinite().all()


def test_layers_are_named_and_start_near_the_standard_normal() -> None:
    net = SigmoidBeliefNetwork(DataSpace((20,), "binary", (0.0, 1.0)), layer_sizes="30,10g,4g")
    assert net.sizes == (20, 30, 10, 4) and net.gaussian == (False, False, True, True)
    assert len(net.top()) == 8 and (net.top() == 0).all()
    a = net.up(2, torch.ones(5, 30))
    assert a.shape == (5, 20) and a.abs().max() < 1
    assert net.down(1, torch.ones(5, 10)).shape == (5, 30)
    wild = net.up(2, 1e9 * torch.ones(30))[10:]
    assert wild.abs().max() < 14, "log-variances are held"
    with pytest.raises(ValueError, match="layer_sizes must be sizes"):
        SigmoidBeliefNetwork(DataSpace((4,), "binary"), layer_sizes="3,g")


def real_machine() -> BiHM:
    """One real number below two layers of bits."""
    return BiHM(strangers(DataSpace((1,), "vector"), "2,1"), RealSpace((1,)))


def real_joint(method: BiHM) -> tuple[Tensor, Tensor]:
    """log p(x, h) and log q(h|x), ``[x on the grid, 8 states of h]``."""
    every = everything(method)
    p, q = log_p(method.layers, every), log_q(method.layers, every)
    return p.view(POINTS, -1), q.view(POINTS, -1)


def test_a_real_observation_is_normalised_and_bounded() -> None:
    """Trapezoids over x, sums over h; Z^2 = integral of p~* is below 1 by Cauchy and Schwarz."""
    p, q = real_joint(real_machine())
    assert (p.exp().sum() * CELL).item() == pytest.approx(1.0, abs=1e-6)
    assert torch.allclose(q.exp().sum(1), torch.ones(POINTS).double())
    elbo = (q.exp() * (p - q)).sum(1)
    tilde, p_x = (0.5 * (p + q)).exp().sum(1).square(), p.exp().sum(1)
    assert (elbo < tilde.log()).all() and (tilde < p_x).all()
    assert tilde.sum() * CELL < 1


def test_estimates_of_z_squared_are_unbiased_above_a_real_observation() -> None:
    """Mean of 40 000 terms within 4.5 standard errors of Z^2 by quadrature."""
    method = real_machine()
    p, q = real_joint(method)
    truth = (0.5 * (p + q)).exp().sum(1).square().sum() * CELL
    s = method.overlap_terms(40_000, 2, Generator().manual_seed(0)).exp()
    assert abs(s.mean() - truth).item() < 4.5 * s.std().item() / 200


@torch.no_grad()
def test_gibbs_leaves_the_law_of_a_real_observation_as_it_is() -> None:
    """8000 draws of p* keep its law over 20 sweeps, in sixteen classes of x: chi-square below 5 in z."""
    method, rng, n = real_machine(), Generator().manual_seed(1), 8_000
    p, q = real_joint(method)
    law = (0.5 * (p + q)).exp()
    law = (law * law.sum(1, keepdim=True)).flatten()
    law = law / law.sum()
    every = everything(method)
    chosen = torch.multinomial(law, n, replacement=True, generator=rng)
    x, *h = (layer[chosen] for layer in every)
    x = x + CELL * (torch.rand(n, 1, generator=rng).double() - 0.5)
    chain = Gibbs(method.layers, 3, 2)
    state = chain.start((x, *h), rng)
    for _ in range(20):
        state = chain.sweep(state, rng)
    marginal = law.view(POINTS, -1).sum(1)
    last = torch.searchsorted(marginal.cumsum(0), torch.arange(1, 16) / 16.0)
    sizes = torch.diff(marginal.cumsum(0)[last], prepend=torch.zeros(1), append=torch.ones(1))
    classes = torch.bucketize(state[0][0][:, 0].contiguous(), GRID[last] + CELL / 2)
    counts = torch.bincount(classes, minlength=16).double()
    chi = ((counts - n * sizes).square() / (n * sizes)).sum()
    assert float(chi - 15) / math.sqrt(30) < 5
    assert not torch.equal(state[0][0], x), "the chain moves"


def test_a_machine_of_real_numbers_starts_away_from_the_point_where_layers_are_strangers() -> None:
    """Logits of q(h_1|x) are large, log-variances of p(x|h_1) near 0; means are handed out as asked."""
    torch.manual_seed(0)
    net = SigmoidBeliefNetwork(
        DataSpace((2,), "vector"),
        layer_sizes="200,100",
        deterministic_layers=1,
        logit_init_scale=8.0,
    )
    assert net.gaussian == (True, False, False)
    assert 3 < net.up(1, torch.randn(500, 2)).detach().std() < 13
    assert net.down(0, torch.ones(5, 200)).chunk(2, -1)[1].abs().max() < 1
    a = net.down(0, torch.rand(5, 200))
    assert torch.equal(means_of(a, torch.zeros(5, 2)), a[:, :2])
    method = BiHM(net, RealSpace((2,)), samples_without_output_noise=True, sampler="ancestral")
    assert method.sample(7, Generator().manual_seed(0)).shape == (7, 2)
    with pytest.raises(ValueError, match="leave out the box"):
        BiHM(net, Box((2,), -1.0, 1.0))


def test_real_numbers_that_are_given_are_kept_and_the_others_drawn() -> None:
    shape = (1, 2, 2)
    method = BiHM(strangers(DataSpace(shape, "image"), "3,2"), RealSpace(shape), gibbs_sweeps=3)
    given = torch.tensor([[[0.5, torch.nan], [-2.0, torch.nan]]], dtype=torch.float64)
    x = method.sample(6, Generator().manual_seed(0), given)
    assert x.shape == (6, *shape) and x.isfinite().all()
    assert (x[:, 0, :, 0] == torch.tensor([0.5, -2.0])).all()
    assert len(x[:, 0, :, 1].unique()) > 6
