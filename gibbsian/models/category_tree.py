"""How strange combinations of categories are: a tree of columns, and pairs rarer than it expects.

Categories are points apart, of whose weights an energy trained by its slope learns nothing; they are
counted. Among distributions in which each column depends on one other the tree with the most mutual
information has the maximum likelihood (Chow, Liu 1968). The energy of a value is not -log of its
probability but of that of all values as rare as it, given the parent's: a rare value among many rare ones is
nothing strange. Two columns that the tree does not join may still exclude each other, so of the other pairs
in a row the one counts that was seen least beside what the tree expects.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

PRIOR = 0.5
"""How many rows the distribution of a column weighs beside those with one value of its parent; how often each
pair counts as seen and as expected before any row."""
DEVIATIONS = 3.0
"""By how many standard deviations of chance a column must depend on another to be joined to it."""
MOST_PAIRED, MOST_VALUES = 64, 1_000
"""Columns, and values of all columns together, up to which pairs beside the tree are looked at."""
AT_ONCE = 2**22
"""Pairs in rows that are held at a time."""


@dataclass(frozen=True, eq=False)
class CategoryTree:
    """Energies of rows of codes, in nats, low where they are usual.

    ``counts``: how many values each of k columns has, W together. ``parents [k]``: the column that each
    depends on, its own number where none. ``alone [W + 1]``: the energy of each value by itself, and of one
    never seen; ``given``: that of each column's values given each of its parent's, ``[count of the parent,
    count]``, flattened, one column after the other. ``rarer [W, W]``: by how many nats a pair was seen
    less often than the tree expects, at least 0; ``[0, 0]`` where there are too many to look at.
    """

    counts: tuple[int, ...]
    parents: Tensor
    alone: Tensor
    given: Tensor
    rarer: Tensor

    @classmethod
    def fit(cls, codes: Tensor, counts: tuple[int, ...]) -> CategoryTree:
        """Of rows ``codes [n, k]`` from 0 to ``counts[j]`` - 1, n at least 1."""
        n, k = len(codes), len(counts)
        first = _first(counts)
        seen = torch.zeros(n, sum(counts), dtype=torch.float64)
        seen.scatter_(1, codes.long() + first, 1.0)
        pairs = seen.T @ seen
        blocks = [slice(a, a + c) for a, c in zip(first.tolist(), counts, strict=True)]
        share = torch.cat([_shares(pairs.diagonal()[block]) for block in blocks])
        parents = _spanning_tree(_dependence(pairs, share, counts, n))
        conditional = {
            j: (pairs[blocks[p], blocks[j]] + PRIOR * share[blocks[j]])
            / (pairs.diagonal()[blocks[p], None] + PRIOR)
            for j, p in enumerate(parents)
            if p != j
        }
        given = [_as_rare(table).flatten() for table in conditional.values()]
        never = torch.tensor([n / PRIOR + 1], dtype=torch.float64).log()
        return cls(
            counts,
            torch.tensor(parents),
            torch.cat([*(_as_rare(share[block][None])[0] for block in blocks), never]),
            torch.cat([*given, share[:0]]),
            _rarer(pairs, share * n, conditional, blocks, parents)
            if 2 < k <= MOST_PAIRED and len(share) <= MOST_VALUES
            else torch.zeros(0, 0, dtype=torch.float64),
        )

    @property
    def is_whole(self) -> bool:
        """Whether its parts have the shapes that they must have, and parents are columns of a tree."""
        k, W = len(self.counts), sum(self.counts)
        parents = [int(p) for p in self.parents.flatten()]
        if self.parents.shape != (k,) or not all(0 <= p < k for p in parents):
            return False
        wide = sum(self.counts[j] * self.counts[p] for j, p in enumerate(parents) if p != j)
        shapes = [self.alone.shape == (W + 1,), self.given.shape == (wide,)]
        return all(shapes) and self.rarer.shape in ((0, 0), (W, W))

    def times(self, rate: float) -> CategoryTree:
        """The same with energies ``rate`` times as high."""
        alone, given, rarer = (rate * part for part in (self.alone, self.given, self.rarer))
        return replace(self, alone=alone, given=given, rarer=rarer)

    def energy(self, codes: Tensor) -> Tensor:
        """``[n, k] -> [n]``, float64; the code -1 stands for a value that no row had."""
        parts = codes.long().split(max(1, AT_ONCE // len(self.counts) ** 2))
        return torch.cat([self._energy(part) for part in parts])

    def _energy(self, codes: Tensor) -> Tensor:
        energy = self.terms(codes).sum(1)
        if len(self.rarer):
            unseen = codes < 0
            place = torch.where(unseen, 0, codes + _first(self.counts))
            rare = self.rarer[place[:, :, None], place[:, None]]
            energy += rare.masked_fill(unseen[:, :, None] | unseen[:, None], 0.0).amax((1, 2))
        return energy

    def terms(self, codes: Tensor) -> Tensor:
        """What each column of rows ``codes [n, k]`` adds, given its parent, ``[n, k]``."""
        codes = codes.long()
        unseen, start = codes < 0, 0
        place = torch.where(unseen, len(self.alone) - 1, codes + _first(self.counts))
        energies = self.alone[place]
        for j, p in enumerate(self.parents.tolist()):
            if p == j:
                continue
            pair = start + codes[:, p].clamp(min=0) * self.counts[j] + codes[:, j].clamp(min=0)
            by_itself = unseen[:, j] | unseen[:, p]
            energies[:, j] = torch.where(by_itself, energies[:, j], self.given[pair])
            start += self.counts[j] * self.counts[p]
        return energies


def _first(counts: tuple[int, ...]) -> Tensor:
    wide = torch.tensor(counts)
    return wide.cumsum(0) - wide


def _shares(often: Tensor) -> Tensor:
    """The probabilities of a column's values, seen ``often [c]`` and ``PRIOR`` times more together."""
    return (often + PRIOR / len(often)) / (often.sum() + PRIOR)


def _as_rare(p: Tensor) -> Tensor:
    """-log of the probability of all values as rare as each, of distributions ``p [m, c]``, ``[m, c]``."""
    as_rare = p[:, None, :] <= p[:, :, None] * (1 + 1e-9)  # alike but for rounding
    return -(p[:, None, :] * as_rare).sum(2).clamp(max=1).log()


def _dependence(pairs: Tensor, share: Tensor, counts: tuple[int, ...], n: int) -> Tensor:
    """2 n times the mutual information of columns beyond what chance gives, at least 0, ``[k, k]``.

    Of independent columns it is about chi-squared, with (c - 1)(c' - 1) degrees of freedom.
    """
    k = len(counts)
    expected = n * share[:, None] * share
    lift = torch.where(pairs > 0, (pairs / expected).log(), 0.0)
    column = torch.arange(k).repeat_interleave(torch.tensor(counts))
    of_columns = torch.zeros(k, k, dtype=torch.float64)
    by_row = torch.zeros(k, len(share), dtype=torch.float64).index_add_(0, column, pairs * lift)
    of_columns.index_add_(1, column, by_row)
    freedom = torch.tensor(counts, dtype=torch.float64) - 1
    freedom = freedom[:, None] * freedom
    return (2 * of_columns - freedom - DEVIATIONS * (2 * freedom).sqrt()).clamp(min=0)


def _spanning_tree(weight: Tensor) -> list[int]:
    """The parent of each node in trees of the largest sum of ``weight [k, k]``; a root's is itself.

    Prim's algorithm; nodes are joined from the first on, those of weight 0 with no other.
    """
    k = len(weight)
    parents = [0 if w > 0 else j for j, w in enumerate(weight[0].tolist())]
    parents[0], best = 0, weight[0].clone()
    outside = torch.ones(k, dtype=torch.bool)
    outside[0] = False
    for _ in range(k - 1):
        new = int(best.masked_fill(~outside, -torch.inf).argmax())
        outside[new] = False
        closer = outside & (weight[new] > best)
        best = torch.where(closer, weight[new], best)
        for j in closer.nonzero()[:, 0].tolist():
            parents[j] = new
    return parents


def _rarer(
    pairs: Tensor,
    often: Tensor,
    conditional: dict[int, Tensor],
    blocks: list[slice],
    parents: list[int],
) -> Tensor:
    """By how many nats ``pairs [W, W]`` are rarer than the tree expects, but for those that it counts.

    It expects p(a, c) = sum over b of p(a, b) p(c | b), b the values of the parent of c's column, which
    comes first. ``often [W]``: how often each value.
    """
    expected = torch.zeros_like(pairs)
    done: list[int] = []
    waiting = list(range(len(parents)))
    while waiting:
        j = next(i for i in waiting if parents[i] == i or parents[i] in done)
        waiting.remove(j)
        mine, parent = blocks[j], blocks[parents[j]]
        for i in done:
            theirs = blocks[i]
            if j in conditional:
                pair = expected[theirs, parent] @ conditional[j]
            else:
                pair = often[theirs, None] * often[mine] / often[mine].sum()
            expected[theirs, mine], expected[mine, theirs] = pair, pair.T
        expected[mine, mine] = often[mine].diag()
        done.append(j)
    found = ((expected + PRIOR) / (pairs + PRIOR)).log().clamp(min=0)
    for j, p in enumerate(parents):
        found[blocks[j], blocks[j]] = found[blocks[j], blocks[p]] = found[blocks[p], blocks[j]] = 0
    return found
