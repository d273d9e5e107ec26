"""``gibbsian sample RUN --condition-on IMAGE --mask MASK``: what is kept stays, the rest is drawn."""

import numpy as np
import pytest
import torch
from PIL import Image

import gibbsian
from gibbsian.cli import main
from gibbsian.data.masks import read_mask, read_observation
from gibbsian.data.transforms import binary, pixels, unscaled
from gibbsian.report.figures import as_pictures


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("filling")
    options = {"rounds": 3, "batch": 50, "device": "cpu"}
    gibbsian.train(
        "bihm",
        "digits-4-binary",
        out=folder / "bits",
        training=options,
        belief_network={"layer_sizes": "8,4"},
        gibbs_sweeps=3,
    )
    picture = np.zeros((4, 4), np.uint8)
    picture[0] = 200
    Image.fromarray(picture).save(folder / "digit.png")
    return folder


def test_the_kept_half_stays(run, capsys):
    words = ["sample", str(run / "bits"), "-n", "6", "--condition-on", str(run / "digit.png")]
    assert main([*words, "--mask", "top", "--output", str(run / "filled.npy")]) == 0
    x = np.load(run / "filled.npy").reshape(6, 4, 4)
    assert (x[:, 0] == 1).all() and (x[:, 1] == 0).all() and set(np.unique(x)) <= {0, 1}
    assert len(np.unique(x[:, 2:].reshape(6, -1), axis=0)) > 1
    assert main([*words, "--mask", "top", "--output", str(run / "filled.png")]) == 0
    with Image.open(run / "filled.png") as sheet:
        assert sheet.height < sheet.width / 3


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--condition-on", "digit.png"], "go together"),
        (["--mask", "top"], "go together"),
        (
            ["--condition-on", "digit.png", "--mask", "middle"],
            "one of top, left, bottom, right or a file",
        ),
        (["--condition-on", "digit.png", "--mask", "top", "--refine", "hmc"], "leave out one"),
        (["--condition-on", "digit.png", "--mask", "ones.npy"], "leave a part to fill in"),
        (
            ["--condition-on", "digit.png", "--mask", "three.npy"],
            "has 3 entries; an observation has 16",
        ),
        (["--condition-on", "two.npy", "--mask", "top"], "holds 2 observations"),
        (["--condition-on", "large.png", "--mask", "top"], "this model is of 16 bits"),
    ],
)
def test_what_does_not_fit(run, capsys, monkeypatch, words, why):
    monkeypatch.chdir(run)
    np.save("ones.npy", np.ones((1, 16)))
    np.save("three.npy", np.ones((1, 3)))
    np.save("two.npy", np.zeros((2, 16)))
    Image.fromarray(np.full((5, 5), 200, np.uint8)).save("large.png")
    assert main(["sample", "bits", *words, "--output", "x.npy"]) == 2
    assert why in capsys.readouterr().err


def test_masks():
    square, colour = binary((16,)), pixels((3, 2, 4), 256)
    assert read_mask("left", square).view(4, 4)[:, :2].all()
    assert int(read_mask("right", square).sum()) == 8
    assert read_mask("bottom", colour)[:, 1].all() and not read_mask("bottom", colour)[:, 0].any()
    with pytest.raises(ValueError, match="no images with halves"):
        read_mask("top", unscaled((5,)))


def test_a_mask_per_pixel_counts_for_every_channel(tmp_path):
    np.save(tmp_path / "mask.npy", np.eye(2, 4)[None])
    kept = read_mask(str(tmp_path / "mask.npy"), pixels((3, 2, 4), 256))
    assert torch.equal(kept, torch.eye(2, 4).bool().expand(3, 2, 4))
    np.save(tmp_path / "row.npy", np.array([[0.5, -1.0]]))
    row = read_observation(tmp_path / "row.npy", unscaled((2,)))
    assert row.tolist() == [0.5, -1.0]
    np.save(tmp_path / "real.npy", np.array([[0.5, -1.0, 3.0]]))
    with pytest.raises(ValueError, match="other than 0 and 1"):
        read_observation(tmp_path / "real.npy", binary((3,)))


def test_bits_are_drawn_as_squares_and_points_are_not():
    assert as_pictures(np.ones((3, 16))).shape == (3, 1, 4, 4)
    assert as_pictures(np.ones((3, 15))).shape == (3, 15)
    assert as_pictures(2 * np.ones((3, 16))).shape == (3, 16)
    assert as_pictures(np.ones((3, 4))).shape == (3, 4)
