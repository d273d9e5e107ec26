"""A method's loss in a loop of your own, without the trainer.

python examples/own_loop.py [--quick]
"""

import sys

import torch

from gibbsian.data import density
from gibbsian.evaluation import kl_to_model
from gibbsian.measures import RealSpace
from gibbsian.methods import ContrastiveDivergence

steps = 20 if "--quick" in sys.argv else 2_000


class Energy(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layers = [torch.nn.Linear(2, 128), torch.nn.SiLU(), torch.nn.Linear(128, 128)]
        self.layers = torch.nn.Sequential(*layers, torch.nn.SiLU(), torch.nn.Linear(128, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [B, 2] -> [B], growing at infinity
        return self.layers(x).squeeze(1) + x.square().sum(1) / 8


torch.manual_seed(0)
moons, rng = density("moons"), torch.Generator().manual_seed(0)
method = ContrastiveDivergence(Energy(), RealSpace((2,)), kernel="mala", step_size=0.02, jump=1.0)
optimiser = torch.optim.Adam(method.energy.parameters(), 1e-3)
x_model = method.noise_points(512, rng)
for _ in range(steps):
    x_model = method.advance(x_model, rng)  # the negatives, carried from step to step
    loss = method.energy_loss(moons.sample(512, rng), x_model)
    optimiser.zero_grad()
    loss.value.backward()
    optimiser.step()

kl = kl_to_model(moons.log_prob, method.energy, method.measure)
print(f"KL(data || model) after {steps} steps: {kl} nats")
