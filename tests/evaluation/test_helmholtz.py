"""log Z and log p* of a model between two directed ones, from given terms and from enumeration."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator, Tensor

from gibbsian.evaluation import bihm_log_likelihood
from gibbsian.evaluation.log_z.helmholtz_machines import overlap


def terms(n: int, k: int, rng: Generator) -> Tensor:
    """exp of normals of variance 1/k: E[s] = Z^2 = exp(-0.6)."""
    sigma = 1 / math.sqrt(k)
    return -0.6 - sigma**2 / 2 + sigma * torch.randn(n, generator=rng)


def test_log_z_has_the_stated_error() -> None:
    """200 repetitions of 15 000 terms: mean within 4.5 errors, the error itself within 25 %."""
    rng = Generator().manual_seed(0)
    found = [overlap(terms, rng, n=15_000, inner=1) for _ in range(200)]
    values = torch.tensor([f.lower.value for f in found])
    stated = torch.tensor([f.lower.stderr for f in found]).mean()
    assert abs(values.mean() + 0.3) < 4.5 * values.std() / math.sqrt(200)
    assert values.std().item() == pytest.approx(stated.item(), rel=0.25)
    assert found[0].upper.value == 0 and found[0].upper.standing == "bound"
    assert found[0].lower.standing == "bound in expectation" and found[0].name == "log Z"


def test_log_p_star_is_the_bound_and_the_bound_less_twice_log_z() -> None:
    def weights(x: Tensor, k: int, rng: Generator) -> Tensor:
        return x[:, 0].expand(k, len(x)) + torch.arange(k)[:, None].log()

    x = torch.tensor([[-1.0], [-3.0], [-4.0]])
    z = overlap(terms, Generator().manual_seed(0), n=1_000)
    found = bihm_log_likelihood(weights, z, x[:, :1], Generator(), k=4)
    tilde = x[:, 0] + 2 * torch.arange(4).sqrt().mean().log()
    assert found.lower.value == pytest.approx(tilde.mean().item(), rel=1e-5)
    assert found.lower.side == "lower" and found.lower.standing == "bound in expectation"
    assert found.upper.value == pytest.approx(found.lower.value - 2 * z.lower.value)
    assert found.upper.standing == "estimate" and found.upper.side == "both"
    assert found.lower.stderr == pytest.approx(tilde.std().item() / math.sqrt(3), rel=1e-5)
    assert found.upper.stderr == pytest.approx(
        math.hypot(found.lower.stderr, 2 * z.lower.stderr), rel=1e-6
    )
