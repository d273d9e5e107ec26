"""Images of a latent space: its plane on a grid, or one coordinate after another."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gibbsian.core.measures import Gaussian
from gibbsian.core.protocols import HasEncoder, HasGenerator, HasMeans
from gibbsian.models.model import Model

FINEST = 100
"""Points along one axis."""


def latent_space(model: Model) -> tuple[Gaussian, Callable[[Tensor], Tensor]] | None:
    """The prior and what the model makes of a latent point: the mean of p(x|z), or the generator's x."""
    method = model.method
    if isinstance(method, HasMeans):
        return method.prior, method.means
    return (method.prior, method.generator) if isinstance(method, HasGenerator) else None


def quantiles(prior: Gaussian, count: int) -> Tensor:
    """Quantiles (i + 1/2) / count of one coordinate under the prior, ascending, ``[count]``."""
    if not 2 <= count <= FINEST:
        raise ValueError(f"a grid has 2 to {FINEST} points along an axis, not {count}")
    return prior.scale * torch.special.ndtri((torch.arange(count) + 0.5) / count)


def manifold(model: Model, side: int) -> Tensor:
    """A plane of latent points at equal steps of probability, ``[side^2, *event]``, row by row.

    The inverse distribution function of the prior takes a regular grid of the unit square to z; the
    first coordinate grows to the right, the second upwards (Kingma, Welling 2014, figure 4). In the
    user's units. Raises ValueError unless the latent space is a plane.
    """
    prior, decode = _space(model)
    if prior.shape != (2,):
        raise ValueError(
            f"a manifold is drawn of a latent plane; this model has {prior.shape[0]} coordinates: "
            "train it with --latent-dim 2, or look at them one by one with --latent-traversal"
        )
    axis = quantiles(prior, side)
    up, right = torch.meshgrid(axis.flip(0), axis, indexing="ij")
    return _decoded(model, decode, torch.stack([right.flatten(), up.flatten()], 1))


def traverse(model: Model, steps: int, x: Tensor | None = None, seed: int = 0) -> Tensor:
    """Every coordinate on its own through its quantiles, ``[latent * steps, *event]``, one after another.

    The other coordinates stay at the prior's mean, or at the code of the observation ``x [*event]``. In
    the user's units. Raises ValueError where there is no latent space, or ``x`` has no code.
    """
    prior, decode = _space(model)
    axis, latent = quantiles(prior, steps), prior.shape[0]
    start = torch.zeros(latent)
    if x is not None:
        if not isinstance(model.method, HasEncoder):
            raise ValueError(f"{model.config.method} has no encoder; leave out --condition-on")
        u = model.transform.encode(x[None].to(model.device), model.rng(seed))
        with torch.no_grad():
            start = model.method.encode(u)[0].cpu()
    z = start.repeat(latent, steps, 1)
    for coordinate in range(latent):
        z[coordinate, :, coordinate] = axis
    return _decoded(model, decode, z.flatten(0, 1))


def _space(model: Model) -> tuple[Gaussian, Callable[[Tensor], Tensor]]:
    found = latent_space(model)
    if found is None:
        raise ValueError(f"{model.config.method} has no latent space with a prior to walk through")
    return found


def _decoded(model: Model, decode: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    with torch.no_grad():
        return model.transform.decode(decode(z.to(model.device))).cpu()
