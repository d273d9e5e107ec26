"""log Z of energies on bits and categories as an exact sum, where their structure keeps it short.

A restricted Boltzmann machine is summed over the smaller of its layers, the other one in closed form; a
lattice by its transfer matrix, site by site (Kramers and Wannier, 1941).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gibbsian.core import Estimate, Interval
from gibbsian.core.protocols import HasHiddenUnits, OnLattice

MOST_UNITS = 20
"""Units of an RBM's smaller layer."""
MOST_STATES = 2**20
"""Entries of what is carried along a lattice."""
CHUNK = 2**14


def exact_log_partition(energy: object) -> Interval | None:
    """log Z of an RBM or a lattice under counting measure, exact; None where that is too long a sum.

    An RBM's smaller layer has at most 20 units; an open lattice of q states a site is narrower than
    log_q(2^20), a periodic one half of that (20 and 10 for bits).
    """
    if isinstance(energy, HasHiddenUnits):
        units = min(energy.weight.shape)
        if units > MOST_UNITS:
            return None
        value = rbm_log_partition(energy.weight, energy.visible_bias, energy.hidden_bias)
        return exact(value, f"a sum over the 2^{units} states of the smaller layer")
    if isinstance(energy, OnLattice):
        sites, across, down = energy.log_factors()
        rows, columns, q = sites.shape
        width = min(rows, columns)
        if width * math.log(q) * (2 if energy.periodic else 1) > math.log(MOST_STATES) + 1e-9:
            return None
        value = lattice_log_partition(sites, across, down)
        return exact(value, f"the transfer matrix of a lattice of {rows} x {columns}")
    return None


def exact(value: Tensor, how: str) -> Interval:
    """Both sides at once."""
    estimate = Estimate(float(value), 0.0, "both", "exact", how, {"error": 0.0})
    return Interval(estimate, estimate)


@torch.no_grad()
def rbm_log_partition(weight: Tensor, visible_bias: Tensor, hidden_bias: Tensor) -> Tensor:
    """log sum over (v, h) of exp(a.v + b.h + v W h), 0-d in float64.

    ``weight [n_visible, n_hidden]`` W, a and b. The sum runs over the 2^n states of the smaller layer.
    """
    w, a, b = (t.detach().double() for t in (weight, visible_bias, hidden_bias))
    if w.shape[0] > w.shape[1]:
        w, a, b = w.T, b, a
    units = len(a)
    total = w.new_tensor(-math.inf)
    for start in range(0, 2**units, CHUNK):
        number = torch.arange(start, min(start + CHUNK, 2**units), device=w.device)
        v = (number[:, None] >> torch.arange(units, device=w.device) & 1).double()
        rows = v @ a + torch.nn.functional.softplus(v @ w + b).sum(1)
        total = torch.logaddexp(total, rows.logsumexp(0))
    return total


def lattice_log_partition(sites: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """log of the sum over all states of a lattice of H x W sites with q states each, 0-d in float64.

    ``sites [H, W, q]``, ``across [H, W', q, q]`` and ``down [H', W, q, q]``: log-weights of each site and of
    each pair of a site and its next neighbour. Periodic along a line where it has as many pairs as
    sites, open where it has one less. The log-weights may carry a gradient.

    What is carried along the longer side is the sum over all rows so far for each state of the last one:
    q^W numbers, q^(2 W) where that side is periodic, for each state of the first row then.
    """
    sites, across, down = (t.double() for t in (sites, across, down))
    if sites.shape[1] > sites.shape[0]:
        sites, across, down = sites.transpose(0, 1), down.transpose(0, 1), across.transpose(0, 1)
    rows, width, q = sites.shape
    closed = len(down) == rows > 1
    total = torch.eye(q**width) if closed else torch.ones(1, q**width)
    total, log_scale = total.to(sites), sites.new_zeros(len(total), 1)
    for i in range(rows):
        if i > 0:
            total, log_scale = next_row(total, log_scale, down[i - 1])
        weights = row_weights(sites[i], across[i]).flatten()
        highest = weights.max()
        total, log_scale = scaled(total * (weights - highest).exp(), log_scale + highest)
    if closed:
        total, log_scale = next_row(total, log_scale, down[-1])
        total = total.diagonal()[:, None]
    return (total.sum(1, keepdim=True).log() + log_scale).logsumexp(0).squeeze()


def row_weights(sites: Tensor, across: Tensor) -> Tensor:
    """Log-weight of every state of a row, ``[q] * W``, from ``sites [W, q]`` and ``across [W', q, q]``."""
    width, q = sites.shape
    total = sites.new_zeros([q] * width)
    for j in range(width):
        total = total + sites[j].reshape([q if k == j else 1 for k in range(width)])
    for j, pair in enumerate(across):
        other = (j + 1) % width
        shape = [q if k in (j, other) else 1 for k in range(width)]
        total = total + (pair if j < other else pair.T).reshape(shape)
    return total


def next_row(total: Tensor, log_scale: Tensor, down: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over a row's states for each state of the next: ``total [starts, q^W]``, ``down [W, q, q]``.

    One site of the row after the other is summed out of the front, and the next row's put at the end.
    """
    starts, states = total.shape
    for pair in down:
        q, highest = len(pair), pair.max()
        front = total.reshape(starts, q, states // q).transpose(1, 2)
        total = (front @ (pair - highest).exp()).reshape(starts, states)
        log_scale = log_scale + highest
    return scaled(total, log_scale)


def scaled(total: Tensor, log_scale: Tensor) -> tuple[Tensor, Tensor]:
    """The same numbers exp(log_scale) total, with a largest entry of 1 in every row."""
    peak = total.amax(1, keepdim=True)
    return total / peak, log_scale + peak.log()
