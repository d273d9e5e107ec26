"""Sampling in a generator's latent space: energies on z made of an energy on x = G(z)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from gibbsian.core import Energy
from gibbsian.core.measures import Gaussian
from gibbsian.core.numerics import jacobian, log_det_gram


@dataclass(frozen=True)
class Tilted:
    """U(z) = beta E(G(z)) - log p0(z): the distribution of G(z) tilted by exp(-beta E)."""

    energy: Energy
    generator: Callable[[Tensor], Tensor]
    prior: Gaussian
    inverse_temperature: float

    def __call__(self, z: Tensor) -> Tensor:
        """``[B, d] -> [B]``, nats."""
        return self.inverse_temperature * self.energy(self.generator(z)) - self.prior.log_density(z)


@dataclass(frozen=True)
class OnImage:
    """U(z) = beta E(G(z)) - 1/2 log det J^T J: x = G(z) has density exp(-beta E) on G's image."""

    energy: Energy
    generator: Callable[[Tensor], Tensor]
    inverse_temperature: float

    def __call__(self, z: Tensor) -> Tensor:
        """``[B, d] -> [B]``, nats; +inf where J has no full rank.

        Costs d forward-mode products, none where the generator knows its volume (a flow's
        ``forward_with_log_det``).
        """
        forward: Callable[[Tensor], tuple[Tensor, Tensor]] | None
        forward = getattr(self.generator, "forward_with_log_det", None)
        if forward is not None:
            x, log_det = forward(z)
            return self.inverse_temperature * self.energy(x) - log_det
        volume = log_det_gram(jacobian(self.generator, z))
        return self.inverse_temperature * self.energy(self.generator(z)) - 0.5 * volume


def latent_energy(
    energy: Energy,
    generator: Callable[[Tensor], Tensor],
    prior: Gaussian,
    inverse_temperature: float = 1.0,
    target: Literal["tilted", "energy"] = "tilted",
) -> Energy:
    """The energy U on latent ``z [B, d]`` whose samples z give model samples G(z).

    ``"tilted"``: U = beta E(G(z)) - log p0(z), where the model is the generator's distribution times
    exp(-E): generalized energy-based models, a discriminator's logit.
    ``"energy"``: U = beta E(G(z)) - 1/2 log det J^T J, J = dG/dz, where the energy alone models the
    data: VGAN, bidirectional bounds. By the area formula x = G(z) then has density proportional to
    exp(-beta E) on the image of an injective G, with respect to its surface measure. A perfect pair
    is left invariant by its own target: with G(z) = z and E = x^2 / 2 the first has variance 1/2.

    The inverse temperature multiplies E only; 1 is the model itself, larger values are colder.
    Gradients flow through G, E and the Jacobian. Raises ValueError for an inverse temperature that
    is not positive, an unknown target, or a generator whose dropout or batch normalisation is in
    training mode (it would not be one fixed map).
    """
    if not inverse_temperature > 0:
        raise ValueError(f"inverse_temperature must be positive; got {inverse_temperature}")
    refuse_training_mode(generator)
    if target == "tilted":
        return Tilted(energy, generator, prior, inverse_temperature)
    if target == "energy":
        return OnImage(energy, generator, inverse_temperature)
    raise ValueError(f'target must be "tilted" or "energy"; got {target!r}')


def refuse_training_mode(generator: object) -> None:
    """ValueError if a layer of ``generator`` behaves otherwise in training than in evaluation."""
    layers = generator.modules() if isinstance(generator, nn.Module) else ()
    for layer in layers:
        mixes = isinstance(layer, nn.modules.batchnorm._BatchNorm)
        if layer.training and (mixes or isinstance(layer, nn.modules.dropout._DropoutNd)):
            raise ValueError(
                f"the generator's {type(layer).__name__} is in training mode, so that it is not "
                "one fixed map; call generator.eval() before sampling in its latent space"
            )
