"""Latent spaces drawn: the grid of a plane, one coordinate at a time, on the command line and in reports."""

import numpy as np
import pytest
import torch
from PIL import Image

import gibbsian
from gibbsian.cli import main
from gibbsian.core.measures import Counting, Gaussian
from gibbsian.methods import BiHM
from gibbsian.models.latents import manifold, quantiles, traverse
from gibbsian.models.model import Model, load_model
from tests.nets import build_belief_network

OPTIONS = {"rounds": 3, "batch": 50, "device": "cpu"}
SMALL = {"width": 8, "depth": 1}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """VAEs of bits with a latent plane and with three coordinates, and a GAN in the plane."""
    folder = tmp_path_factory.mktemp("latents")
    for name, method, data, latent in (
        ("plane", "vae", "digits-4-binary", 2),
        ("three", "vae", "digits-4-binary", 3),
        ("gan", "gan", "moons", 2),
    ):
        nets = (
            {"decoder": SMALL, "encoder": SMALL}
            if method == "vae"
            else {"generator": SMALL, "critic": SMALL}
        )
        gibbsian.train(method, data, out=folder / name, training=OPTIONS, latent_dim=latent, **nets)
    Image.fromarray(np.full((4, 4), 200, np.uint8)).save(folder / "digit.png")
    return folder


def test_quantiles_are_equal_steps_of_probability():
    found = quantiles(Gaussian((2,), 3.0), 4)
    assert torch.allclose(found[2:], 3.0 * torch.tensor([0.31863936, 1.15034938]))
    assert torch.allclose(found, -found.flip(0), atol=1e-6)


def made_of(model: Model, z: torch.Tensor) -> torch.Tensor:
    """Probabilities of the decoder's bits."""
    with torch.no_grad():
        return torch.sigmoid(model.method.decoder(z))


def test_the_first_coordinate_grows_to_the_right_and_the_second_upwards(runs):
    model = load_model(runs / "plane")
    x, axis = manifold(model, 3).view(3, 3, 16), quantiles(Gaussian((2,)), 3)
    for row, second in enumerate(axis.flip(0)):
        for column, first in enumerate(axis):
            at = made_of(model, torch.stack([first, second])[None])[0]
            assert torch.allclose(x[row, column], at, atol=1e-6)


def test_a_traversal_moves_one_coordinate(runs):
    model, axis = load_model(runs / "three"), quantiles(Gaussian((3,)), 5)
    z = torch.zeros(5, 3)
    z[:, 1] = axis
    assert torch.allclose(traverse(model, 5)[5:10], made_of(model, z), atol=1e-6)
    x = torch.ones(16)
    code = model.method.encode(x[None])[0].detach()
    z = code.repeat(5, 1)
    z[:, 2] = axis
    assert torch.allclose(traverse(model, 5, x)[10:], made_of(model, z), atol=1e-6)


def test_on_the_command_line(runs, capsys):
    words = ["sample", str(runs / "plane"), "--output", str(runs / "plane.png")]
    assert main([*words, "--latent-grid", "6"]) == 0
    with Image.open(runs / "plane.png") as sheet:
        assert sheet.width == sheet.height
    rows = [
        "sample",
        str(runs / "three"),
        "--output",
        str(runs / "rows.npy"),
        "--latent-traversal",
        "4",
    ]
    assert main([*rows, "--condition-on", str(runs / "digit.png")]) == 0
    assert np.load(runs / "rows.npy").shape == (12, 16)
    assert "12 latent points, 4 in a row" in capsys.readouterr().err


def test_generators_are_walked_through_too(runs):
    model = load_model(runs / "gan")
    axis = quantiles(Gaussian((2,)), 2)
    with torch.no_grad():
        at = model.method.generator(torch.stack([axis[0], axis[1]])[None])
    assert torch.allclose(manifold(model, 2)[0], model.transform.decode(at)[0], atol=1e-6)


def test_a_report_shows_the_plane(runs):
    for run, there in (("plane", True), ("gan", True), ("three", False)):
        assert main(["evaluate", str(runs / run), "--num-samples", "20"]) == 0
        with np.load(runs / run / "evaluation.npz") as arrays:
            assert ("manifold" in arrays.files) == there
        assert main(["report", str(runs / run), "--output", str(runs / f"{run}.html")]) == 0
        page = (runs / f"{run}.html").read_text()
        assert ("equal steps of probability" in page) == there


@pytest.mark.parametrize(
    ("run", "words", "why"),
    [
        ("three", ["--latent-grid", "5"], "this model has 3 coordinates"),
        ("plane", ["--latent-grid", "1"], "2 to 100 points"),
        ("plane", ["--latent-grid", "5", "--latent-traversal", "5"], "one at a time"),
        ("plane", ["--latent-traversal", "5", "--mask", "top"], "takes no --refine"),
        ("gan", ["--latent-traversal", "5", "--condition-on", "row.npy"], "has no encoder"),
    ],
)
def test_what_does_not_fit(runs, capsys, monkeypatch, run, words, why):
    monkeypatch.chdir(runs)
    np.save("row.npy", np.zeros((1, 2)))
    assert main(["sample", run, *words, "--output", "x.npy"]) == 2
    assert why in capsys.readouterr().err


def test_without_a_latent_space(runs):
    model = load_model(runs / "plane")
    beliefs = build_belief_network("sigmoid", model.space, dict(layers="3"))
    bits = Model(BiHM(beliefs, Counting((16,))), model.config, model.space, model.transform)
    with pytest.raises(ValueError, match="no latent space"):
        traverse(bits, 3)
