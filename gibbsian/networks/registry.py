"""The built-in networks by role and name: functions of the space they see and of keyword-only options.

Encoders, decoders and generators are given the dimension of the latent space too.
``**trunk: Annotated[Any, DenseTrunk]`` takes the options of ``DenseTrunk``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from gibbsian.core import DataSpace
from gibbsian.core.roles import Builder
from gibbsian.networks.autoencoders import (
    conv_autoencoder,
    conv_energy,
    dense_autoencoder,
    dense_energy,
    residual_autoencoder,
)
from gibbsian.networks.beliefs import SigmoidBeliefNetwork
from gibbsian.networks.decoders import ConvDecoder, DenseDecoder
from gibbsian.networks.discrete import IsingEnergy, RBMEnergy
from gibbsian.networks.encoders import ConvEncoder, DenseEncoder
from gibbsian.networks.energies import (
    BoundedRangeEnergy,
    ConfinedEnergy,
    JointClassEnergy,
    SigmoidOutputEnergy,
    UnconfinedEnergy,
)
from gibbsian.networks.flows import FlowGenerator
from gibbsian.networks.generators import ConvGenerator, DenseGenerator
from gibbsian.networks.ladder import LadderNetwork
from gibbsian.networks.minibatch import MinibatchDiscriminationCritic
from gibbsian.networks.options import check_counts, check_positive
from gibbsian.networks.residual import (
    ResidualDecoder,
    ResidualEncoder,
    ResidualGenerator,
    ResidualTrunk,
    timed_residual,
)
from gibbsian.networks.students import FlowStudent, MixtureStudent, VAEStudent
from gibbsian.networks.trunks import ConvTrunk, DenseTrunk, timed_conv, timed_dense


def mlp(space: DataSpace, **trunk: Annotated[Any, timed_dense]) -> UnconfinedEnergy:
    """Dense layers and a linear head; no normaliser on R^d."""
    return UnconfinedEnergy(timed_dense(space, **trunk))


def confined(
    space: DataSpace,
    *,
    confinement_std: float = 1.0,
    **trunk: Annotated[Any, timed_dense],
) -> ConfinedEnergy:
    """Dense layers and a quadratic envelope; has a normaliser on R^d.

    Args:
        confinement_std: sigma of the envelope |x|^2 / (2 sigma^2).
    """
    check_positive(confinement_std=confinement_std)
    return ConfinedEnergy(timed_dense(space, **trunk), confinement_std)


def bounded(
    space: DataSpace,
    *,
    num_experts: int = 128,
    **trunk: Annotated[Any, timed_dense],
) -> BoundedRangeEnergy:
    """VGAN's Bernoulli-entropy experts on dense layers.

    Args:
        num_experts: their number K.
    """
    check_counts(num_experts=num_experts)
    return BoundedRangeEnergy(timed_dense(space, **trunk), num_experts)


def sigmoid(space: DataSpace, **trunk: Annotated[Any, timed_dense]) -> SigmoidOutputEnergy:
    """-log of one sigmoid on dense layers."""
    return SigmoidOutputEnergy(timed_dense(space, **trunk))


def conv(space: DataSpace, **trunk: Annotated[Any, timed_conv]) -> UnconfinedEnergy:
    """Convolutions and a linear head, for images."""
    return UnconfinedEnergy(timed_conv(space, **trunk))


def conv_bounded(
    space: DataSpace,
    *,
    num_experts: int = 128,
    **trunk: Annotated[Any, timed_conv],
) -> BoundedRangeEnergy:
    """VGAN's Bernoulli-entropy experts on convolutions, for images.

    Args:
        num_experts: their number K.
    """
    check_counts(num_experts=num_experts)
    return BoundedRangeEnergy(timed_conv(space, **trunk), num_experts)


def joint(
    space: DataSpace,
    *,
    classes: int = 10,
    confinement_std: float = 1.0,
    **trunk: Annotated[Any, timed_dense],
) -> JointClassEnergy:
    """Logits of ``classes`` on dense layers as an energy, with a quadratic envelope.

    Args:
        classes: number of classes that it tells apart.
        confinement_std: sigma of the envelope |x|^2 / (2 sigma^2).
    """
    check_counts(classes=classes)
    check_positive(confinement_std=confinement_std)
    return JointClassEnergy(timed_dense(space, **trunk), classes, confinement_std)


def conv_joint(
    space: DataSpace,
    *,
    classes: int = 10,
    confinement_std: float = 1.0,
    **trunk: Annotated[Any, timed_conv],
) -> JointClassEnergy:
    """Logits of ``classes`` on convolutions as an energy, with a quadratic envelope, for images.

    Args:
        classes: number of classes that it tells apart.
        confinement_std: sigma of the envelope |x|^2 / (2 sigma^2).
    """
    check_counts(classes=classes)
    check_positive(confinement_std=confinement_std)
    return JointClassEnergy(timed_conv(space, **trunk), classes, confinement_std)


def residual(space: DataSpace, **trunk: Annotated[Any, timed_residual]) -> UnconfinedEnergy:
    """Residual blocks and a linear head, for images."""
    return UnconfinedEnergy(timed_residual(space, **trunk))


def residual_bounded(
    space: DataSpace,
    *,
    num_experts: int = 128,
    **trunk: Annotated[Any, timed_residual],
) -> BoundedRangeEnergy:
    """VGAN's Bernoulli-entropy experts on residual blocks, for images.

    Args:
        num_experts: their number K.
    """
    check_counts(num_experts=num_experts)
    return BoundedRangeEnergy(timed_residual(space, **trunk), num_experts)


def residual_joint(
    space: DataSpace,
    *,
    classes: int = 10,
    confinement_std: float = 1.0,
    **trunk: Annotated[Any, timed_residual],
) -> JointClassEnergy:
    """Logits of ``classes`` on residual blocks as an energy, with a quadratic envelope, for images.

    Args:
        classes: number of classes that it tells apart.
        confinement_std: sigma of the envelope |x|^2 / (2 sigma^2).
    """
    check_counts(classes=classes)
    check_positive(confinement_std=confinement_std)
    return JointClassEnergy(timed_residual(space, **trunk), classes, confinement_std)


def rbm(space: DataSpace, *, hidden: int = 128) -> RBMEnergy:
    """A restricted Boltzmann machine, summed over its hidden units, for bits.

    Args:
        hidden: number of hidden units.
    """
    refuse_real(space, "rbm")
    return RBMEnergy(space.shape, hidden)


def ising(space: DataSpace, *, lattice: str = "") -> IsingEnergy:
    """An Ising lattice with a coupling for every pair of neighbours and a field at every site, for bits.

    Args:
        lattice: its rows and columns, as 4x4; empty for a chain.
    """
    refuse_real(space, "ising")
    if not lattice:
        return IsingEnergy(space.shape)
    sides = lattice.split("x")
    if len(sides) != 2 or not all(side.isdecimal() for side in sides):
        raise ValueError(
            f"lattice is rows x columns, such as 4x4, or empty for a chain, not {lattice!r}"
        )
    return IsingEnergy(space.shape, sides=(int(sides[0]), int(sides[1])))


def refuse_real(space: DataSpace, name: str) -> None:
    """ValueError unless the observations are bits."""
    if space.kind != "binary":
        raise ValueError(
            f"{name} is an energy on bits, and these data are not: take a data set of 0s and 1s, such as "
            "digits-binary, or another energy"
        )


def dense_critic(
    space: DataSpace, *, batch_norm: bool = False, **trunk: Annotated[Any, DenseTrunk]
) -> UnconfinedEnergy:
    """As the energy ``mlp``, and a game's critic need not be a function of one point.

    Args:
        batch_norm: normalise the hidden layers but the first by batch.
    """
    return UnconfinedEnergy(DenseTrunk(space, batch_norm, **trunk))


def minibatch(
    space: DataSpace, *, kernels: int = 16, **trunk: Annotated[Any, DenseTrunk]
) -> MinibatchDiscriminationCritic:
    """A critic on dense layers that compares the observations of a batch.

    Args:
        kernels: number of similarities that it computes between observations.
    """
    check_counts(kernels=kernels)
    return MinibatchDiscriminationCritic(DenseTrunk(space, **trunk), kernels)


def conv_minibatch(
    space: DataSpace, *, kernels: int = 16, **trunk: Annotated[Any, ConvTrunk]
) -> MinibatchDiscriminationCritic:
    """A critic on convolutions that compares the images of a batch.

    Args:
        kernels: number of similarities that it computes between images.
    """
    check_counts(kernels=kernels)
    return MinibatchDiscriminationCritic(ConvTrunk(space, **trunk), kernels)


def residual_minibatch(
    space: DataSpace, *, kernels: int = 16, **trunk: Annotated[Any, ResidualTrunk]
) -> MinibatchDiscriminationCritic:
    """A critic on residual blocks that compares the images of a batch.

    Args:
        kernels: number of similarities that it computes between images.
    """
    check_counts(kernels=kernels)
    return MinibatchDiscriminationCritic(ResidualTrunk(space, **trunk), kernels)


def flow_student(space: DataSpace, **flow: Annotated[Any, FlowGenerator]) -> FlowStudent:
    """A normalising flow with its exact log-density."""
    return FlowStudent(FlowGenerator(space, math.prod(space.shape), **flow))


def spline(space: DataSpace, **flow: Annotated[Any, FlowGenerator]) -> FlowGenerator:
    """A flow whose densities cost one pass of its networks, as maximum likelihood wants it."""
    return FlowGenerator(space, math.prod(space.shape), True, **flow)


ENERGIES: Mapping[str, Builder] = {
    "mlp": mlp,
    "confined": confined,
    "bounded": bounded,
    "sigmoid": sigmoid,
    "conv": conv,
    "conv-bounded": conv_bounded,
    "joint": joint,
    "conv-joint": conv_joint,
    "autoencoder": dense_energy,
    "conv-autoencoder": conv_energy,
    "resnet": residual,
    "resnet-bounded": residual_bounded,
    "resnet-joint": residual_joint,
}

ON_BITS: Mapping[str, Builder] = {"rbm": rbm, "ising": ising}
"""Energies of binary data alone."""

CRITICS: Mapping[str, Builder] = {
    **ENERGIES,
    "mlp": dense_critic,
    "minibatch": minibatch,
    "conv-minibatch": conv_minibatch,
    "resnet-minibatch": residual_minibatch,
}
"""Every energy, and what is no function of one point while it is trained."""

GENERATORS: Mapping[str, Builder] = {
    "mlp": DenseGenerator,
    "conv": ConvGenerator,
    "resnet": ResidualGenerator,
    "flow": FlowGenerator,
}

ENCODERS: Mapping[str, Builder] = {
    "mlp": DenseEncoder,
    "conv": ConvEncoder,
    "resnet": ResidualEncoder,
}

DECODERS: Mapping[str, Builder] = {
    "mlp": DenseDecoder,
    "conv": ConvDecoder,
    "resnet": ResidualDecoder,
}

AUTOENCODERS: Mapping[str, Builder] = {
    "mlp": dense_autoencoder,
    "conv": conv_autoencoder,
    "resnet": residual_autoencoder,
}

BELIEF_NETWORKS: Mapping[str, Builder] = {"sigmoid": SigmoidBeliefNetwork}

STUDENTS: Mapping[str, Builder] = {
    "vae": VAEStudent,
    "mixture": MixtureStudent,
    "flow": flow_student,
}

FLOWS: Mapping[str, Builder] = {"spline": spline}

NETWORKS: Mapping[str, Mapping[str, Builder]] = {
    # a ladder is no function of one point while it trains
    "energy": {**ENERGIES, **ON_BITS, "ladder": LadderNetwork},
    "generator": GENERATORS,
    "encoder": ENCODERS,
    "decoder": DECODERS,
    "belief_network": BELIEF_NETWORKS,
    "critic": CRITICS,
    "autoencoder": AUTOENCODERS,
    "student": STUDENTS,
    "flow": FLOWS,
}
"""Groups of built-in networks, which roles name."""
