"""Draws of the elementary samplers: independent, weighted or not, with their reliability."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gibbsian.core import Estimate
from gibbsian.core.numerics import as_double

RELIABLE_K = 0.7
"""Above this Pareto shape the error of an importance estimate cannot be trusted (PSIS)."""


@dataclass(frozen=True)
class WeightedSamples:
    """Independent draws, exact or weighted.

    ``x [n, *event]``; ``ess``: how many independent exact draws they are worth; ``verdict``: in
    words, whether to trust them; ``log_weight [n]``: log p~(x) - log q~(x), None for equal weights;
    ``log_z``: log of the ratio of constants Z_p / Z_q in nats (q normalised: log Z_p), where the
    sampler gives it; ``acceptance``: share of proposals accepted, None where all are.
    """

    x: Tensor
    ess: float
    verdict: str
    log_weight: Tensor | None = None
    log_z: Estimate | None = None
    acceptance: float | None = None

    def expectation(
        self, f: Callable[[Tensor], Tensor], log_z: float | None = None
    ) -> tuple[Tensor, Tensor]:
        """E[f] and its standard error, each of the shape of one row of ``f(x)``.

        Weighted draws: self-normalised, sum w f / sum w, biased of order 1/n, error by the delta
        method; or, where the true ``log_z`` is given, the unbiased mean of w f exp(-log_z).
        """
        values = f(self.x)
        if self.log_weight is None:
            return values.mean(0), values.std(0) / math.sqrt(self.ess)
        column = (-1, *[1] * (values.ndim - 1))
        if log_z is not None:
            terms = (self.log_weight - log_z).exp().reshape(column) * values
            return terms.mean(0), terms.std(0) / math.sqrt(len(terms))
        w = self.log_weight.softmax(0).reshape(column)
        mean = (w * values).sum(0)
        return mean, (w * (values - mean)).square().sum(0).sqrt()

    def __str__(self) -> str:
        lines = [
            f"{len(self.x)} draws of shape {list(self.x.shape[1:])}, worth {self.ess:.0f} exact ones"
        ]
        if self.acceptance is not None:
            lines.append(f"acceptance {self.acceptance:.3g}")
        if self.log_z is not None:
            lines.append(f"log Z = {self.log_z}")
        return "\n".join([*lines, self.verdict])


def reliability(log_weight: Tensor) -> str:
    """``reliable`` or ``not reliable: why``, from importance weights ``[n]``."""
    ess = float(importance_ess(log_weight))
    if ess < 100:
        return f"not reliable: {ess:.0f} effective draws are too few; draw more"
    k = float(pareto_k(log_weight))
    if k > RELIABLE_K:
        return (
            f"not reliable: the weights are heavy-tailed (Pareto k-hat {k:.2f} > {RELIABLE_K}); "
            "take a proposal with wider tails"
        )
    return "reliable"


def importance_ess(log_weight: Tensor) -> Tensor:
    """(sum w)^2 / sum w^2 over the last dimension, ``[..., n] -> [...]``."""
    return (2 * log_weight.logsumexp(-1) - (2 * log_weight).logsumexp(-1)).exp()


def pareto_k(log_weight: Tensor) -> Tensor:
    """Shape k of a generalised Pareto distribution fitted to the largest weights, ``[..., n] -> [...]``.

    Below 0.7 the mean of the weights converges at a practical rate (Vehtari, Simpson, Gelman, Yao,
    Gabry, 2024); the fit is Zhang and Stephens' (2009) with that paper's weak prior at 0.5, on
    the min(n / 5, 3 sqrt(n)) largest. Minus infinity where they are all equal: no tail.

    Raises ValueError for fewer than 25 weights, which leave fewer than five for the fit.
    """
    n = log_weight.shape[-1]
    if n < 25:
        raise ValueError(f"the Pareto fit needs at least 25 weights; got {n}")
    size = math.ceil(min(n / 5, 3 * math.sqrt(n)))
    top = as_double(log_weight).sort(-1).values[..., -size - 1 :]
    w = (top - top[..., -1:]).exp()
    excess = w[..., 1:] - w[..., :1]
    largest = excess[..., -1:]
    flat = largest <= 0
    y = torch.where(flat, 1.0, excess)  # the fit is scale-free; flat tails are masked at the end
    quartile = y[..., int(size / 4 + 0.5) - 1].unsqueeze(-1)
    m = 30 + int(math.sqrt(size))
    i = torch.arange(1, m + 1, dtype=y.dtype, device=y.device)
    quartile = quartile.clamp_min(torch.finfo(y.dtype).tiny)
    theta = 1 / y[..., -1:] + (1 - torch.sqrt(m / (i - 0.5))) / (3 * quartile)
    k = torch.log1p(-theta.unsqueeze(-1) * y.unsqueeze(-2)).mean(-1)
    log_likelihood = size * (torch.log(-theta / k) - k - 1)
    theta_hat = (theta * log_likelihood.softmax(-1)).sum(-1, keepdim=True)
    shape = torch.log1p(-theta_hat * y).mean(-1)
    shape = (size * shape + 10 * 0.5) / (size + 10)
    return torch.where(flat.squeeze(-1), -torch.inf, shape)
