"""A loss of a method in a loop of your own, without the trainer: python examples/own_loop.py [--quick]"""

import sys

import torch

from gibbsian.core import DataSpace
from gibbsian.core.measures import RealSpace
from gibbsian.data import toy_density
from gibbsian.evaluation import kl_to_model
from gibbsian.methods import ContrastiveDivergence, SamplerOptions
from gibbsian.networks import build_energy

steps = 20 if "--quick" in sys.argv else 1_000
torch.manual_seed(0)  # the network's first weights
moons, rng = toy_density("moons"), torch.Generator().manual_seed(0)
energy = build_energy(
    "confined", DataSpace((2,), "vector"), fourier_features=64, confinement_std=2.0
)
method = ContrastiveDivergence(
    energy, RealSpace((2,)), sampler=SamplerOptions(metropolis_step_std=1.0)
)
optimizer = torch.optim.Adam(energy.parameters(), 1e-3)
x_model = method.noise_points(512, rng)
for _ in range(steps):
    x_model = method.advance(x_model, rng)  # the negatives, carried from step to step
    loss = method.energy_loss(moons.sample(512, rng), x_model)
    optimizer.zero_grad()
    loss.value.backward()
    optimizer.step()
print(f"KL(data || model): {kl_to_model(moons.log_prob, energy, method.measure)} nats")
