"""Settings that depend on the data: those of energy matching on the size of the images."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gibbsian import train
from gibbsian.cli import main
from gibbsian.cli.train_options import fill
from gibbsian.config.config import replace
from gibbsian.config.recipes import default_config
from gibbsian.config.recipes.defaults import in_proportion
from gibbsian.core import DataSpace
from gibbsian.core.files import read_json

G = np.random.default_rng(0)


def images(path: Path, side: int, count: int = 30) -> Path:
    """A file of that name, or a folder."""
    x = G.integers(0, 256, (count, side, side), dtype=np.uint8)
    if path.suffix:
        np.save(path, x[:, None])
        return path
    path.mkdir()
    for i, image in enumerate(x):
        Image.fromarray(image).save(path / f"{i:02}.png")
    return path


def network(data: str, image_side: int = 0) -> str:
    return default_config("energy-matching", data, image_side=image_side).energy.name


def test_images_of_more_than_8_pixels_have_a_residual_network(tmp_path: Path) -> None:
    assert network("mnist") == network("frey-faces") == network("mnist-14") == "resnet"
    assert network("digits") == network("mnist-8") == network("mnist", image_side=8) == "mlp"
    assert network("digits", image_side=20) == "resnet"
    assert network(str(images(tmp_path / "small.npy", 8))) == "mlp"
    assert network(str(images(tmp_path / "large.npy", 9))) == "resnet"
    # Where nothing is known, as without a file; loading says it.
    assert network(str(tmp_path / "missing.npy")) == network("moons") != "resnet"
    space = DataSpace((1, 20, 12), "image", (-1.0, 1.0))
    assert default_config("energy-matching", "array", space).energy.name == "resnet"


@pytest.mark.parametrize("options", [(), ("--image-size", "8")])
def test_the_command_knows_the_size_and_what_is_usual(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    data, out = images(tmp_path / "x", 18), tmp_path / "run"
    short = ("--rounds", "1", "--warmup-rounds", "1", "--batch", "4", "--steps", "0")
    command = ["train", "energy-matching", "--data", str(data), "--out", str(out)]
    assert main([*command, *short[:6], *options]) == 0
    written = read_json(out / "config.json")
    expected = "mlp" if options else "resnet"
    assert written["config"]["energy"]["name"] == expected
    assert written["defaults"]["energy"]["name"] == expected


def test_arrays_in_python_know_theirs_too(tmp_path: Path) -> None:
    x = G.integers(0, 256, (30, 1, 18, 18), dtype=np.uint8)
    short = {"training": {"rounds": 1, "batch": 4}, "warmup_rounds": 1}
    assert train("energy-matching", x, **short).config.energy.name == "resnet"
    path = images(tmp_path / "x", 18)
    model = train("energy-matching", path, source={"image_size": 8}, **short)
    assert model.config.energy.name == "mlp"


def test_phases_keep_their_share_of_other_rounds():
    base = default_config("energy-matching", "digits")
    assert (base.training.rounds, base.warmup_rounds) == (7_000, 6_000)
    shorter = replace(base, training={"rounds": 700})
    assert in_proportion(shorter, base).warmup_rounds == 600
    assert in_proportion(shorter, base, {"warmup_rounds"}).warmup_rounds == 6_000
    assert fill(base, ["--rounds", "350"]).config.warmup_rounds == 300
    assert fill(base, ["--rounds=350", "--warmup-rounds=6000"]).config.warmup_rounds == 6_000
    assert fill(base, []).config == base
