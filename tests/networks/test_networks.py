"""Networks: shapes, the bounded energy's closed forms, envelopes, boxes, names and users' classes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from gibbsian.config.config import coerced
from gibbsian.core import DataSpace
from gibbsian.core.protocols import HasFeatures, HasLogits
from gibbsian.core.signatures import options_of
from gibbsian.networks import (
    ACTIVATIONS,
    CRITICS,
    ENERGIES,
    NETWORKS,
    BoundedRangeEnergy,
    DenseTrunk,
    SigmoidOutputEnergy,
    build_network,
)
from gibbsian.networks.energies import bernoulli_entropy, precision_of
from gibbsian.networks.options import activate
from gibbsian.networks.trunks import he
from gibbsian.networks.user import build_user, load_user
from tests.nets import build_critic, build_energy, build_generator

SMALL = dict(width=12, num_experts=10, channels=4)
PLANE = DataSpace((2,), "vector")


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(1)


@pytest.mark.parametrize("name", ENERGIES)
@pytest.mark.parametrize("size", [8, 14, 28, 32, 64])
def test_energies_take_images(name: str, size: int, rng: torch.Generator) -> None:
    for channels in (1, 3):
        space = DataSpace((channels, size, size), "image", (-1.0, 1.0))
        energy = build_energy(name, space, SMALL)
        assert energy(torch.rand(3, *space.shape, generator=rng)).shape == (3,)


@pytest.mark.parametrize("name", CRITICS)
def test_features_are_what_the_head_reads(name: str, rng: torch.Generator) -> None:
    """The network is a function of its features: equal features, equal energy; penultimate size."""
    space = DataSpace((1, 8, 8), "image", (-1.0, 1.0))
    network = build_critic(name, space, SMALL)
    x = torch.rand(3, *space.shape, generator=rng)
    features = network.features(x)
    assert isinstance(network, HasFeatures) and features.ndim == 2
    head = network.decoder[0] if "autoencoder" in name else network.head
    seen: list[torch.Tensor] = []
    head.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    network(x)
    assert torch.equal(seen[0].flatten(1), features)


@pytest.mark.parametrize("size", [(8, 8), (14, 14), (28, 28), (32, 32), (64, 64), (9, 13)])
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("name", ["mlp", "conv"])
def test_generators_make_images_in_the_box(
    name: str, size: tuple[int, int], batch_norm: bool, rng: torch.Generator
) -> None:
    space = DataSpace((3, *size), "image", (-1.0, 1.0))
    options = dict(width=12, channels=4, batch_norm=batch_norm)
    generator = build_generator(name, space, 5, options)
    x = generator(30 * torch.randn(4, 5, generator=rng))
    assert x.shape == (4, *space.shape)
    assert x.abs().max() <= 1


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_and_depth_makes_an_energy_of_vectors(activation: str) -> None:
    for depth in (1, 3):
        options = dict(width=8, depth=depth, activation=activation, fourier_features=3)
        energy = build_energy("mlp", PLANE, options)
        linear = [layer for layer in energy.modules() if isinstance(layer, nn.Linear)]
        assert len(linear) == depth + 1
        assert linear[0].in_features == 2 + 2 * 3
        assert energy(torch.zeros(5, 2)).shape == (5,)


def test_rows_do_not_see_each_other(rng: torch.Generator) -> None:
    x = torch.rand(4, 1, 8, 8, generator=rng)
    for name in ENERGIES:
        energy = build_energy(name, DataSpace((1, 8, 8), "image"), SMALL).double()
        one = torch.cat([energy(row[None].double()) for row in x])
        assert torch.allclose(energy(x.double()), one, rtol=1e-9, atol=1e-12), name


def test_squashing_reaches_an_asymmetric_box_and_is_affine_in_tanh(rng: torch.Generator) -> None:
    z = torch.randn(6, 3, generator=rng)
    torch.manual_seed(5)
    free = build_generator("mlp", PLANE, 3, SMALL)
    torch.manual_seed(5)
    boxed = build_generator("mlp", DataSpace((2,), "vector", (-1.0, 3.0)), 3, SMALL)
    assert torch.allclose(boxed(z), 1.0 + 2.0 * torch.tanh(free(z)), atol=1e-6)


def test_confined_energy_is_the_plain_one_plus_the_envelope(rng: torch.Generator) -> None:
    x = torch.randn(6, 2, generator=rng)
    options = dict(width=8, confinement_std=0.5)
    torch.manual_seed(5)
    plain = build_energy("mlp", PLANE, options)
    torch.manual_seed(5)
    confined = build_energy("confined", PLANE, options)
    expected = plain(x) + x.square().sum(1) / (2 * 0.5**2)
    assert torch.allclose(confined(x), expected, atol=1e-5)


def test_what_energies_say_of_themselves() -> None:
    """``confining`` decides whether R^d normalises, ``bounded`` that it cannot."""
    space = DataSpace((1, 8, 8), "image")
    said = {
        name: (energy.confining, energy.bounded)
        for name, energy in ((name, build_energy(name, space, SMALL)) for name in ENERGIES)
    }
    assert said == {
        "mlp": (False, False),
        "confined": (True, False),
        "bounded": (False, True),
        "sigmoid": (False, True),
        "conv": (False, False),
        "conv-bounded": (False, True),
        "joint": (True, False),
        "conv-joint": (True, False),
        "autoencoder": (False, False),
        "conv-autoencoder": (False, False),
        "resnet": (False, False),
        "resnet-bounded": (False, True),
        "resnet-joint": (True, False),
    }
    far = 1e4 * torch.randn(50, 1, 8, 8)
    assert build_energy("confined", space, SMALL)(far).min() > 1e6
    assert build_energy("bounded", space, SMALL)(far).max() <= 10 * math.log(2) + 1e-5
    assert build_energy("sigmoid", space, SMALL)(far).max() <= SigmoidOutputEnergy.highest + 1e-4


@pytest.mark.parametrize("name", ["joint", "conv-joint", "resnet-joint"])
def test_a_joint_energy_sums_its_classes(name: str, rng: torch.Generator) -> None:
    """exp(-E(x)) = sum_y exp(f_y(x)) times the envelope, and E(x) - log softmax(f)_y is one term."""
    space = DataSpace((1, 8, 8), "image")
    options = dict(width=12, channels=4, classes=3, confinement_std=2.0)
    energy = build_energy(name, space, options).double()
    x = torch.randn(5, *space.shape, generator=rng, dtype=torch.float64)
    f = energy.logits(x)
    envelope = x.flatten(1).square().sum(1) / (2 * 2.0**2)
    assert f.shape == (5, 3) and isinstance(energy, HasLogits)
    assert torch.allclose(torch.exp(envelope - energy(x)), f.exp().sum(1), rtol=1e-12)
    for y in range(3):
        conditional = energy(x) - f.log_softmax(1)[:, y]
        assert torch.allclose(conditional, envelope - f[:, y], atol=1e-12)
    assert energy(1e4 * x).min() > 1e6


def with_logits(a: torch.Tensor) -> BoundedRangeEnergy:
    """A bounded energy whose logits are ``a [K]`` at every point."""
    energy = BoundedRangeEnergy(DenseTrunk(PLANE, width=12), len(a)).double()
    with torch.no_grad():
        energy.head.weight.zero_()
        energy.head.bias.copy_(a)
    return energy


def test_bernoulli_entropy_is_in_nats() -> None:
    assert bernoulli_entropy(torch.tensor(0.5, dtype=torch.float64)).item() == pytest.approx(
        math.log(2), abs=1e-15
    )
    assert bernoulli_entropy(torch.tensor([0.0, 1.0])).tolist() == [0.0, 0.0]


def test_expert_gradient_is_minus_a_s_one_minus_s() -> None:
    """dh/da = -a s (1 - s): zero at a = 0, largest at |a| = 1.543 where it is 0.224."""
    a = torch.tensor([-6.0, -1.543, -0.3, 0.0, 0.7, 1.543, 4.0], dtype=torch.float64)
    energy = with_logits(a)
    x = torch.zeros(1, 2, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(energy(x).sum(), energy.head.bias)
    s = torch.sigmoid(a)
    assert torch.allclose(gradient, -a * s * (1 - s), rtol=1e-9, atol=1e-12)
    assert gradient[3] == 0
    assert gradient[1].item() == pytest.approx(0.224, abs=5e-4)


def test_experts_are_clipped_and_saturated_ones_have_no_gradient() -> None:
    """The clip 1e-4 leaves a floor of 1.02e-3 nats an expert: 0.131 for 128 of them."""
    a = torch.full((128,), 20.0, dtype=torch.float64)
    a[::2] = -20.0
    energy = with_logits(a)
    x = torch.zeros(1, 2, dtype=torch.float64)
    floor = energy(x)
    assert floor.item() == pytest.approx(0.131, abs=5e-4)
    assert floor.item() / 128 == pytest.approx(1.02e-3, abs=5e-6)
    assert torch.equal(torch.autograd.grad(floor.sum(), energy.head.bias)[0], torch.zeros_like(a))


def test_sigmoid_energy_is_minus_log_d() -> None:
    energy = SigmoidOutputEnergy(DenseTrunk(PLANE, width=12)).double()
    x = torch.randn(5, 2, dtype=torch.float64)
    logits = energy.head(energy.trunk(x)).squeeze(1)
    assert torch.allclose(energy(x), nn.functional.softplus(-logits), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("size", [8, 28, 64])
def test_signals_neither_fade_nor_explode_in_convolutions(activation: str, size: int) -> None:
    """At the start, images differ in features and latents differ in images (standard deviations)."""
    space = DataSpace((1, size, size), "image", (-1.0, 1.0))
    options = dict(channels=8, activation=activation)
    features = build_energy("conv", space, options).trunk(torch.rand(32, 1, size, size) * 2 - 1)
    assert 0.02 < features.std(0).mean() < 5
    x = build_generator("conv", space, 8, options)(torch.randn(32, 8))
    assert 0.05 < x.std(0).mean() < 0.95


def test_he_weights_have_variance_two_over_fan_in() -> None:
    """1e4 weights: the variance has an error of 0.9 %, the bound is 5 of them."""
    transposed = nn.ConvTranspose2d(25, 25, 4, stride=2)
    dense = nn.Linear(100, 100)
    he(nn.Sequential(transposed, dense))
    assert transposed.weight.var().item() == pytest.approx(2 / (25 * 4), rel=0.045)
    assert dense.weight.var().item() == pytest.approx(2 / 100, rel=0.045)
    assert (dense.bias == 0).all()


def test_fourier_features_are_cosines_and_sines(rng: torch.Generator) -> None:
    trunk = DenseTrunk(PLANE, width=4, fourier_features=400, fourier_scale=3.0)
    features = trunk.layers[1]
    x = torch.randn(2, 2, generator=rng)
    phase = x @ features.W.T
    assert torch.allclose(features(x), torch.cat([x, phase.cos(), phase.sin()], 1))
    # 800 frequencies: the standard deviation has an error of 2.5 %, the band is four of them.
    assert features.W.std().item() == pytest.approx(3.0, rel=0.1)
    assert "layers.1.W" in trunk.state_dict()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "mlp", "width": 0}, "width must be at least 1"),
        ({"name": "mlp", "depth": 0}, "depth must be at least 1"),
        ({"name": "bounded", "num_experts": 0}, "num_experts must be at least 1"),
        ({"name": "conv", "channels": -1}, "channels must be at least 1"),
        ({"name": "mlp", "fourier_features": -1}, "fourier_features must be 0"),
        ({"name": "mlp", "fourier_scale": 0.0}, "fourier_scale must be positive"),
        ({"name": "confined", "confinement_std": math.nan}, "confinement_std must be positive"),
        ({"name": "confined", "kernels": 3}, "no option 'kernels'; it has confinement_std, time,"),
        ({"name": "mlp", "widht": 3}, r"no option 'widht' \(did you mean width\?\); it has"),
    ],
)
def test_unusable_options(options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        name = options.pop("name")
        build_network(
            "energy",
            name,
            options,
            space=DataSpace((1, 8, 8), "image") if name == "conv" else PLANE,
        )


def test_unknown_activation() -> None:
    with pytest.raises(ValueError, match="unknown activation 'sine'; choose from silu"):
        activate("sine")


@pytest.mark.parametrize("role", NETWORKS)
def test_every_option_has_a_help_text_and_a_type(role: str) -> None:
    for name, builder in NETWORKS[role].items():
        for option, entry in options_of(builder).items():
            assert entry.help, (role, name, option)
            assert coerced(entry.type, entry.default, option) == entry.default


def test_unknown_and_unfit_names() -> None:
    with pytest.raises(ValueError, match="did you mean bounded"):
        build_energy("bonded", PLANE, SMALL)
    with pytest.raises(ValueError, match="unknown generator network"):
        build_generator("convv", PLANE, 2, SMALL)
    with pytest.raises(ValueError, match="use mlp"):
        build_energy("conv", PLANE, SMALL)
    with pytest.raises(ValueError, match="use mlp"):
        build_generator("conv", PLANE, 2, SMALL)
    with pytest.raises(ValueError, match="latent dimension"):
        build_generator("mlp", PLANE, 0, SMALL)


USER = """
from torch import nn

class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(2, 1)
    def forward(self, x):
        return self.head(x).squeeze(1)

class Sized(nn.Module):
    def __init__(self, space, latent_dim=7, *, colours: int = 3):
        super().__init__()
        self.space, self.latent_dim, self.colours = space, latent_dim, colours

class Demanding(nn.Module):
    def __init__(self, colour):
        super().__init__()

class NotANetwork:
    pass

constant = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"users_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(USER)
    (tmp_path / f"{name}_broken.py").write_text("import no_such_package_at_all\n")
    (tmp_path / f"{name}_syntax.py").write_text("def f(:\n")
    monkeypatch.chdir(tmp_path)
    return name


def test_user_classes_are_found_in_the_current_directory(module: str) -> None:
    assert load_user(f"{module}:Plain")()(torch.zeros(3, 2)).shape == (3,)
    sized = build_user(f"{module}:Sized", load_user(f"{module}:Sized"), {}, space=PLANE)
    assert sized.space is PLANE
    assert sized.latent_dim == 7
    assert sized.colours == 3
    of_three = build_generator(f"{module}:Sized", PLANE, 4, {"colours": 5})
    assert (of_three.latent_dim, of_three.colours) == (4, 5)
    with pytest.raises(ValueError, match=r"no option 'colour' .*; it has colours"):
        build_network("generator", f"{module}:Sized", {"colour": 5}, space=PLANE, latent_dim=4)
    assert build_energy(f"{module}:Plain", PLANE, SMALL)(torch.zeros(1, 2)).shape == (1,)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("{}:Absent", "has no 'Absent'; did you mean"),
        ("{}:NotANetwork", "not a class derived from torch.nn.Module"),
        ("{}:constant", "not a class derived from torch.nn.Module"),
        ("{}:Demanding", "give the rest a default"),
        ("{}", "package.module:Class"),
        (":Plain", "package.module:Class"),
        ("no_such_module_here:Plain", "cannot import 'no_such_module_here'"),
        ("{}_broken:Plain", "no_such_package_at_all"),
        ("{}_syntax:Plain", "cannot import"),
    ],
)
def test_user_classes_that_cannot_be_used(module: str, spec: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build_network("energy", spec.format(module), {}, space=PLANE)


@pytest.mark.parametrize("std", [1e-320, 1e200])
def test_an_envelope_whose_square_is_no_number_is_refused(std: float) -> None:
    with pytest.raises(ValueError, match="confinement_std must lie between 1e-15 and 1e15"):
        precision_of(std)
