"""Faults of EBGAN's game on a table: who descends what, where the energy may go, what is measured."""

from __future__ import annotations

from mutants.fault import faults

FAULTS = faults(
    "studies/equilibria.py",
    "tests/methods/test_ebgan.py::test_the_game_on_a_table_ends_at_a_flat_energy",
    ("slope, here = p - log_q.exp()", "slope, here = -p + log_q.exp()"),
    ("(2 * slope - slope_before)).clamp(0, margin)", "slope).clamp(0, margin)"),
    ("(2 * here - E_before), 0)", "here, 0)"),
    ("log_q - step * (2", "log_q + step * (2"),
    (
        '"deviation": float((p @ (E - mean).square()).sqrt())',
        '"deviation": float((p @ (E - mean)).abs())',
    ),
    ("(E[:, None] > E[None, :]).double()", "(E[:, None] < E[None, :]).double()"),
)
