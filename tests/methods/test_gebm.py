"""GEBM against its equations: losses, transforms, bases, schedule; a log-partition that is known."""

from __future__ import annotations

import itertools
import math
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from gibbsian import Model, train
from gibbsian.core import Interval, NotDefined, PlayerUpdate
from gibbsian.core.measures import Box, Counting, Gaussian, Measure, RealSpace, Undefined
from gibbsian.core.numerics import log_mean_exp
from gibbsian.core.protocols import HasEnergy, HasLatentTarget, HasLogProb
from gibbsian.evaluation import log_partition
from gibbsian.methods.gebm import GEBM
from gibbsian.methods.invertible import draw_with_log_density, log_density
from gibbsian.methods.smoothness import bounded
from gibbsian.models.refinement import in_stages
from gibbsian.samplers import Chains, latent_energy, run_chains, underdamped
from studies.real_nvp import FlowEnergy, RealNVP
from tests.methods.play import Stream, check_gradient, descend, gradients, player, reached

PRIOR = Gaussian((2,))
PLANE = RealSpace((2,))
OBJECTIVES = ["kale", "donsker-varadhan"]
BASES = ["implicit", "explicit", "proposal"]


class Dense(nn.Module):
    """A smooth energy of the plane: two layers and, if asked, a quadratic envelope."""

    def __init__(self, confinement_std: float = 0.0):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 1))
        self.confinement_std = confinement_std

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).squeeze(1) + self.confinement_std * x.square().sum(1)


class Affine(nn.Module):
    """x = L z + m with a lower-triangular L: the invertible base N(m, L L^T)."""

    def __init__(self) -> None:
        super().__init__()
        self.logs = nn.Parameter(torch.tensor([0.3, -0.2]))
        self.below = nn.Parameter(torch.tensor(0.4))
        self.m = nn.Parameter(torch.tensor([0.5, -0.1]))

    def factor(self) -> Tensor:
        a, b = self.logs.exp()
        return torch.stack([torch.stack([a, 0 * a]), torch.stack([self.below, b])])

    def forward(self, z: Tensor) -> Tensor:
        return z @ self.factor().T + self.m

    def forward_with_log_det(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self(z), self.logs.sum().expand(len(z))

    def inverse_with_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = torch.linalg.solve_triangular(self.factor(), (x - self.m).T, upper=False).T
        return z, -self.logs.sum().expand(len(x))

    def log_prob(self, x: Tensor) -> Tensor:
        law = torch.distributions.MultivariateNormal(self.m, scale_tril=self.factor())
        return law.log_prob(x)


def gebm(base: str = "implicit", confinement_std: float = 0.3, **options: object) -> GEBM:
    """A small game on the plane in float64, on an affine base; A is away from its optimum."""
    method = GEBM(
        Dense(confinement_std), Affine(), PRIOR, PLANE, base_distribution=base, **options
    ).double()
    with torch.no_grad():
        method.A.fill_(0.2 if method.A.requires_grad else 0.0)
    return method


def noise(n: int, seed: int, d: int = 2) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=rng, dtype=torch.float64)


def uniform(n: int) -> Tensor:
    return torch.rand(n, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def base_of(method: GEBM) -> Affine:
    return cast("Affine", method.generator)


def both_energies(method: GEBM, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """E at data and at base samples, written out: for a proposal E = r + log q."""
    y = base_of(method)(z)
    E_data, E_base = method.potential(x), method.potential(y)
    if method.base_distribution == "proposal":
        E_data, E_base = E_data + base_of(method).log_prob(x), E_base + base_of(method).log_prob(y)
    return E_data, E_base


def written_out(method: GEBM, x: Tensor, z: Tensor) -> Tensor:
    """F(E + A) or L(E)."""
    E_data, E_base = both_energies(method, x, z)
    if method.energy_objective == "kale":
        return -(E_data + method.A).mean() - (-(E_base + method.A)).exp().mean() + 1
    return -E_data.mean() - (-E_base).exp().mean().log()


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_energy_ascends_the_objective(objective: str, base: str) -> None:
    method = gebm(
        base, energy_objective=objective, gradient_penalty_weight=0.0, base_samples_per_data_row=2
    )
    x, z, mix = noise(16, 1), noise(32, 2), uniform(16)

    def loss() -> Tensor:
        return method.energy_loss(x, z, mix).value

    def truth() -> Tensor:
        return -written_out(method, x, z)

    assert torch.allclose(loss(), truth(), rtol=1e-9, atol=1e-12)
    check_gradient(method, "energy", loss, truth)
    assert not reached(loss(), method.generator)
    moving = {"potential", "A"} if objective == "kale" else {"potential"}
    assert {name.split(".")[0] for name in player(method, "energy")} == moving


def test_penalties() -> None:
    """I = ||psi||^2 / d, mean |grad E|^2 and mean (|grad E| - 1)^2 between data and base."""
    weights = {
        "gradient_penalty_weight": 0.7,
        "unit_gradient_penalty_weight": 0.3,
        "parameter_l2": 2.0,
    }
    method, x, z, mix = gebm(**weights), noise(8, 1), noise(8, 2), uniform(8)

    @torch.enable_grad()
    def truth() -> Tensor:
        y = base_of(method)(z).detach()
        between = (mix[:, None] * x + (1 - mix[:, None]) * y).requires_grad_()
        energy = method.potential(between).sum()
        (slope,) = torch.autograd.grad(energy, between, create_graph=True)
        square = slope.square().sum(1)
        parameters = torch.cat([p.flatten() for p in method.potential.parameters()])
        value = 0.7 * square.mean() + 0.3 * (square.sqrt() - 1).square().mean()
        return value + 2.0 * parameters.square().mean() - written_out(method, x, z)

    def loss() -> Tensor:
        return method.energy_loss(x, z, mix).value

    assert torch.allclose(loss(), truth(), rtol=1e-9, atol=1e-12)
    check_gradient(method, "energy", loss, truth)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("update", ["self-normalised", "learned"])
def test_base_descends_the_divergence(update: str, base: str) -> None:
    method = gebm(base, importance_weight_normalisation=update)
    x, z = noise(16, 1), noise(24, 2)

    def loss() -> Tensor:
        return method.base_loss(x, z).value

    def truth() -> Tensor:
        if update == "learned":
            return written_out(method, x, z)
        E_data, E_base = both_energies(method, x, z)
        return -E_data.mean() - (-E_base).exp().mean().log()

    assert torch.allclose(loss(), truth(), rtol=1e-9, atol=1e-12)
    check_gradient(method, "base", loss, truth)
    assert all(name.startswith("generator.") for name in player(method, "base"))


def test_base_gradient_weighs_samples_by_the_model() -> None:
    """B4 by hand: sum_m w_m (dG)^T grad E(y_m), w = softmax(-E), towards lower energy."""
    method, z = gebm(), noise(24, 2)
    move = PlayerUpdate("base", method.base_loss, (noise(16, 1), z))
    y = base_of(method)(z).detach().requires_grad_()
    energy = method.potential(y)
    (slope,) = torch.autograd.grad(energy.sum(), y)
    w = torch.softmax(-energy.detach(), 0)
    found = gradients(method, move)["generator.m"]
    assert torch.allclose(found, (w[:, None] * slope).sum(0), rtol=1e-9, atol=1e-12)


def test_a_perfect_base_is_left_alone() -> None:
    """With a constant energy no base sample is moved."""
    method = gebm(confinement_std=0.0)
    with torch.no_grad():
        method.potential.layers[2].weight.zero_()
    move = PlayerUpdate("base", method.base_loss, (noise(16, 1), noise(24, 2)))
    assert all(torch.equal(g, torch.zeros_like(g)) for g in gradients(method, move).values())


def test_gradient_transforms() -> None:
    g = torch.tensor([-3.0, -1.0, -0.01, 0.0, 0.01, 1.0, 3.0])
    found = bounded({"potential.w": g, "A": torch.tensor(1 - 0.25)})
    assert torch.allclose(found["potential.w"], 2 * g / (1 + g * g))
    assert float(found["A"]) == pytest.approx(3.0)  # (1 - m) / m at m = 1/4
    # From far above, the step is cut instead of overshooting or becoming infinite.
    assert float(bounded({"A": torch.tensor(1.0)})["A"]) == pytest.approx(100.0)
    assert float(bounded({"A": torch.tensor(-(math.e**20))})["A"]) == pytest.approx(-1.0)


@pytest.mark.parametrize("transformed", [True, False])
def test_only_the_energy_is_transformed(transformed: bool) -> None:
    method = gebm(
        soft_clip_gradients=transformed, energy_burst_steps=2, log_z_init_batches=0
    ).float()
    moves = list(method.round(0, Stream(8), torch.Generator().manual_seed(0)))
    chosen = bounded if transformed else None
    assert [move.transform for move in moves] == [chosen, chosen, None]


def test_newton_steps_of_A_converge_fast_from_near() -> None:
    """a' = a - (1 - m)/m squares the error: Newton on A - log Z + exp(log Z - A)."""
    a = torch.tensor(0.3, dtype=torch.float64)
    errors = []
    for _ in range(4):
        errors.append(abs(float(a)))
        a = a - bounded({"A": 1 - torch.exp(-a)})["A"]
    assert all(late < early**2 for early, late in itertools.pairwise(errors))


def test_floor() -> None:
    """relu(E + c) - c: no lower than -c, where there is no gradient either."""
    method = gebm(energy_floor=1.5)
    with torch.no_grad():
        method.potential.layers[2].bias.fill_(-2.0)
    x = noise(200, 3)
    raw, found = method.potential(x), method.energy(x)
    assert torch.allclose(found, raw.clamp_min(-1.5)) and 20 < int((raw < -1.5).sum()) < 180
    x = x[raw < -1.5].requires_grad_()
    (slope,) = torch.autograd.grad(method.energy(x).sum(), x)
    assert torch.equal(slope, torch.zeros_like(slope))


@pytest.mark.parametrize("index", [0, 1, 3, 4])
def test_schedule_with_bursts(index: int) -> None:
    method = gebm(
        energy_steps=2,
        energy_burst_steps=5,
        rounds_between_energy_bursts=3,
        base_samples_per_data_row=3,
    ).float()
    stream = Stream(8)
    moves = list(method.round(index, stream, torch.Generator().manual_seed(index)))
    energy_steps = 5 if index % 3 == 0 else 2
    assert [move.player for move in moves] == ["energy"] * energy_steps + ["base"]
    assert len(stream.taken) == energy_steps + 1
    assert all(torch.equal(m.inputs[0], x) for m, x in zip(moves, stream.taken, strict=True))
    noises = torch.cat([move.inputs[1] for move in moves])
    assert noises.shape == (8 * 3 * energy_steps + 8, 2)
    assert len(torch.unique(noises)) == noises.numel()
    mixes = torch.cat([move.inputs[2] for move in moves[:-1]])
    assert len(torch.unique(mixes)) == len(mixes) == 8 * energy_steps
    assert mixes.min() >= 0 and mixes.max() < 1


def test_A_starts_at_the_log_partition_of_the_first_batches() -> None:
    method = gebm(energy_burst_steps=1).float()
    log_Z = log_mean_exp(-method.potential(base_of(method)(noise(200_000, 0).float())))
    found: list[float] = []
    for seed in (0, 1):  # the same whatever the process's own noise
        next(method.round(0, Stream(256), torch.Generator().manual_seed(seed)))
        # 25 600 samples, weights that spread by about 1: 4.5 standard errors are 0.03.
        assert method.A.item() == pytest.approx(log_Z.item(), abs=0.03)
        found.append(method.A.item())
    assert found[0] == found[1]
    with torch.no_grad():
        method.potential.layers[2].bias.add_(1.0)
    next(method.round(1, Stream(256), torch.Generator().manual_seed(0)))
    assert method.A.item() == found[0]
    unset = gebm(log_z_init_batches=0).float()
    next(unset.round(0, Stream(8), torch.Generator().manual_seed(0)))
    assert unset.A.item() == pytest.approx(0.2)


def test_a_base_that_is_not_trained_stays_as_it_is() -> None:
    generator = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    generator.requires_grad_(False)
    method = GEBM(
        Dense(), generator, PRIOR, PLANE, train_base=False, energy_burst_steps=9, energy_steps=2
    )
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    moves = descend(method, method.round(0, Stream(8), torch.Generator().manual_seed(0)), 0.1)
    assert [move.player for move in moves] == ["energy", "energy"]
    assert set(method.players) == {"energy"} and not generator.training
    assert all(torch.equal(v, before[name]) for name, v in generator.state_dict().items())


def test_a_frozen_generator_through_the_front_door() -> None:
    """Handed in with nothing to train: refused where the base must move, kept to the bit where not."""
    training = {"batch": 16, "rounds": 2, "device": "cpu"}
    x = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    generator = Affine().requires_grad_(False)

    def trained(**more: object) -> Model:
        networks = {"generator": generator}
        return train(
            "gebm",
            x,
            networks=networks,
            training=training,
            latent_dim=2,
            energy_burst_steps=2,
            **more,
        )

    with pytest.raises(ValueError, match="set train_base to False"):
        trained()
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    method = trained(train_base=False).method
    after = method.generator.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert set(method.players) == {"energy"}
    with pytest.raises(ValueError, match=r"player 'generator' .* has no parameters to train"):
        train("gan", x, networks={"generator": generator}, training=training, latent_dim=2)


def test_base_moves_and_samples_leave_batch_statistics_alone() -> None:
    generator = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    method = GEBM(Dense(), generator, PRIOR, PLANE, energy_burst_steps=1)
    energy_move, base_move = method.round(0, Stream(8), torch.Generator().manual_seed(0))
    buffers = {name: b.clone() for name, b in method.named_buffers()}
    gradients(method, energy_move)
    method.sample(5, torch.Generator().manual_seed(0))
    assert all(torch.equal(b, buffers[name]) for name, b in method.named_buffers())
    gradients(method, base_move)
    assert not all(torch.equal(b, buffers[name]) for name, b in method.named_buffers())


def test_density_of_the_base_in_both_directions() -> None:
    base, z = Affine().double(), noise(9, 4)
    x, log_q = draw_with_log_density(base, PRIOR, z)
    assert torch.allclose(log_q, base.log_prob(x), rtol=1e-9, atol=1e-12)
    assert torch.allclose(log_density(base, PRIOR, x), log_q, rtol=1e-9, atol=1e-12)


def test_energy_over_its_measure() -> None:
    """implicit: E against the generator's distribution; explicit: E - log q; proposal: the network's own."""
    x = noise(9, 4)
    for base in BASES:
        method = gebm(base)
        expected = method.potential(x)
        if base == "explicit":
            expected = expected - base_of(method).log_prob(x)
        assert torch.allclose(method.energy(x), expected, rtol=1e-9, atol=1e-12)
        assert method.latent_target == ("tilted" if base == "implicit" else "energy")
        assert isinstance(method, HasEnergy) and isinstance(method, HasLatentTarget)
        assert not isinstance(method, HasLogProb)
    assert isinstance(gebm("implicit").measure, Undefined)
    assert gebm("explicit").measure == gebm("proposal").measure == PLANE


@pytest.mark.parametrize("base", ["explicit", "proposal"])
def test_log_partition_is_that_of_the_base_tilted_by_the_energy(base: str) -> None:
    """exp(-E) dB integrates to the integral of exp(-energy): the + sign of log q in E = r + log q."""
    method = gebm(base).float()
    rng = torch.Generator().manual_seed(0)
    exact = log_partition(
        method.energy,
        cast("Measure", method.measure),
        rng=rng,
        reference_points=noise(50, 0).float(),
    )
    assert isinstance(exact, Interval) and exact.lower.standing == "exact"
    with torch.no_grad():
        E_base = both_energies(method, noise(4, 1).float(), noise(20_000, 2).float())[1]
    # Weights spread by less than twice their mean: 4.5 standard errors are below 0.06.
    assert float(log_mean_exp(-E_base)) == pytest.approx(exact.lower.value, abs=0.06)
    implicit = gebm("implicit")
    undefined = log_partition(implicit.energy, implicit.measure, rng=rng)
    assert isinstance(undefined, NotDefined) and "generator's distribution" in undefined.why


def test_latent_targets_are_the_same_law() -> None:
    """At inverse temperature 1 the explicit model pulled back is the tilted latent distribution."""
    implicit, explicit = gebm("implicit"), gebm("explicit")
    explicit.load_state_dict(implicit.state_dict())
    z = noise(6, 1)
    tilted = latent_energy(implicit.energy, implicit.generator, PRIOR, target="tilted")(z)
    pulled = latent_energy(explicit.energy, explicit.generator, PRIOR, target="energy")
    assert torch.allclose(pulled(z), tilted, rtol=1e-9, atol=1e-10)
    # A generator that does not know its volume is differentiated instead.
    plain = latent_energy(explicit.energy, explicit.generator.forward, PRIOR, target="energy")
    assert torch.allclose(plain(z), tilted, rtol=1e-9, atol=1e-10)


def half_square(z: Tensor) -> Tensor:
    return 0.5 * z.square().sum(1)


def test_step_sizes_fall_in_stages() -> None:
    """Kinetic chains of 50 steps, a tenth of the step size every 20; one stage is a plain run."""
    kernel, z0 = underdamped(half_square, 0.1, friction=1.0), noise(5, 1).float()

    def chains(stage: int, decay: float) -> Chains:
        rng = torch.Generator().manual_seed(0)
        return in_stages(kernel, z0, 50, stage, decay, rng)

    plain = run_chains(kernel, z0, 50, torch.Generator().manual_seed(0))
    assert torch.equal(chains(50, 0.5).x, plain.x)
    assert torch.equal(chains(20, 1.0).x, plain.x)  # velocities are kept between stages
    staged = chains(20, 0.1)
    assert staged.draws.shape == (50, 5, 2) and staged.steps == 50
    assert torch.equal(staged.draws[:20], plain.draws[:20])
    moves = staged.draws.diff(dim=0).square().mean((1, 2)).sqrt()
    assert moves[19:39].mean() < 0.2 * moves[:19].mean()
    assert moves[39:].mean() < 0.2 * moves[19:39].mean()
    assert staged.state.step_size.item() == pytest.approx(0.1 * 0.1**2)
    assert torch.allclose(staged.acceptance, torch.ones(5)) and staged.evaluations == 50


def test_a_known_log_partition_is_learned() -> None:
    """E = -log p_psi + sum_j mean|psi_j|: A must follow -sum_j mean|psi_j| while psi is trained."""
    flow = RealNVP(2, hidden=8, blocks=2)
    energy = FlowEnergy(flow, 2)
    base = Affine()
    options = {
        "base_distribution": "proposal",
        "train_base": False,
        "energy_steps": 1,
        "base_samples_per_data_row": 20,
    }
    method = GEBM(energy, base, PRIOR, PLANE, gradient_penalty_weight=0.0, **options)
    rng = torch.Generator().manual_seed(0)
    stream = Stream(64)
    optimizer = torch.optim.Adam(method.parameters(), 1e-3, betas=(0.5, 0.9))
    errors = []
    rounds = 500
    for index in range(rounds):
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * (1 - index / rounds) ** 2
        for move in method.round(index, stream, rng):
            found = move.transform(gradients(method, move))
            for name, parameter in player(method, move.player).items():
                parameter.grad = found[name]
            optimizer.step()
        truth = energy.log_partition().item()
        errors.append(abs(method.A.item() / truth - 1))
    assert sorted(errors[-rounds // 10 :])[rounds // 20] < 2e-3


def test_sample_is_the_base() -> None:
    method = gebm().float()
    x = method.sample(7, torch.Generator().manual_seed(3))
    z = PRIOR.sample(7, torch.Generator().manual_seed(3))
    assert torch.equal(x, method.generator(z)) and not x.requires_grad
    with pytest.raises(ValueError, match="unconditionally"):
        method.sample(2, torch.Generator(), given=torch.zeros(2))


def test_logs_are_what_they_say() -> None:
    method, x, z, mix = gebm(), noise(16, 1), noise(16, 2), uniform(16)
    logs = method.energy_loss(x, z, mix).logs
    E_data, E_base = both_energies(method, x, z)
    assert torch.allclose(logs["energy_data"], E_data.mean())
    assert torch.allclose(logs["energy_base"], E_base.mean())
    assert torch.allclose(logs["kale"], written_out(method, x, z))
    assert torch.allclose(logs["log_Z"], (-E_base).exp().mean().log())
    assert torch.equal(logs["A"], method.A.detach())
    assert "A" not in gebm(energy_objective="donsker-varadhan").energy_loss(x, z, mix).logs


def test_unusable_options() -> None:
    still = Affine().requires_grad_(False)
    with pytest.raises(ValueError, match="set train_base to False"):
        GEBM(Dense(), still, PRIOR, PLANE)
    with pytest.raises(ValueError, match="energy has no parameters"):
        GEBM(Dense().requires_grad_(False), still, PRIOR, PLANE, train_base=False)
    with pytest.raises(ValueError, match="use an invertible generator"):
        GEBM(Dense(), nn.Linear(2, 2), PRIOR, PLANE, base_distribution="explicit")
    with pytest.raises(ValueError, match="needs an energy with a normaliser"):
        GEBM(Dense(), Affine(), PRIOR, Undefined((2,), "why"), base_distribution="proposal")
    with pytest.raises(ValueError, match="continuous data"):
        GEBM(Dense(), Affine(), PRIOR, Counting((2,)), base_distribution="explicit")
    with pytest.raises(
        ValueError, match="energy_objective kale or importance_weight_normalisation"
    ):
        gebm(energy_objective="donsker-varadhan", importance_weight_normalisation="learned")
    for name in (
        "energy_steps",
        "energy_burst_steps",
        "rounds_between_energy_bursts",
        "base_samples_per_data_row",
    ):
        with pytest.raises(ValueError, match=f"{name} must be a whole number of at least 1"):
            gebm(**{name: 0})
    for name in (
        "energy_floor",
        "gradient_penalty_weight",
        "unit_gradient_penalty_weight",
        "parameter_l2",
    ):
        with pytest.raises(ValueError, match=f"{name} must be finite"):
            gebm(**{name: -1.0})


def test_a_generator_of_another_shape() -> None:
    method = GEBM(Dense(), nn.Linear(2, 3), PRIOR, PLANE)
    with pytest.raises(ValueError, match=r"points of shape \[3\], the data have \[2\]"):
        method.energy_loss(torch.zeros(4, 2), torch.zeros(4, 2), torch.zeros(4))


def test_explicit_keeps_a_box_and_needs_no_confinement() -> None:
    box = Box((2,), -3.0, 3.0)
    assert GEBM(Dense(), Affine(), PRIOR, box, base_distribution="explicit").measure == box
    loose = GEBM(Dense(), Affine(), PRIOR, Undefined((2,), "why"), base_distribution="explicit")
    assert loose.measure == PLANE
