"""What a network is built from: sizes and switches, one flat record for every built-in network."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import nn

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "silu": nn.SiLU,
    "relu": nn.ReLU,
    "leaky-relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
    "prelu": nn.PReLU,
}


@dataclass(frozen=True)
class NetworkOptions:
    """Sizes of a built-in network; what a network has no use for, it ignores.

    Args:
        width: units of each hidden dense layer.
        depth: number of hidden dense layers (mlp networks).
        activation: non-linearity; smooth ones suit Langevin sampling and Jacobians.
        fourier: number of random frequencies appended to vectors as sines and cosines; 0 for none.
        fourier_scale: standard deviation of these frequencies, in radians per unit of x.
        confinement_std: sigma of the confined and joint energies' |x|^2 / (2 sigma^2).
        experts: number K of Bernoulli experts of a bounded energy.
        channels: channels of the first convolution.
        batch_norm: normalise the hidden layers of a generator, auto-encoder or dense critic by batch.
        dropout: share of the hidden units of dense energies, critics and encoders that each
            training step leaves out.
        code: dimension of the latent space of a vae student or of a transition's auto-encoder.
        likelihood: of a vae student's decoder, bernoulli only on a box.
        variance: of a gaussian likelihood, in the networks' units.
        components: number of Gaussians of a mixture student.
        kernels: number of similarities that a minibatch critic computes between observations.
        layers: sizes of layers of bits from the data upwards, as 200,100,50, or 200,100,10g where g
            makes a layer Gaussian, or 4x-5l-20: five, geometrically spaced from 4 times the data's
            size down to 20.
        deterministic: tanh layers inside each conditional of such layers.
        logit_init_scale: how many times wider than others the weights of logits start over real
            numbers, about their standard deviation; over few numbers bits should be all but decided. Over
            bits the start is the authors'.
        classes: of a joint energy's or a ladder's classifier.
        noise: standard deviation of a ladder's noise, at every layer.
        factor: how much larger a super-resolution network makes a picture's sides.
        scales: octaves J of a scattering transform, whose maps are 2^J times smaller.
        orientations: directions L of its wavelets.
        order: of a scattering transform, 1 or 2.
        init_std: standard deviation of every weight and bias of an encoder or decoder at the start,
            0.1 in Kingma and Welling (2014); 0 leaves each layer's own law.
        time: let an energy take the noise level as a second input: what the diffusion bound needs.
    """

    width: int = 128
    depth: int = 2
    activation: Literal["silu", "relu", "leaky-relu", "tanh", "softplus", "prelu"] = "silu"
    fourier: int = 0
    fourier_scale: float = 2.0
    confinement_std: float = 1.0
    experts: int = 128
    channels: int = 32
    batch_norm: bool = False
    dropout: float = 0.0
    code: int = 32
    likelihood: Literal["gaussian", "bernoulli"] = "gaussian"
    variance: float = 0.001
    components: int = 64
    kernels: int = 16
    layers: str = "200,100,50,20"
    deterministic: int = 0
    logit_init_scale: float = 2.0
    classes: int = 10
    noise: float = 0.3
    factor: int = 2
    scales: int = 2
    orientations: int = 8
    order: int = 1
    init_std: float = 0.0
    time: bool = False

    def __post_init__(self) -> None:
        counts = ("width", "depth", "experts", "channels", "code", "components", "kernels")
        for name in (*counts, "classes", "factor", "scales", "orientations"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.order not in (1, 2):
            raise ValueError(f"the order of a scattering transform is 1 or 2, not {self.order}")
        if not 0 <= self.init_std < math.inf:
            raise ValueError(
                f"init_std must be 0 (each layer's own law) or positive, not {self.init_std}"
            )
        if self.fourier < 0:
            raise ValueError(f"fourier must be 0 (none) or a count, not {self.fourier}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is a share and must lie in [0, 1), not {self.dropout}")
        if not 0 <= self.noise < math.inf:
            raise ValueError(f"noise must be finite and not negative, not {self.noise}")
        if self.deterministic < 0:
            raise ValueError(f"deterministic must be 0 (none) or a count, not {self.deterministic}")
        if not 0 < self.logit_init_scale < math.inf:
            raise ValueError(
                f"logit_init_scale must be a positive number, not {self.logit_init_scale}"
            )
        for name in ("fourier_scale", "confinement_std", "variance"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        if self.likelihood not in ("gaussian", "bernoulli"):
            raise ValueError(f"the likelihood is gaussian or bernoulli, not {self.likelihood!r}")
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"unknown activation {self.activation!r}; choose from {', '.join(ACTIVATIONS)}"
            )

    def start(self, net: nn.Module) -> None:
        """Draw every parameter of ``net`` from N(0, init_std^2), where one is asked for."""
        if self.init_std > 0:
            for parameter in net.parameters():
                nn.init.normal_(parameter, std=self.init_std)

    def activate(self) -> nn.Module:
        """A new activation module."""
        return ACTIVATIONS[self.activation]()
