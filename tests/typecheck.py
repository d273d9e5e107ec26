"""The run-time type checker that ``conftest.py`` has jaxtyping put on every function."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
"""As a static checker reads annotations: an int is a fine float (PEP 484)."""
