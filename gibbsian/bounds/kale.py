"""KALE: lower bounds on KL(P || B) from an energy and draws of both, with or without a learned A.

Q is the distribution exp(-E(x) - A) dB(x), low energy where P is. For every E and A

    F(E + A) <= L(E) <= KL(P || B),

with F = L at A = log Z, Z = E_B[exp(-E)], and L = KL at E = -log dP/dB + const. Both exist where P
and B are mutually singular and the KL divergence is infinite. (Arbel, Zhou, Gretton: KALE, 2020;
Generalized Energy Based Models, ICLR 2021, section 3; Donsker and Varadhan, 1975, for L.)
"""

from __future__ import annotations

import torch
from torch import Tensor

from gibbsian.core.numerics import log_mean_exp


def kale(energy_data: Tensor, energy_base: Tensor, A: Tensor) -> Tensor:
    """F(E + A) = -E_P[E + A] - E_B[exp(-(E + A))] + 1 in nats, scalar.

    ``energy_data [N]``: E at draws of P; ``energy_base [M]``: E at draws of B; ``A``: scalar. Its
    gradients are unbiased at any sample sizes, since both expectations enter linearly. In A it is
    concave with its maximum at the log of the mean of exp(-E), where it equals ``donsker_varadhan``.

    >>> float(kale(torch.zeros(3), torch.zeros(5), torch.tensor(0.0)))
    0.0
    """
    return 1.0 - (energy_data + A).mean() - torch.exp(-(energy_base + A)).mean()


def donsker_varadhan(energy_data: Tensor, energy_base: Tensor) -> Tensor:
    """L(E) = -E_P[E] - log E_B[exp(-E)] in nats, scalar: the generalised log-likelihood of E.

    Shapes as for ``kale``. The log of a mean over a batch makes value and gradient biased by
    O(1/M). Its gradient in the draws of B weighs each by softmax(-E): self-normalised importance
    weights towards the distribution Q.

    >>> float(donsker_varadhan(torch.zeros(3), torch.ones(5)))
    1.0
    """
    return -energy_data.mean() - log_mean_exp(-energy_base)


def effective_share(energy_base: Tensor) -> Tensor:
    """Effective share of the draws of B in E_B[exp(-E)]: (sum w)^2 / (M sum w^2), in (0, 1], scalar.

    Near 1/M one draw decides, and neither log Z nor the base's gradient can be believed.

    >>> float(effective_share(torch.zeros(4)))
    1.0
    """
    w = torch.softmax(-energy_base, 0)
    return 1.0 / (len(w) * w.square().sum())
