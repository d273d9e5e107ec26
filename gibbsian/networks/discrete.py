"""Energies on bits and categories: restricted Boltzmann machines, Ising and Potts lattices.

Bits are floats that are exactly 0 or 1, and so are categories, one-hot along the first axis. Every
energy here is a polynomial that also takes real numbers, so that its gradient says what flipping a bit
would do: on a lattice exactly, since there E is linear in every site.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

WEIGHT_STD = 0.01
"""Of an RBM's weights at the start (Hinton, 2012, section 8)."""


class RBMEnergy(nn.Module):
    """The free energy of a restricted Boltzmann machine: E(v) = -a.v - sum_j softplus(b_j + (v W)_j).

    exp(-E(v)) sums exp(a.v + b.h + v W h) over all hidden bits h (Smolensky 1986; Hinton 2002). ``weight
    [n_visible, n_hidden]`` W, ``visible_bias`` a, ``hidden_bias`` b; v is an event of ``shape``, flattened.

    Raises ValueError for fewer than one hidden unit.
    """

    confining: ClassVar[bool] = False
    bounded: ClassVar[bool] = False

    def __init__(self, shape: tuple[int, ...], hidden: int):
        super().__init__()
        if hidden < 1:
            raise ValueError(f"an RBM needs at least one hidden unit, not {hidden}")
        visible = math.prod(shape)
        self.weight = nn.Parameter(WEIGHT_STD * torch.randn(visible, hidden))
        self.visible_bias = nn.Parameter(torch.zeros(visible))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))

    def forward(self, x: Tensor) -> Tensor:
        """``[B, *event] -> [B]``."""
        v = x.flatten(1)
        field = torch.addmm(self.hidden_bias, v, self.weight)
        return -(v @ self.visible_bias) - nn.functional.softplus(field).sum(1)


def lattice_of(shape: tuple[int, ...], periodic: bool) -> tuple[int, int]:
    """Rows and columns of an event's lattice: (d,) is a chain and (1, H, W) a grid; else ValueError."""
    if len(shape) == 1:
        rows, columns = shape[0], 1
    elif len(shape) == 3 and shape[0] == 1:
        rows, columns = shape[1:]
    else:
        raise ValueError(
            f"a lattice is a chain, events of shape [d], or a grid, [1, H, W]; these have {list(shape)}"
        )
    if periodic and any(1 < side < 3 for side in (rows, columns)):
        raise ValueError(
            f"a periodic lattice needs sides of at least 3, not {rows} x {columns}: of two sites each is "
            "the other's neighbour on both sides"
        )
    return rows, columns


def edges(side: int, periodic: bool) -> int:
    """How many neighbouring pairs a line of ``side`` sites has."""
    return side if periodic and side > 1 else side - 1


def pairs(s: Tensor, dim: int, periodic: bool) -> tuple[Tensor, Tensor]:
    """Every site and its next neighbour along ``dim``."""
    n = s.shape[dim]
    if periodic and n > 1:
        return s, s.roll(-1, dim)
    return s.narrow(dim, 0, n - 1), s.narrow(dim, 1, n - 1)


class Lattice(nn.Module):
    """Couplings and fields of a lattice with nearest neighbours, all of one value at the start.

    ``horizontal [H, W - 1]`` and ``vertical [H - 1, W]`` are the couplings of each pair, of an open lattice;
    a ``periodic`` one also joins the last site of each row and column to its first, ``[H, W]``.
    ``field [categories, H, W]``. They are parameters where ``learned``, otherwise buffers.
    """

    def __init__(
        self,
        sides: tuple[int, int],
        *,
        coupling: float,
        field: Tensor,
        periodic: bool,
        learned: bool,
    ):
        super().__init__()
        rows, columns = sides
        self.periodic = periodic
        start = {
            "horizontal": torch.full((rows, edges(columns, periodic)), coupling),
            "vertical": torch.full((edges(rows, periodic), columns), coupling),
            "field": field[:, None, None].repeat(1, rows, columns),
        }
        self.horizontal: Tensor
        self.vertical: Tensor
        self.field: Tensor
        for name, value in start.items():
            if learned:
                self.register_parameter(name, nn.Parameter(value))
            else:
                self.register_buffer(name, value)

    def forward(self, s: Tensor) -> Tensor:
        """-sum field s - sum over pairs of coupling s s', for ``s [B, categories, H, W]``, ``[B]``."""
        a, b = pairs(s, 3, self.periodic)
        c, d = pairs(s, 2, self.periodic)
        energy = (self.field * s).flatten(1).sum(1)
        energy = energy + (self.horizontal * (a * b).sum(1)).flatten(1).sum(1)
        return -energy - (self.vertical * (c * d).sum(1)).flatten(1).sum(1)

    def colours(self) -> Tensor:
        """``[H, W]``: True on every second site, none a neighbour of another.

        Raises ValueError for a periodic lattice with an odd side, which has no such pattern.
        """
        rows, columns = self.field.shape[1:]
        if self.periodic and any(side > 1 and side % 2 for side in (rows, columns)):
            raise ValueError(
                f"a periodic lattice of {rows} x {columns} sites has no checkerboard pattern; take even "
                "sides or an open lattice, or sample it with gibbs_with_gradients or discrete_mala"
            )
        site = torch.arange(rows, device=self.field.device)[:, None]
        return (site + torch.arange(columns, device=self.field.device)) % 2 == 0


class IsingEnergy(nn.Module):
    """E(x) = -sum_i b_i s_i - sum over neighbours of J_ij s_i s_j, spins s = 2 x - 1 (Ising, 1925).

    ``shape`` [d] is a chain and [1, H, W] a grid; ``sides`` (H, W) says how events that were flattened lie
    on one. ``coupling`` J and ``field`` b are the values at the start,
    the same everywhere; of their own for every pair and site where they are ``learned``, and fixed
    otherwise. The critical coupling of the endless grid is log(1 + sqrt(2)) / 2 = 0.4407 (Onsager, 1944).

    Raises ValueError for other shapes or sides, and for a periodic lattice with a side of two.
    """

    confining: ClassVar[bool] = False
    bounded: ClassVar[bool] = False

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        sides: tuple[int, int] | None = None,
        coupling: float = 0.0,
        field: float = 0.0,
        periodic: bool = False,
        learned: bool = True,
    ):
        super().__init__()
        if sides is not None and math.prod(sides) != math.prod(shape):
            raise ValueError(
                f"a lattice of {sides[0]} x {sides[1]} sites does not hold events of {math.prod(shape)} bits"
            )
        self.shape, self.periodic = shape, periodic
        self.lattice = Lattice(
            lattice_of(shape if sides is None else (1, *sides), periodic),
            coupling=coupling,
            field=torch.tensor([field]),
            periodic=periodic,
            learned=learned,
        )

    def forward(self, x: Tensor) -> Tensor:
        """``[B, *event] -> [B]``."""
        spins = 2 * x - 1
        energy: Tensor = self.lattice(spins.reshape(len(x), *self.lattice.field.shape))
        return energy

    def log_factors(self) -> tuple[Tensor, Tensor, Tensor]:
        """log-weights of sites ``[H, W, 2]`` and of horizontal and vertical pairs ``[..., 2, 2]``."""
        spin = self.lattice.field.new_tensor([-1.0, 1.0])
        product = spin[:, None] * spin
        across, down = self.lattice.horizontal, self.lattice.vertical
        sites = self.lattice.field[0][..., None] * spin
        return sites, across[..., None, None] * product, down[..., None, None] * product

    def colours(self) -> Tensor:
        """``[*event]``: True on every second site; see `Lattice.colours`."""
        return self.lattice.colours().reshape(self.shape)


class PottsEnergy(nn.Module):
    """E(x) = -sum_i b_i(x_i) - sum over neighbours of J_ij [x_i = x_j] on q categories (Potts, 1952).

    Events are one-hot, ``[q, H, W]``, or ``[q, d]`` on a chain. ``field [q]`` b, zero if not given, and
    ``coupling`` J are fixed and the same everywhere. With q = 2 it is the Ising model of coupling J / 2,
    up to a constant. The critical coupling of the endless grid is log(1 + sqrt(q)).

    Raises ValueError for fewer than two categories, other shapes, or a periodic lattice with a side of two.
    """

    confining: ClassVar[bool] = False
    bounded: ClassVar[bool] = False

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        coupling: float,
        field: Tensor | None = None,
        periodic: bool = False,
    ):
        super().__init__()
        categories, *grid = shape
        if categories < 2 or len(grid) not in (1, 2):
            raise ValueError(
                f"a Potts model takes events of shape [q, d] or [q, H, W] with q >= 2, not {list(shape)}"
            )
        sides = lattice_of((grid[0],) if len(grid) == 1 else (1, *grid), periodic)
        field = torch.zeros(categories) if field is None else field
        if field.shape != (categories,):
            raise ValueError(
                f"the field has one value per category, shape [{categories}], not {list(field.shape)}"
            )
        self.shape, self.periodic = shape, periodic
        self.lattice = Lattice(
            sides, coupling=coupling, field=field, periodic=periodic, learned=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """``[B, *event] -> [B]``."""
        energy: Tensor = self.lattice(x.reshape(len(x), *self.lattice.field.shape))
        return energy

    def log_factors(self) -> tuple[Tensor, Tensor, Tensor]:
        """log-weights of sites ``[H, W, q]`` and of horizontal and vertical pairs ``[..., q, q]``."""
        same = torch.eye(len(self.lattice.field)).to(self.lattice.field)
        across, down = self.lattice.horizontal, self.lattice.vertical
        sites = self.lattice.field.movedim(0, -1)
        return sites, across[..., None, None] * same, down[..., None, None] * same

    def colours(self) -> Tensor:
        """``[1, *sites]``: True on every second site; see `Lattice.colours`."""
        return self.lattice.colours().reshape(1, *self.shape[1:])
