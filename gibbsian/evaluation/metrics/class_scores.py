"""What a classifier thinks of samples: how sure it is, and how even the classes are.

These look at one side only. A generator that draws one perfect image per class gets the best marks;
give a Frechet distance beside them. Names: an Inception score needs the Inception network.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from gibbsian.core import Estimate

LOG_FLOOR = math.log(1e-6)
"""log p(y|x) below this counts as this in I', which has no bound otherwise."""
BOOTSTRAPS = 50


def inception_type_score(log_p: Tensor, rng: Generator) -> Estimate:
    """exp(E_x KL(p(y|x) || p(y))) in [1, C], from log-probabilities ``log_p [N, C]`` (Salimans et al. 2016).

    1 if every sample looks the same to the classifier, C if it is sure of each and the classes are
    even. Biased downward for few samples; the error is the spread over 50 bootstraps. Raises
    ValueError for rows that are not log-probabilities or fewer than two.
    """
    log_p = _checked(log_p)
    return _bootstrapped(log_p, rng, _inception_type, "Inception-type score")


def clipped_kl_score(log_p: Tensor, rng: Generator) -> Estimate:
    """I' = E_x KL(p(y) || p(y|x))^2, log p(y|x) clipped at ln 1e-6, from ``log_p [N, C]``.

    The score of Zhao, Mathieu and LeCun (2017, section 4.1), not the Inception score: the arguments
    of KL are exchanged, the square stands where there was none, and there is no exponential. Without
    the clip it has no bound and rewards a classifier that saturates; with it, sure predictions of C
    even classes get ((C - 1) / C ln 1e6 - ln C)^2, for ten classes 102.6. Higher is better. Raises
    ValueError as ``inception_type_score`` does; the error is the spread over 50 bootstraps.
    """
    log_p = _checked(log_p)
    return _bootstrapped(log_p, rng, _clipped_kl, "I' (KL(p(y) || p(y|x))^2, clipped at ln 1e-6)")


def entropy_of_class_counts(labels: Tensor, classes: int) -> Estimate:
    """The entropy in nats of the histogram of ``labels [N]`` over ``classes`` classes, at most ln classes.

    The plug-in value, too low by about (classes - 1) / (2 N); the error is the delta method's.
    Raises ValueError for no labels or one outside 0 ... classes - 1.
    """
    if len(labels) == 0 or labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels must be numbers from 0 to {classes - 1}, at least one of them")
    p = torch.bincount(labels, minlength=classes).double() / len(labels)
    entropy = torch.special.entr(p).sum()
    spread = torch.xlogy(p, p).square() / p.clamp_min(1e-300)
    error = ((spread.sum() - entropy**2).clamp_min(0) / len(labels)).sqrt()
    return Estimate(float(entropy), float(error), "lower", "estimate", "entropy of the histogram")


def _inception_type(log_p: Tensor, share: Tensor) -> Tensor:
    """The score of the rows weighed by ``share [N]``, which sums to 1."""
    p = log_p.exp()
    sure = share @ torch.special.entr(p).sum(1)
    return torch.exp(torch.special.entr(share @ p).sum() - sure)


def _clipped_kl(log_p: Tensor, share: Tensor) -> Tensor:
    marginal = share @ log_p.exp()
    kl = -torch.special.entr(marginal).sum() - log_p.clamp_min(LOG_FLOOR) @ marginal
    return share @ kl.square()


def _checked(log_p: Tensor) -> Tensor:
    log_p = log_p.double()
    if log_p.ndim != 2 or len(log_p) < 2:
        raise ValueError(
            f"a score needs log-probabilities [N, classes] of two samples or more, not "
            f"{list(log_p.shape)}"
        )
    if not torch.allclose(log_p.logsumexp(1).exp(), log_p.new_ones(()), atol=1e-4):
        raise ValueError(
            "rows must be log-probabilities; apply log_softmax to a classifier's logits"
        )
    return log_p


def _bootstrapped(
    log_p: Tensor, rng: Generator, score: Callable[[Tensor, Tensor], Tensor], how: str
) -> Estimate:
    n = len(log_p)
    value = score(log_p, log_p.new_full((n,), 1.0 / n))
    drawn = torch.randint(n, (BOOTSTRAPS, n), generator=rng, device=rng.device)
    shares = [torch.bincount(rows, minlength=n).double() / n for rows in drawn]
    spread = torch.stack([score(log_p, share) for share in shares]).std()
    return Estimate(float(value), float(spread), "both", "estimate", how)
