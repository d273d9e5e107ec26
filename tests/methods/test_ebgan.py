"""EBGAN against its lemma, its theorems' identity and the closed forms of the pulling-away term."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from torch import Tensor, nn

from gibbsian.config.recipes import recipe
from gibbsian.core import DataSpace
from gibbsian.core.measures import Gaussian, RealSpace, Undefined
from gibbsian.core.protocols import HasEnergy, HasLatentTarget
from gibbsian.methods.ebgan import EBGAN, margin_loss, pull_away
from gibbsian.models.build import assemble
from studies.equilibria import measured, play
from tests.methods.play import Stream, check_gradient, descend, gradients, player, reached
from tests.nets import build_energy, build_generator

OPTIONS = dict(width=6, depth=1, activation="tanh")
PRIOR = Gaussian((3,))
PLANE = DataSpace((2,), "vector")


def ebgan(energy: str = "autoencoder", **options: object) -> EBGAN:
    """A small pair in the plane, in float64."""
    network = build_energy(energy, PLANE, OPTIONS)
    generator = build_generator("mlp", PLANE, 3, OPTIONS)
    return EBGAN(network, generator, PRIOR, RealSpace((2,)), **options).double()


def noise(n: int, d: int, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=rng, dtype=torch.float64)


def scalar(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


@pytest.mark.parametrize(("a", "b"), [(1, 2), (2, 1), (3, 3), (0, 2), (2, 0)])
def test_lemma_1(a: int, b: int) -> None:
    """Phi(y) = a y + b [m - y]^+ over y >= 0 is least at m if a < b, else at 0; the least is m min(a, b).

    a and b are how often the point is drawn by the data and by the generator, of 5 each; the rest
    of the data lie where E = 0, the rest of the samples where E is above the margin.
    """
    m = 1.5
    y = torch.linspace(0, 3, 301, dtype=torch.float64)
    values = []
    for height in y:
        energy_data = torch.cat([height.expand(a), scalar(0.0).expand(5 - a)])
        energy_model = torch.cat([height.expand(b), scalar(9.0).expand(5 - b)])
        values.append(5 * margin_loss(energy_data, energy_model, scalar(m)))
    phi = torch.stack(values)
    assert phi.min().item() == pytest.approx(m * min(a, b), abs=1e-12)
    best = y[phi <= phi.min() + 1e-12]
    assert best.min().item() == pytest.approx(m if a < b else 0.0, abs=1e-12)
    if a > 0:
        assert best.max().item() == pytest.approx(m if a <= b else 0.0, abs=1e-12)


def test_least_value_is_the_margin_times_the_overlap() -> None:
    """min over D of V = m (1 - TV(p_data, p_G)), at D* = m where p_data < p_G, 0 elsewhere.

    Four states, ten draws each side with exact proportions; V is convex and piecewise linear in D
    with kinks at 0 and m only, so that its least value is at a vertex of {0, m}^4.
    """
    m = 0.7
    data = torch.tensor([0] * 5 + [1] * 3 + [2] * 2)
    model = torch.tensor([0] * 1 + [1] * 3 + [2] * 4 + [3] * 2)
    p = torch.bincount(data, minlength=4).double() / 10
    q = torch.bincount(model, minlength=4).double() / 10
    overlap = m * (1 - 0.5 * (p - q).abs().sum().item())

    def value(D: Tensor) -> float:
        return margin_loss(D[data], D[model], scalar(m)).item()

    best = m * (p < q).double()
    assert value(best) == pytest.approx(overlap, abs=1e-9)
    corners = (torch.tensor(c, dtype=torch.float64) for c in itertools.product((0.0, m), repeat=4))
    assert min(value(D) for D in corners) == pytest.approx(overlap, abs=1e-9)
    rng = torch.Generator().manual_seed(0)
    others = 2 * m * torch.rand(200, 4, generator=rng, dtype=torch.float64)
    assert min(value(D) for D in others) >= overlap - 1e-9


@pytest.mark.parametrize("level", [0.0, 0.3, 0.7])
def test_a_flat_energy_is_an_equilibrium(level: float) -> None:
    """Theorem 2: with p_G = p_data every constant D in [0, m] has the equilibrium's value V = m."""
    D = torch.full((10,), level, dtype=torch.float64)
    assert margin_loss(D, D, scalar(0.7)).item() == pytest.approx(0.7, abs=1e-12)


def test_the_game_on_a_table_ends_at_a_flat_energy() -> None:
    """Theorem 2, played: p_G = p_data, V = m, E constant on the data; it was not on the way.

    Off the data it need not be: cells without data keep an energy of at least that constant. With
    masses of tenths on five cells, and ties that count a half, an AUROC is a whole number of
    hundredths; on the way it is 60 of them again and again, which sums of doubles round either way.
    """
    p = torch.tensor([0.0, 0.1, 0.2, 0.4, 0.2, 0.1, 0.0], dtype=torch.float64)
    m = 0.7
    course = list(play(p, m, 4_000, 0.1))
    found = [measured(p, q, E) for q, E in course]
    assert max(row["deviation"] for row in found) > 0.2 * m
    hundredths = [round(100 * row["auroc"]) for row in found]
    assert all(abs(100 * row["auroc"] - n) < 1e-9 for row, n in zip(found, hundredths, strict=True))
    assert min(hundredths[1:20]) >= 60
    (q, E), last = course[-1], found[-1]
    assert last["tv"] < 1e-3 and last["deviation"] < 0.01 * m
    assert (p @ E + q @ (m - E).clamp_min(0)).item() == pytest.approx(m, abs=1e-3)
    assert bool((E[p == 0] >= p @ E - 0.01 * m).all())


def test_hinge_is_per_sample() -> None:
    """Of energies 0 and 10 at margin 5: mean of hinges 2.5; the hinge of the mean would be 0."""
    value = margin_loss(scalar(1.0).expand(2), torch.tensor([0.0, 10.0]).double(), scalar(5.0))
    assert value.item() == pytest.approx(1.0 + 2.5)


def test_pull_away_closed_forms() -> None:
    one = noise(1, 5, 0)
    lengths = torch.tensor([[0.5], [1.0], [-2.0], [3.0]], dtype=torch.float64)
    assert pull_away(lengths * one).item() == pytest.approx(1.0, abs=1e-12)
    assert pull_away(torch.eye(6, dtype=torch.float64)).item() == pytest.approx(0.0, abs=1e-12)
    S = noise(7, 4, 1)
    pairs = [
        (torch.dot(S[i], S[j]) / (S[i].norm() * S[j].norm())) ** 2
        for i in range(7)
        for j in range(7)
        if i != j
    ]
    assert pull_away(S).item() == pytest.approx(float(sum(pairs)) / 42, abs=1e-12)
    # The cosine's square has mean 1/s and variance 2 (s - 1) / (s^2 (s + 2)); 400 codes make 79800
    # pairs, pairwise independent: four standard errors (a false alarm in 16000).
    for s in (3, 20):
        error = (2 * (s - 1) / (s**2 * (s + 2)) / 79_800) ** 0.5
        assert abs(pull_away(noise(400, s, 2)).item() - 1 / s) < 4 * error
    with pytest.raises(ValueError, match="at least 2"):
        pull_away(one)


def test_a_dead_code_is_no_fault() -> None:
    S = torch.cat([torch.zeros(1, 3), torch.eye(3)]).double().requires_grad_()
    value = pull_away(S)
    assert value.item() == pytest.approx(0.0, abs=1e-12)
    assert torch.isfinite(torch.autograd.grad(value, S)[0]).all()


def error_of(method: EBGAN, x: Tensor, noisy: Tensor | None = None) -> Tensor:
    """The auto-encoder's energy, written out for the small network."""
    code = torch.tanh(
        (x if noisy is None else noisy) @ weight(method, "encoder.layers.1").T
        + bias(method, "encoder.layers.1")
    )
    back = code @ weight(method, "decoder.0").T + bias(method, "decoder.0")
    return (back - x).square().sum(1).sqrt()


def weight(method: EBGAN, name: str) -> Tensor:
    return method.energy.get_parameter(f"{name}.weight")


def bias(method: EBGAN, name: str) -> Tensor:
    return method.energy.get_parameter(f"{name}.bias")


@pytest.mark.parametrize("denoise", [0.0, 0.5])
def test_energy_descends_error_of_data_plus_hinge_of_samples(denoise: float) -> None:
    method, x, z = ebgan(denoising_noise_std=denoise), noise(12, 2, 1), noise(12, 3, 2)
    margin = error_of(method, method.generator(z)).detach().median() + 1e-3
    noisy = x + denoise * noise(12, 2, 3)
    assert torch.allclose(method.energy(x), error_of(method, x), atol=1e-12)

    def truth() -> Tensor:
        samples = error_of(method, method.generator(z))
        return error_of(method, x, noisy).mean() + (margin - samples).clamp_min(0).mean()

    def loss() -> Tensor:
        return method.energy_loss(x, noisy, z, margin).value

    assert torch.allclose(loss(), truth(), atol=1e-12)
    check_gradient(method, "energy", loss, truth)


@pytest.mark.parametrize("weight_", [0.0, 0.1, 3.0])
def test_generator_descends_error_plus_weighted_pull_away(weight_: float) -> None:
    method, z = ebgan(pull_away=weight_), noise(12, 3, 2)

    def truth() -> Tensor:
        x = method.generator(z)
        code = method.energy.features(x)
        return error_of(method, x).mean() + weight_ * pull_away(code)

    def loss() -> Tensor:
        return method.generator_loss(z).value

    assert torch.allclose(loss(), truth(), atol=1e-12)
    check_gradient(method, "generator", loss, truth)


def test_the_generator_s_loss_has_no_hinge() -> None:
    """Far above the margin the generator still has gradients."""
    method, z = ebgan(margin=1e-3), noise(8, 3, 2)
    assert method.energy(method.generator(z)).min() > 1e-3
    found = torch.autograd.grad(method.generator_loss(z).value, method.generator.parameters())
    assert any(g.abs().max() > 1e-3 for g in found)


def test_the_pulling_away_term_moves_the_generator_only() -> None:
    plain, pulled = ebgan(), ebgan(pull_away=5.0)
    pulled.load_state_dict(plain.state_dict())
    x, z = noise(8, 2, 1), noise(8, 3, 2)
    values = [m.energy_loss(x, x, z, scalar(2.0)).value for m in (plain, pulled)]
    assert torch.equal(*values)
    assert not reached(values[1], pulled.generator) and reached(values[1], pulled.energy)
    assert pulled.generator_loss(z).value > plain.generator_loss(z).value
    assert set(player(pulled, "generator")).isdisjoint(player(pulled, "energy"))
    assert all(name.startswith("generator.") for name in player(pulled, "generator"))


def test_logs_are_what_they_say() -> None:
    method, x, z = ebgan(pull_away=0.1), noise(8, 2, 1), noise(8, 3, 2)
    samples = method.generator(z)
    logs = method.energy_loss(x, x, z, scalar(1.0)).logs
    assert torch.allclose(logs["energy_data"], method.energy(x).mean())
    assert torch.allclose(logs["energy_model"], method.energy(samples).mean())
    logs = method.generator_loss(z).logs
    assert torch.allclose(logs["energy_model"], method.energy(samples).mean())
    assert torch.allclose(logs["pull_away"], pull_away(method.energy.features(samples)))


def test_one_step_of_each_player_on_one_batch() -> None:
    method, stream = ebgan(margin=3.0, denoising_noise_std=0.5).float(), Stream(500)
    moves = list(method.round(4, stream, torch.Generator().manual_seed(0)))
    assert [move.player for move in moves] == ["energy", "generator"]
    x, noisy, z, margin = moves[0].inputs
    assert torch.equal(x, stream.taken[0]) and len(stream.taken) == 1
    assert margin.ndim == 0 and margin.item() == 3.0
    assert not torch.equal(z, moves[1].inputs[0]) and z.shape == (500, 3)
    # 1000 numbers: the standard deviation's error is 2.2 %, the band is more than four of them.
    assert (noisy - x).std().item() == pytest.approx(0.5, rel=0.1)
    plain = next(ebgan().float().round(0, Stream(5), torch.Generator().manual_seed(0)))
    assert torch.equal(plain.inputs[0], plain.inputs[1])


def test_the_margin_falls_to_zero_and_the_generator_stops_there() -> None:
    method, stream = ebgan(margin=2.0, margin_decay_rounds=4).float(), Stream(5)
    margins, players = [], []
    for index in range(6):
        moves = list(method.round(index, stream, torch.Generator().manual_seed(0)))
        margins.append(method.margin_at(index))
        players.append(len(moves))
        if index < 4:
            assert moves[0].inputs[3].item() == margins[-1]
        else:  # no samples any more: what is left is the data's energy
            value = moves[0].loss(*moves[0].inputs).value
            torch.testing.assert_close(value, method.energy(moves[0].inputs[0]).mean())
    assert margins == [2.0, 1.5, 1.0, 0.5, 0.0, 0.0]
    assert players == [2, 2, 2, 2, 1, 1]


def test_the_generator_meets_the_updated_energy() -> None:
    method, seen = ebgan().float(), []
    start = method.energy.decoder[0].weight.detach().clone()
    for move in method.round(0, Stream(8), torch.Generator().manual_seed(0)):
        if move.player == "generator":
            seen.append(method.energy.decoder[0].weight.detach().clone())
        descend(method, iter([move]), 0.1)
    assert not torch.equal(seen[0], start)


def test_samples_do_not_move_the_energy_s_averages() -> None:
    """After a step of the energy they are those of a pass of the data alone."""
    options = dict(width=6, depth=2, batch_norm=True)
    energy = build_energy("autoencoder", PLANE, options)
    generator = build_generator("mlp", PLANE, 3, options)
    method = EBGAN(energy, generator, PRIOR, RealSpace((2,)))
    alone = copy.deepcopy(energy)
    move = next(method.round(0, Stream(8), torch.Generator().manual_seed(0)))
    gradients(method, move)
    alone(move.inputs[0])
    for (name, buffer), (_, expected) in zip(
        energy.named_buffers(), alone.named_buffers(), strict=True
    ):
        assert torch.equal(buffer, expected), name


def test_a_move_leaves_the_other_s_batch_statistics_alone() -> None:
    options = dict(width=6, depth=2, batch_norm=True)
    energy = build_energy("autoencoder", PLANE, options)
    generator = build_generator("mlp", PLANE, 3, options)
    method = EBGAN(energy, generator, PRIOR, RealSpace((2,)), pull_away=0.1)
    for move in method.round(0, Stream(8), torch.Generator().manual_seed(0)):
        before = {name: buffer.clone() for name, buffer in method.named_buffers()}
        gradients(method, move)
        moved = {n for n, b in method.named_buffers() if not torch.equal(b, before[n])}
        assert moved and all(name.startswith(f"{move.player}.") for name in moved), move.player
    before = {name: buffer.clone() for name, buffer in method.named_buffers()}
    method.sample(5, torch.Generator().manual_seed(0))
    assert all(torch.equal(b, before[name]) for name, b in method.named_buffers())


def test_it_separates_what_an_auto_encoder_alone_copies() -> None:
    """A fixed generator on a point: the energy there rises to the margin, that of the data falls."""
    method = ebgan(margin=1.0)
    x = 0.1 * noise(64, 2, 1) + torch.tensor([1.0, 0.0])
    with torch.no_grad():
        for parameter in method.generator.parameters():
            parameter.zero_()
    adam = torch.optim.Adam(method.energy.parameters(), 0.01)
    for _ in range(300):
        adam.zero_grad()
        loss = method.energy_loss(x, x, noise(4, 3, 0), scalar(1.0)).value
        loss.backward()
        adam.step()
    assert method.energy(x).mean().item() < 0.3
    assert method.energy(torch.zeros(1, 2).double()).item() > 0.8


def test_other_energies_are_accepted() -> None:
    method = ebgan("bounded", margin=2.0)
    x, z = noise(8, 2, 1), noise(8, 3, 2)
    value = method.energy_loss(x, x, z, scalar(2.0)).value
    hinge = (2.0 - method.energy(method.generator(z))).clamp_min(0)
    assert torch.allclose(value, method.energy(x).mean() + hinge.mean())
    with pytest.raises(ValueError, match="reads the energy's encoder"):
        ebgan("bounded", pull_away=0.1)
    with pytest.raises(ValueError, match="denoising needs an energy"):
        ebgan("bounded", denoising_noise_std=0.1)


def test_capabilities_and_samples() -> None:
    method = ebgan().float()
    assert isinstance(method, HasEnergy) and not isinstance(method, HasLatentTarget)
    assert isinstance(method.measure, Undefined)
    x = method.sample(7, torch.Generator().manual_seed(3))
    z = PRIOR.sample(7, torch.Generator().manual_seed(3))
    assert torch.equal(x, method.generator(z)) and not x.requires_grad
    with pytest.raises(ValueError, match="unconditionally"):
        method.sample(2, torch.Generator(), given=torch.zeros(2))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"margin": 0.0}, "margin must be finite and positive"),
        ({"margin_decay_rounds": -1}, "margin_decay_rounds must be a whole number"),
        ({"pull_away": -0.1}, "pull_away must be finite"),
        ({"denoising_noise_std": -0.1}, "denoising_noise_std must be finite"),
    ],
)
def test_unusable_options(wrong: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ebgan(**wrong)


def test_an_energy_that_is_no_energy() -> None:
    class Column(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[:, :1]

    method = ebgan()
    method.energy = Column()
    with pytest.raises(ValueError, match="one number per row"):
        method.energy_loss(torch.zeros(4, 2), torch.zeros(4, 2), noise(4, 3, 0), scalar(1.0))


@pytest.mark.parametrize(("size", "layers"), [(64, 3), (128, 4), (256, 4)])
def test_published_picture_sizes(size: int, layers: int) -> None:
    """The recipes' configurations; at 64 pixels and a sixteenth of the channels a round is played."""
    for scale, channels in (("paper", 64), ("cpu", 4)):
        config = recipe(f"pictures-{size}-ebgan", scale)
        assert (config.energy.channels, config.energy.depth) == (channels, layers)
        assert config.pull_away == 0.1 and config.margin == {64: 20, 128: 40, 256: 80}[size]
    if size == 64:
        space = DataSpace((3, size, size), "image", (-1.0, 1.0))
        method = assemble(config, space)
        moves = list(method.round(0, Stream(2, space.shape), torch.Generator().manual_seed(0)))
        assert all(gradients(method, move) for move in moves)
        assert method.sample(2, torch.Generator().manual_seed(0)).shape == (2, 3, 64, 64)
