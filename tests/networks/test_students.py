"""Students against exact laws: bounds from below, integrals of 1, closed forms; the minibatch critic."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from gibbsian.core import DataSpace
from gibbsian.networks import CRITICS, ENERGIES, STUDENTS, VAEStudent
from tests.nets import build_critic, build_energy, build_student

LINE, PLANE = DataSpace((1,), "vector"), DataSpace((2,), "vector")
IMAGES = DataSpace((1, 4, 4), "image", (-1.0, 1.0))
OPTIONS = dict(width=8, depth=1, code_dim=1, output_variance=0.3, components=5, kernels=3)


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def points(n: int, *shape: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n, *shape, generator=rng, dtype=torch.float64)


@pytest.mark.parametrize("name", STUDENTS)
def test_students_give_one_number_per_row_and_see_only_it(name: str) -> None:
    student = build_student(name, PLANE, OPTIONS).double()
    x, noise = points(6, 2), points(6, student.noise, seed=1)
    value = student(x, noise)
    assert value.shape == (6,)
    rows = [student(x[i : i + 1], noise[i : i + 1]) for i in range(6)]
    assert torch.allclose(value, torch.cat(rows), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["mixture", "flow"])
def test_exact_students_integrate_to_one(name: str) -> None:
    """Midpoint sums over [-8, 8]^2; weights away from where they start."""
    student = build_student(name, PLANE, OPTIONS).double()
    with torch.no_grad():
        for p in student.parameters():
            p += 0.2 * points(1, *p.shape, seed=3)[0]
        edges = torch.arange(-8, 8, 0.1, dtype=torch.float64) + 0.05
        grid = torch.cartesian_prod(edges, edges)
        total = student(grid, grid[:, :0]).exp().sum() * 0.1**2
    assert total.item() == pytest.approx(1, abs=2e-3)


def test_mixture_is_a_mixture() -> None:
    student = build_student("mixture", PLANE, OPTIONS).double()
    with torch.no_grad():
        student.logits += points(1, 5)[0]
        student.log_std += 0.3 * points(1, 5, 2, seed=4)[0]
    x = points(7, 2, seed=2)
    parts = Independent(Normal(student.means, student.log_std.exp()), 1).log_prob(x[:, None])
    truth = torch.logsumexp(parts + torch.log_softmax(student.logits, 0), 1)
    assert torch.allclose(student(x, x[:, :0]), truth, rtol=1e-9, atol=1e-12)


def likelihood(student: VAEStudent, x: Tensor, z: Tensor) -> Tensor:
    """log p(x|z) by torch's distributions."""
    if student.likelihood == "bernoulli":
        logits = student.decoder(z)
        # torch's Bernoulli takes values in between as its cross-entropy, once its checks are off
        return Independent(Bernoulli(logits=logits, validate_args=False), 3).log_prob((x + 1) / 2)
    mean = student.decoder(z) if student.box is None else torch.tanh(student.decoder(z))
    return Independent(Normal(mean, 0.3**0.5), x.ndim - 1).log_prob(x)


@pytest.mark.parametrize(
    ("space", "kind"), [(PLANE, "gaussian"), (IMAGES, "gaussian"), (IMAGES, "bernoulli")]
)
def test_vae_is_likelihood_minus_divergence(space: DataSpace, kind: str) -> None:
    options = dict(width=8, depth=1, code_dim=3, output_variance=0.3, likelihood=kind)
    student = build_student("vae", space, options).double()
    x, noise = torch.tanh(points(6, *space.shape)), points(6, 3, seed=1)
    mean, log_variance = student.encoder(x).chunk(2, 1)
    q = Normal(mean, (0.5 * log_variance).exp())
    kl = kl_divergence(q, Normal(torch.zeros_like(mean), torch.ones_like(mean))).sum(1)
    truth = likelihood(student, x, q.mean + q.stddev * noise) - kl
    assert torch.allclose(student(x, noise), truth, rtol=1e-9, atol=1e-10)


def test_vae_bounds_its_log_density_from_below() -> None:
    """log p(x) by quadrature over the one latent coordinate; the mean of 4000 draws lies under it.

    Its standard error is below 0.03 for each of the 5 points; the bound's gap is larger than that.
    """
    student = build_student("vae", LINE, OPTIONS).double()
    x = points(5, 1, seed=5)
    step = 0.01
    z = torch.arange(-8, 8, step, dtype=torch.float64)[:, None]
    prior = Normal(0.0, 1.0).log_prob(z[:, 0])
    joint = torch.stack([likelihood(student, row.expand(len(z), 1), z) for row in x]) + prior
    exact = torch.logsumexp(joint, 1) + math.log(step)
    with torch.no_grad():
        draws = student(x.repeat(4_000, 1), points(20_000, 1)).view(4_000, 5)
    error = draws.std(0) / len(draws) ** 0.5
    assert (draws.mean(0) < exact + 4 * error).all()
    assert (exact - draws.mean(0)).max().item() > 4 * error.max().item()


def test_unfit_students_are_refused() -> None:
    bernoulli = dict(likelihood="bernoulli")
    with pytest.raises(ValueError, match="bernoulli likelihood needs data in a box"):
        build_student("vae", PLANE, bernoulli)
    with pytest.raises(ValueError, match="did you mean"):
        build_student("mixtur", PLANE, OPTIONS)
    for wrong in ({"output_variance": 0.0}, {"code_dim": 0}, {"components": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            build_student("mixture" if "components" in wrong else "vae", PLANE, wrong)


def test_minibatch_critic_compares_each_row_with_the_others() -> None:
    """o_ik = mean over j != i of exp(-|M_ik - M_jk|_1), by loops; 1 among copies, 0 alone."""
    critic = build_critic("minibatch", PLANE, OPTIONS).double()
    x = points(4, 2)
    features = critic.trunk(x)
    M = critic.T(features).view(4, 3, 5)
    o = torch.zeros(4, 3, dtype=torch.float64)
    for i in range(4):
        for j in set(range(4)) - {i}:
            o[i] += torch.exp(-(M[i] - M[j]).abs().sum(1)) / 3
    assert torch.allclose(critic.similarity(features), o, rtol=1e-9, atol=1e-12)
    w, b = critic.head.weight[0], critic.head.bias
    assert torch.allclose(critic(x), torch.cat([features, o], 1) @ w + b, rtol=1e-9, atol=1e-12)
    copies = critic.similarity(features[:1].expand(5, -1))
    assert torch.allclose(copies, torch.ones(5, 3, dtype=torch.float64))
    assert critic.similarity(features[:1]).abs().max().item() == 0


def test_minibatch_critics_are_critics_and_no_energies() -> None:
    assert set(CRITICS) - set(ENERGIES) == {"minibatch", "conv-minibatch", "resnet-minibatch"}
    space = DataSpace((3, 8, 8), "image", (-1.0, 1.0))
    critic = build_critic("conv-minibatch", space, dict(width=8, channels=4, kernels=2))
    x = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert critic(x).shape == (4,) and critic.rows_interact
    assert not torch.allclose(critic(x)[:1], critic(x[:1]))
    with pytest.raises(ValueError, match="unknown energy"):
        build_energy("minibatch", PLANE, OPTIONS)
