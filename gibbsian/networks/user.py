"""A user's own network, named on the command line as ``package.module:Class``."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from gibbsian.core.imports import import_here


def load_user(spec: str, **known: Any) -> nn.Module:
    """Import ``package.module:Class``, from the current directory too, and make one.

    Of ``known`` (``space``, ``latent``, ``options``) the constructor receives what it has
    parameters for, by name. Raises ValueError when the text is not of this form, the module or
    class is not found or cannot be imported, the class is not an nn.Module, or its constructor
    wants something else.
    """
    module_name, colon, class_name = spec.partition(":")
    if not (module_name and colon and class_name):
        raise ValueError(f"a network of your own is named package.module:Class, not {spec!r}")
    cls = getattr(import_here(module_name), class_name, None)
    if cls is None:
        raise ValueError(f"module {module_name!r} has no class {class_name!r}")
    if not (inspect.isclass(cls) and issubclass(cls, nn.Module)):
        raise ValueError(f"{spec} is not a class derived from torch.nn.Module")
    parameters = inspect.signature(cls).parameters
    given = {name: value for name, value in known.items() if name in parameters}
    try:
        inspect.signature(cls).bind(**given)
    except TypeError as error:
        names = ", ".join(known) or "no arguments"
        raise ValueError(
            f"the constructor of {spec} must do with {names}: {error}; give the rest a default"
        ) from error
    network: nn.Module = cls(**given)
    return network
