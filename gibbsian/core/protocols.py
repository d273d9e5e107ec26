"""What a method or a network may be able to do beyond what all do: one small protocol each."""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

from torch import Generator, Tensor

from gibbsian.core.measures import Gaussian


@runtime_checkable
class HasEnergy(Protocol):
    """Capability: ``energy(x)``, ``[B, *event] -> [B]``, low on probable points."""

    def energy(self, x: Tensor) -> Tensor: ...


@runtime_checkable
class HasLogProb(Protocol):
    """Capability: ``log_prob(x)``, ``[B, *event] -> [B]``; only where it is exact.

    An ``energy`` beside it is -log_prob, so that its log Z is 0.
    """

    def log_prob(self, x: Tensor) -> Tensor: ...


@runtime_checkable
class HasEncoder(Protocol):
    """Capability: ``encode(x)``, ``[B, *event] -> [B, latent_dim]``."""

    def encode(self, x: Tensor) -> Tensor: ...


@runtime_checkable
class HasFeatures(Protocol):
    """Capability of an energy or critic network: ``features(x)``, ``[B, *event] -> [B, width]``.

    What its last layer reads, the penultimate layer of the network.
    """

    def features(self, x: Tensor) -> Tensor: ...


@runtime_checkable
class HasLogits(Protocol):
    """Capability of an energy that also classifies: ``logits(x)``, ``[B, *event] -> [B, classes]``."""

    def logits(self, x: Tensor) -> Tensor: ...


@runtime_checkable
class HasHiddenUnits(Protocol):
    """Capability of an energy on bits: it is the free energy of a restricted Boltzmann machine.

    ``weight [n_visible, n_hidden]`` W, ``visible_bias`` a and ``hidden_bias`` b of
    E(v, h) = -a.v - b.h - v W h, v an event flattened.
    """

    weight: Tensor
    visible_bias: Tensor
    hidden_bias: Tensor


@runtime_checkable
class OnLattice(Protocol):
    """Capability of an energy on bits or categories: sites on a lattice, coupled to their neighbours.

    ``log_factors()``: log-weights of sites ``[H, W, q]`` and of horizontal and vertical pairs ``[..., q, q]``
    of q states. ``colours()``: booleans that broadcast to an event, True on every second site.
    """

    periodic: bool

    def log_factors(self) -> tuple[Tensor, Tensor, Tensor]: ...

    def colours(self) -> Tensor: ...


@runtime_checkable
class HasClasses(Protocol):
    """Capability: ``by_class`` says whether ``sample`` takes class numbers as what is given."""

    by_class: bool


@runtime_checkable
class HasZWeights(Protocol):
    """Capability: ``z_log_weights(n, rng)``, logs of n independent unbiased estimates of Z, ``[n]``.

    By draws of a distribution that is known exactly; all are equal to 1 where the energy is -log of it.
    """

    def z_log_weights(self, n: int, rng: Generator) -> Tensor: ...


@runtime_checkable
class HasStages(Protocol):
    """Capability: training in stages, between which the validation rows decide.

    ``validate(x)``: mean log-density of the rows ``x [N, *event]`` in nats, at the choices that it makes on
    them and keeps in buffers. ``stage_ends(gained, share)`` is asked after each such look, at a ``share`` of
    the rounds; where it does, the weights with the best look are put back and ``next_stage()`` follows.
    ``stage_limit()``: share of the rounds at which the present stage ends in any case; the learning rates
    fall until then.
    """

    def validate(self, x: Tensor) -> float: ...

    def stage_ends(self, gained: bool, share: float) -> bool: ...

    def stage_limit(self) -> float: ...

    def next_stage(self) -> None: ...


@runtime_checkable
class HasLearnedLogZ(Protocol):
    """Capability: ``learned_log_z()``, 0-d, an estimate of log Z in nats that training made.

    None where what was learned is not log Z on the model's base measure.
    """

    def learned_log_z(self) -> Tensor | None: ...


@runtime_checkable
class HasLatentTarget(Protocol):
    """Capability: samples can be refined in the generator's latent space.

    ``latent_target`` names which distribution is right for this method: ``tilted`` where the model is the
    generator's distribution times exp(-E), ``energy`` where the energy alone models the data.
    """

    latent_target: Literal["tilted", "energy"]
    prior: Gaussian

    def energy(self, x: Tensor) -> Tensor: ...

    def generator(self, z: Tensor) -> Tensor: ...


@runtime_checkable
class HasLogWeights(Protocol):
    """Capability: ``log_weights(x, k, rng)``, log p(x, z) / q(z|x) of k draws of q per row, ``[k, B]``."""

    def log_weights(self, x: Tensor, k: int, rng: Generator) -> Tensor: ...


@runtime_checkable
class HasDecoder(Protocol):
    """Capability: a continuous latent space with ``prior`` and ``decoded(x, z)``, log p(x|z) ``[B]``."""

    prior: Gaussian

    def decoded(self, x: Tensor, z: Tensor) -> Tensor: ...


@runtime_checkable
class HasMeans(Protocol):
    """Capability: a latent space with ``prior`` and ``means(z)``, of p(x|z), ``[B, *event]``."""

    prior: Gaussian

    def means(self, z: Tensor) -> Tensor: ...


@runtime_checkable
class HasGenerator(Protocol):
    """Capability: a latent space with ``prior`` and ``generator(z)``, ``[B, latent_dim] -> [B, *event]``."""

    prior: Gaussian

    def generator(self, z: Tensor) -> Tensor: ...


@runtime_checkable
class HasOverlap(Protocol):
    """Capability: ``overlap_terms(n, k, rng)``, logs of n unbiased estimates of Z^2, ``[n]``.

    Of the model p* between two directed ones; k draws of q are behind each estimate.
    """

    def overlap_terms(self, n: int, k: int, rng: Generator) -> Tensor: ...


@runtime_checkable
class Flow(Protocol):
    """A generator that is invertible by construction and knows its volume.

    ``forward_with_log_det``: ``z [B, d]`` to ``x [B, *event]`` and log |det dx/dz| ``[B]``.
    """

    def forward_with_log_det(self, z: Tensor) -> tuple[Tensor, Tensor]: ...


@runtime_checkable
class Invertible(Flow, Protocol):
    """A flow that can be gone back through, so that its distribution has a density at given points.

    ``inverse_with_log_det``: ``x [B, *event]`` to z and log |det dz/dx| ``[B]``.
    """

    def inverse_with_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]: ...
