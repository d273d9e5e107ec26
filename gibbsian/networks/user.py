"""A user's own network, named on the command line as ``package.module:Class``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from gibbsian.core.imports import import_named


def load_user(spec: str) -> type[nn.Module]:
    """Import the class ``package.module:Class``, from the current directory too.

    Raises ValueError when the text is not of this form, the module or class is not found or cannot
    be imported, or the class is not an nn.Module.
    """
    cls = import_named(spec, "network")
    if not (inspect.isclass(cls) and issubclass(cls, nn.Module)):
        raise ValueError(f"{spec} is not a class derived from torch.nn.Module")
    return cls


def build_user(
    spec: str, cls: type[nn.Module], options: Mapping[str, Any], **known: Any
) -> nn.Module:
    """An instance of ``cls``, given what it has parameters for of ``known`` (``space``, ``latent_dim``).

    Raises ValueError when its constructor wants something else.
    """
    signature = inspect.signature(cls)
    given = {name: value for name, value in known.items() if name in signature.parameters}
    try:
        signature.bind(**given, **options)
    except TypeError as error:
        names = ", ".join(known) or "no arguments"
        raise ValueError(
            f"the constructor of {spec} must do with {names}: {error}; give the rest a default"
        ) from error
    return cls(**given, **options)
