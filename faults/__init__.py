"""Deliberate faults that the tests must notice: one file of them per room, ``python -m faults``."""
