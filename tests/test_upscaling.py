"""Photographs through files and tiles: every kind of pixel, tiles against the whole, what is refused."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from gibbsian import cli
from gibbsian.config.config import replace
from gibbsian.config.recipes import default_config
from gibbsian.core import DataSpace
from gibbsian.core.imaging import upscale as bicubic
from gibbsian.data.photo import Picture, read_picture, write_picture
from gibbsian.data.transforms import pixels
from gibbsian.models.build import assemble, resolve
from gibbsian.models.model import Model
from gibbsian.models.train import train
from gibbsian.models.upscaling import (
    OVERLAP,
    completed,
    enlarge,
    from_units,
    places,
    tent,
    to_units,
)

NETS = {
    "upsampler": {"channels": 4},
    "sufficient_statistics_predictor": {"channels": 4},
    "sufficient_statistics": {"scales": 1, "orientations": 2},
}


def model(channels=1, factor=2, levels=256, **options):
    """An untrained model: its point estimate is the bicubic interpolation."""
    space = DataSpace((channels, 12, 12), "image", (-1.0, 1.0))
    config = default_config("super-resolution", "digits")
    config = replace(
        config,
        upscaling_factor=factor,
        **({"super_resolution_inference": "point"} | NETS | options),
    )
    config = resolve(config, space, torch.zeros(4, *space.shape))
    return Model(assemble(config, space), config, space, pixels(space.shape, levels))


def photo(channels, height, width, seed=0):
    values = torch.rand(channels, height, width, generator=torch.Generator().manual_seed(seed))
    return Picture(0.1 + 0.8 * values, None, 256)


def rng():
    return torch.Generator().manual_seed(0)


def levels(values):
    return (values.clamp(0, 1) * 255).round().numpy().astype(int)


@pytest.mark.parametrize(
    "transform", [pixels((1, 4, 4), 256), pixels((1, 4, 4), 17), pixels((1, 4, 4), 0)]
)
def test_black_and_white_are_those_of_the_training_data(transform):
    top = transform.levels[0] - 1 if transform.levels[0] else 1
    u = transform.encode(torch.tensor([0.0, top]).view(2, 1, 1, 1).expand(2, 1, 4, 4))
    v = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 4, 4)
    torch.testing.assert_close(to_units(v, transform), u)
    torch.testing.assert_close(from_units(u, transform), v, atol=1e-6, rtol=0)


def test_tiles_cover_a_picture_and_overlap():
    for extent in (16, 17, 31, 48, 100):
        begins = places(extent, 16)
        covered = {begin + i for begin in begins for i in range(16)}
        assert covered == set(range(extent)) and begins[-1] == extent - 16
        assert all(b - a <= 16 - OVERLAP for a, b in pairwise(begins))
    assert tent(12, 3)[6, 6] == 1 and torch.allclose(
        tent(12, 3)[0], torch.full((12,), 1 / 4) * tent(12, 3)[6]
    )


@pytest.mark.parametrize("factor", [2, 3])
def test_tiles_of_a_local_estimate_make_the_whole(factor):
    """Interpolation looks two pixels far; beyond that from a tile's rim tiles and whole agree."""
    picture = photo(1, 40, 27)
    found = enlarge(model(factor=factor), picture, rng(), tile=20).astype(int)
    whole = levels(bicubic(picture.values[None], factor)[0])
    assert found.shape == whole.shape == (1, 40 * factor, 27 * factor)
    assert np.abs(found - whole).max() <= 8 and np.abs(found - whole).mean() < 0.2
    assert (
        np.abs(found - whole)[:, : 10 * factor, : 6 * factor] <= 1
    ).all()  # one tile alone is there


def test_tiles_of_a_descent_are_seamless():
    """Jumps across the tiles' edges are no larger than elsewhere: the ratio of mean steps."""
    picture = photo(1, 24, 40)
    smooth = torch.nn.functional.avg_pool2d(picture.values[None], 5, 1, 2)[0]
    descent = model(
        super_resolution_inference="descent", upscaling_steps=5, upscaling_start_noise=0.0
    )
    large = enlarge(descent, Picture(smooth, None, 256), rng(), tile=16).astype(int)[0]
    steps = np.abs(np.diff(large, axis=1)).mean(0)
    edges = [2 * begin for begin in places(40, 16)[1:]] + [
        2 * (b + 16) for b in places(40, 16)[:-1]
    ]
    assert max(steps[edge - 1] for edge in edges) < 3 * np.median(steps)


@pytest.mark.parametrize("size", [(1, 1), (3, 70), (20, 5)])
def test_any_size(size):
    assert enlarge(model(), photo(1, *size), rng(), tile=16).shape == (1, 2 * size[0], 2 * size[1])


def test_colours_through_a_model_of_grey_and_grey_through_one_of_colours():
    picture = photo(3, 18, 17)
    found = levels(
        completed(model().method, pixels((1, 4, 4), 256), picture.values[None], rng())[0]
    )
    whole = levels(
        bicubic(picture.values[None], 2)[0]
    )  # interpolation commutes with the change of colours
    assert np.abs(found - whole).max() <= 40 and np.abs(found - whole).mean() < 0.5
    grey = enlarge(model(3), photo(1, 18, 17), rng(), tile=16)
    assert grey.shape == (1, 36, 34)


def test_another_method_s_model_and_small_tiles():
    other = model()
    other.method = torch.nn.Identity()
    with pytest.raises(ValueError, match="upscale needs one of super-resolution"):
        enlarge(other, photo(1, 4, 4), rng())
    with pytest.raises(ValueError, match="side of at least 16 pixels, not 9"):
        enlarge(model(), photo(1, 4, 4), rng(), tile=9)


@pytest.mark.parametrize(
    ("mode", "channels", "alpha", "white"),
    [
        ("1", 1, False, 1),
        ("L", 1, False, 255),
        ("LA", 1, True, (255, 255)),
        ("RGB", 3, False, (255,) * 3),
        ("RGBA", 3, True, (255,) * 4),
        ("P", 3, False, 0),
        ("I;16", 1, False, 65535),
    ],
)
def test_every_kind_of_pixel(mode, channels, alpha, white, tmp_path):
    picture = Image.new(mode, (5, 4), white)
    if mode == "P":
        picture.putpalette([255, 255, 255])
    picture.save(tmp_path / "in.png")
    read = read_picture(tmp_path / "in.png")
    assert read.values.shape == (channels, 4, 5) and (read.values == 1).all()
    assert (read.alpha is not None) == alpha and read.levels == (65536 if mode == "I;16" else 256)


def test_written_pictures_are_read_again(tmp_path):
    generator = np.random.default_rng(0)
    for channels, kind, top in ((1, np.uint8, 256), (3, np.uint8, 256), (1, np.uint16, 65536)):
        array = generator.integers(0, top, (channels, 6, 7)).astype(kind)
        write_picture(tmp_path / "out.png", array)
        back = read_picture(tmp_path / "out.png")
        assert (back.values * (top - 1)).round().numpy().astype(kind).tolist() == array.tolist()
    alpha = generator.integers(0, 256, (1, 6, 7)).astype(np.uint8)
    write_picture(
        tmp_path / "out.png", generator.integers(0, 256, (3, 6, 7)).astype(np.uint8), alpha
    )
    assert (read_picture(tmp_path / "out.png").alpha * 255).round().int().tolist() == alpha.tolist()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("upscale") / "run"
    small = {"rounds": 2, "batch": 8, "device": "cpu"}
    options = {"upscaling_steps": 2, "source": {"max_rows": 40}, "training": small} | NETS
    train("super-resolution", "digits", out=folder, **options)
    return folder


def told(capsys, *words):
    """Exit status and standard error of ``gibbsian upscale``."""
    status = cli.main(["upscale", *map(str, words), "--device", "cpu"])
    return status, capsys.readouterr().err


def test_the_command_writes_pictures_by_seed(run, tmp_path, capsys):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 7, 4)).astype(np.uint8)).save(
        tmp_path / "a.png"
    )
    for name in ("one", "two"):
        status, said = told(
            capsys,
            run,
            tmp_path / "a.png",
            "--output",
            tmp_path / f"{name}.png",
            "--num-samples",
            2,
        )
        assert status == 0 and "14x18 pixels" in said
    first, second, again = (Image.open(tmp_path / f"{n}.png") for n in ("one-1", "one-2", "two-1"))
    assert first.size == (14, 18) and first.mode == "RGBA"
    assert first.tobytes() == again.tobytes() != second.tobytes()


def test_what_the_command_refuses(run, tmp_path, capsys):
    (tmp_path / "text.png").write_text("no image")
    Image.new("F", (4, 4)).save(tmp_path / "float.tiff")
    Image.new("RGBA", (4, 4)).save(tmp_path / "clear.png")
    out = ["--output", tmp_path / "big.png"]
    for words, sentence in (
        ([run, tmp_path / "text.png", *out], "cannot be read as an image"),
        ([run, tmp_path / "none.png", *out], "cannot be read as an image"),
        ([run, tmp_path / "float.tiff", *out], "pixels of 32 bits"),
        (
            [run, tmp_path / "clear.png", "--output", tmp_path / "big.jpg"],
            "transparency, which .jpg cannot hold",
        ),
        (
            [run, tmp_path / "clear.png", *out, "--num-samples", 0],
            "--num-samples must be at least 1, not 0",
        ),
        (
            [run, tmp_path / "clear.png", *out, "--super-resolution-inference", "variational"],
            "needs a total_variation_weight above 0",
        ),
    ):
        status, said = told(capsys, *words)
        assert status == 2 and sentence in said and said.count("\n") == 1, said
