"""The flow: inverses, log-determinants against Jacobians, a density that integrates to one."""

from __future__ import annotations

import math
import sys

import pytest
import torch
from torch import Tensor

from gibbsian.core import DataSpace
from gibbsian.core.measures import Gaussian
from gibbsian.core.numerics import jacobian, jvp
from gibbsian.networks import FlowGenerator
from tests.nets import build_generator, build_named

SMALL = dict(width=8, depth=1)
SPACES = {
    "line": DataSpace((1,), "vector"),
    "plane": DataSpace((2,), "vector"),
    "vectors": DataSpace((5,), "vector", (-1.0, 3.0)),
    "images": DataSpace((1, 2, 3), "image", (0.0, 1.0)),
}
ROLES = ["generator", "flow"]


def flow(space: DataSpace, role: str = "generator") -> FlowGenerator:
    """The generator ``flow``, or with the role ``flow`` the same with splines from x to z."""
    torch.manual_seed(0)
    if role == "flow":
        return build_named("flow", "spline", space, SMALL).double()
    return build_generator("flow", space, math.prod(space.shape), SMALL).double()


def noise(space: DataSpace, n: int = 6) -> Tensor:
    rng = torch.Generator().manual_seed(1)
    return torch.randn(n, math.prod(space.shape), generator=rng, dtype=torch.float64)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", SPACES)
def test_log_determinants_are_those_of_the_jacobian(name: str, role: str) -> None:
    space = SPACES[name]
    generator, z = flow(space, role), noise(space)
    x, log_det = generator.forward_with_log_det(z)
    assert x.shape == (6, *space.shape)
    assert torch.equal(x, generator(z))
    J = jacobian(generator, z)
    assert torch.allclose(log_det, torch.linalg.slogdet(J).logabsdet, rtol=1e-9, atol=1e-10)
    assert (x.flatten(1) - z).abs().mean() > 0.05


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", SPACES)
def test_the_inverse_undoes_the_flow(name: str, role: str) -> None:
    space = SPACES[name]
    generator, z = flow(space, role), noise(space)
    x, log_det = generator.forward_with_log_det(z)
    back, inverse_log_det = generator.inverse_with_log_det(x)
    assert torch.allclose(back, z, rtol=1e-9, atol=1e-9)
    assert torch.allclose(inverse_log_det, -log_det, rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("box", [None, (-2.0, 1.0)])
def test_the_density_integrates_to_one(box: tuple[float, float] | None) -> None:
    """Midpoint sums, denser towards the edges: 200 x 200 cells agree with 400 x 400 to 1e-4."""
    generator = flow(DataSpace((2,), "vector", box))
    low, high = box or (-7.0, 7.0)
    angle = math.pi * (torch.arange(200, dtype=torch.float64) + 0.5) / 200
    axis = low + (high - low) * 0.5 * (1 - angle.cos())
    widths = (high - low) * 0.5 * angle.sin() * math.pi / 200
    x = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        z, log_det = generator.inverse_with_log_det(x)
    log_q = Gaussian((2,)).log_density(z) + log_det
    mass = (log_q.exp() * torch.cartesian_prod(widths, widths).prod(1)).sum()
    assert mass.item() == pytest.approx(1.0, abs=1e-3)


def test_derivatives_in_the_latent_and_the_parameters() -> None:
    """The log-determinant's slope against central differences, h = 1e-5, between knots."""
    space = SPACES["images"]
    generator, z = flow(space), noise(space)

    def log_det(z: Tensor) -> Tensor:
        return generator.forward_with_log_det(z)[1]

    v = torch.ones_like(z)
    _, slope = jvp(log_det, z, v)
    with torch.no_grad():
        difference = (log_det(z + 1e-5 * v) - log_det(z - 1e-5 * v)) / 2e-5
    assert torch.allclose(slope, difference, atol=1e-5)
    parameters = dict(generator.named_parameters())
    for value in (generator(z).square().sum(), log_det(z).sum()):
        gradients = torch.autograd.grad(value, list(parameters.values()))
        assert all(torch.isfinite(g).all() for g in gradients)
    # A weight moves log q of a fixed observation as finite differences say.
    x = generator(z).detach()
    name, parameter = next(iter(parameters.items()))
    with torch.no_grad():
        parameter[0, 0] += 1e-5
        above = generator.inverse_with_log_det(x)[1].sum()
        parameter[0, 0] -= 2e-5
        below = generator.inverse_with_log_det(x)[1].sum()
        parameter[0, 0] += 1e-5
    (g,) = torch.autograd.grad(generator.inverse_with_log_det(x)[1].sum(), parameter)
    assert g[0, 0].item() == pytest.approx((above - below).item() / 2e-5, abs=1e-4), name


def test_edges_of_the_box() -> None:
    """Saturated samples come back finite; points outside are refused."""
    space = DataSpace((2,), "vector", (-1.0, 3.0))
    generator = flow(space).float()
    x, log_det = generator.forward_with_log_det(torch.full((2, 2), 40.0))
    assert torch.isfinite(log_det).all() and (log_det < -50).all()
    edge = torch.tensor([[3.0, -1.0], [-1.0, 3.0]])
    z, inverse = generator.inverse_with_log_det(edge)
    assert torch.isfinite(z).all() and torch.isfinite(inverse).all()
    assert (x - 3.0).abs().max() < 1e-5
    with pytest.raises(ValueError, match=r"must lie in the box \[-1.0, 3.0\]"):
        generator.inverse_with_log_det(torch.tensor([[0.0, 3.1]]))


def test_what_cannot_be_built(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ValueError, match=r"must be that of an observation, 2, not 16 \(--latent-dim 2"
    ):
        build_generator("flow", SPACES["plane"], 16, SMALL)
    monkeypatch.setitem(sys.modules, "zuko.flows", None)
    with pytest.raises(ValueError, match=r"gibbsian\[flows\]"):
        build_generator("flow", SPACES["plane"], 2, SMALL)
