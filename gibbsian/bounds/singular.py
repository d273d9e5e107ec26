"""The smallest singular value of a generator's Jacobian, without the Jacobian (LOBPCG)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gibbsian.core.numerics import as_double, jvp, vjp

Product = Callable[[Tensor], Tensor]
MOST_ITERATIONS = 500
CONVERGED = 1e-6


def lobpcg(J: Product, Jt: Product, v: Tensor, p: Tensor, iterations: int | None) -> Tensor:
    """The right singular vector of the smallest singular value, ``[B, d]`` of unit length.

    Locally optimal (block) preconditioned conjugate gradients (Knyazev 2001) on J^T J, one vector
    per row: the Rayleigh quotient is minimised over the span of the vector v, the residual
    r = J^T J v - mu^2 v and the conjugate direction p. ``J``: ``[B, d] -> [B, D]`` and ``Jt`` back,
    both linear and row by row. The basis is orthonormalised by QR with v as its first column, so
    that the other two span the step taken, which is the next p. (The singular vectors of [v, r, p]
    in place of QR lose that order, and with it the conjugacy.)

    mu never rises and never falls below s_1. ``iterations``: None goes on until no row's mu falls
    by more than 1e-6 of itself, at most 500 times. ``v`` and ``p`` are random starts. A row whose
    products are not finite keeps its vector.
    """
    columns = min(3, v.shape[1])
    v = v / _norm(v)
    Jv = J(v)
    for _ in range(MOST_ITERATIONS if iterations is None else iterations):
        mu = _norm(Jv)
        r = Jt(Jv) - mu.square() * v
        r = r / _norm(r).clamp_min(torch.finfo(r.dtype).tiny)
        basis = torch.stack([v, r, p][:columns], dim=2)
        sound = basis.isfinite().flatten(1).all(1)[:, None, None]
        Q = torch.linalg.qr(torch.where(sound, basis, 0.0)).Q
        Q = torch.cat([v[:, :, None], Q[:, :, 1:]], dim=2)  # QR may have turned v round
        image = torch.stack([Jv, *(J(Q[:, :, i]) for i in range(1, columns))], dim=2)
        sound = sound & image.isfinite().flatten(1).all(1)[:, None, None]
        gram = as_double(torch.where(sound, image, 0.0))
        c = torch.linalg.eigh(gram.mT @ gram).eigenvectors[:, :, :1].to(v)
        sound = sound[:, :, 0]
        v = torch.where(sound, (Q @ c).squeeze(2), v)
        p = torch.where(sound, (Q[:, :, 1:] @ c[:, 1:]).squeeze(2), p)
        Jv = torch.where(sound, (image @ c).squeeze(2), Jv)
        if iterations is None and bool((mu - _norm(Jv) <= CONVERGED * mu).all()):
            break
    return v


def smallest_singular_value(
    f: Product, z: Tensor, v: Tensor, p: Tensor, iterations: int | None
) -> tuple[Tensor, Tensor, Tensor]:
    """``f(z)``, mu = |J v| of ``[B]`` for J = df/dz, and the unit vectors v ``[B, d]`` (detached).

    mu >= s_1, with equality once the iterations have converged. mu is differentiable in the
    parameters of ``f`` with v held still, which at the true vector is the derivative of s_1 (the
    envelope theorem). Starts and ``iterations`` as in ``lobpcg``.
    """
    at = z.detach()
    with torch.no_grad():

        def J(direction: Tensor) -> Tensor:
            return jvp(f, at, direction)[1].flatten(1)

        shape = f(at[:1]).shape[1:]

        def Jt(u: Tensor) -> Tensor:
            return vjp(f, at, u.view(-1, *shape))[1]

        v = lobpcg(J, Jt, v, p, iterations)
    value, image = jvp(f, z, v)
    return value, _norm(image.flatten(1)).squeeze(1), v


def _norm(a: Tensor) -> Tensor:
    """Euclidean norm of each row, ``[B, n] -> [B, 1]``."""
    return torch.linalg.vector_norm(a, dim=1, keepdim=True)
