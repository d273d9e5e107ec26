"""A user's own network, named on the command line as ``package.module:Class``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from gibbsian.core.imports import import_here
from gibbsian.core.module_errors import blaming


def load_user(spec: str) -> type[nn.Module]:
    """Import the class ``package.module:Class``, from the current directory too.

    Raises ValueError when the text is not of this form, the module or class is not found or cannot
    be imported, or the class is not an nn.Module.
    """
    module_name, colon, class_name = spec.partition(":")
    if not (module_name and colon and class_name):
        raise ValueError(f"a network of your own is named package.module:Class, not {spec!r}")
    with blaming(f"your own network {spec}"):
        module = import_here(module_name)
    cls = getattr(module, class_name, None)
    if cls is None:
        raise ValueError(f"module {module_name!r} has no class {class_name!r}")
    if not (inspect.isclass(cls) and issubclass(cls, nn.Module)):
        raise ValueError(f"{spec} is not a class derived from torch.nn.Module")
    return cls


def build_user(
    spec: str, cls: type[nn.Module], options: Mapping[str, Any], **known: Any
) -> nn.Module:
    """An instance of ``cls``, given what it has parameters for of ``known`` (``space``, ``latent``).

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
