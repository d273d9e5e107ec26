"""What VGAN's two generators share: the experts' entropy surrogate and both players' losses."""

from __future__ import annotations

from typing import Protocol, cast

import torch
from torch import Tensor, nn

from gibbsian.core import Loss, check_energy
from gibbsian.core.healthy_ranges import relative_spread


def entropy_surrogate(s: Tensor) -> Tensor:
    """H~ = sum_j h(mean_i s_j(x_i)) in nats (equation 9), from experts ``s [B, K]``; scalar.

    0 <= mean E <= H~ <= K ln 2, since H~ - mean E is the sum over experts of the information that
    expert j has about which sample it sees. Neither an estimate nor a bound of an entropy: two
    samples with complementary codes already reach K ln 2.

    >>> float(entropy_surrogate(torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0]])))  # 3 ln 2
    2.079441...
    """
    mean = s.mean(0)
    return (torch.special.entr(mean) + torch.special.entr(1.0 - mean)).sum()


class ExpertEnergy(Protocol):
    """An energy computed from experts ``s [B, K]`` in [0, 1], as the surrogate needs it."""

    def experts(self, x: Tensor) -> Tensor: ...

    def energy_from_experts(self, s: Tensor) -> Tensor: ...


def check_experts(energy: nn.Module, surrogate: bool, expert_entropy_weight: float) -> None:
    """ValueError where the surrogate or a weight of it at the data is asked of one without experts."""
    if not hasattr(energy, "experts") and (surrogate or expert_entropy_weight > 0):
        raise ValueError(
            "the entropy surrogate and expert_entropy_weight read the energy's experts, which this "
            "energy has not; use the bounded energy, or entropy 'none' and expert_entropy_weight 0"
        )


def energy_and_surrogate(energy: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """mean E(x) and H~ from one pass of the energy's experts."""
    network = cast("ExpertEnergy", energy)
    s = network.experts(x)
    mean = check_energy(network.energy_from_experts(s), len(x)).mean()
    return mean, entropy_surrogate(s)


def following_loss(energy: nn.Module, x_model: Tensor, surrogate: bool) -> Loss:
    """mean E(x_model) - H~(x_model), which the generator descends; without H~ if not asked for."""
    if not surrogate:
        mean = check_energy(energy(x_model), len(x_model)).mean()
        return Loss(mean, {"energy_model": mean.detach()})
    mean, entropy = energy_and_surrogate(energy, x_model)
    logs = {"energy_model": mean.detach(), "entropy_model": entropy.detach()}
    return Loss(mean - entropy, logs)


def contrast_loss(
    energy: nn.Module, x: Tensor, x_model: Tensor, expert_entropy_weight: float
) -> Loss:
    """mean E(x) - mean E(x_model) - expert_entropy_weight H~(x), which the energy descends."""
    energy_model = check_energy(energy(x_model), len(x_model)).mean()
    logs = {"relative_spread": relative_spread(x_model, x)}
    if expert_entropy_weight == 0:
        energy_data = check_energy(energy(x), len(x)).mean()
        logs |= {"energy_data": energy_data.detach(), "energy_model": energy_model.detach()}
        return Loss(energy_data - energy_model, logs)
    energy_data, entropy_data = energy_and_surrogate(energy, x)
    logs |= {
        "energy_data": energy_data.detach(),
        "energy_model": energy_model.detach(),
        "entropy_data": entropy_data.detach(),
    }
    return Loss(energy_data - energy_model - expert_entropy_weight * entropy_data, logs)
