"""A run on a folder as people have them goes on, is evaluated, scores and samples with what it was told."""

import numpy as np
import pytest
import torch
from PIL import Image

from gibbsian.cli import main
from gibbsian.core.files import read_json
from gibbsian.core.tensor_files import read_tensors

SIDE = 6
TRAIN = (
    *("train", "cd", "--data", "in", "--device", "cpu", "--batch", "8", "--save-every", "2"),
    *("--energy", "mlp", "--energy.width", "4", "--chains", "8"),
    *("--sampler.steps", "1", "--sampler.steps-per-sample", "1"),
)


@pytest.fixture
def messy(here):
    """Forty images of two classes, of which two files cannot be read."""
    arrays = np.random.default_rng(0).integers(0, 256, (40, SIDE, SIDE)).astype(np.uint8)
    for i, array in enumerate(arrays):
        folder = here / "in" / ("cat" if i % 4 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(folder / f"{i:02}.{('png', 'tif', 'bmp')[i % 3]}")
    (here / "in/cat/zero.png").touch()
    (here / "in/dog/text.png").write_text("a text")
    return here


def test_unreadable_files_are_left_out_by_every_command(messy, refused, capsys):
    said = refused(*TRAIN, "--rounds", "2", "--out", "run")
    assert "cat/zero.png in in cannot be read as an image" in said
    assert "train with --skip-unreadable" in said and not (messy / "run").exists()
    assert main([*TRAIN, "--rounds", "4", "--out", "run", "--skip-unreadable"]) == 0
    said = capsys.readouterr().err
    assert "2 files left out, unreadable: cat/zero.png, dog/text.png" in said
    assert "classes from folder names, numbered from 0: cat 30, dog 10" in said
    lines = (messy / "run/unreadable.txt").read_text().splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["cat/zero.png", "dog/text.png"]
    assert read_json(messy / "run/config.json")["config"]["source"]["skip_unreadable"] is True

    weights = read_tensors(messy / "run/model/model.safetensors")[0]
    for checkpoint in (messy / "run/state").glob("round-4.*"):
        checkpoint.unlink()
    assert main(["train", "--resume", "run"]) == 0
    resumed = read_tensors(messy / "run/model/model.safetensors")[0]
    assert resumed.keys() == weights.keys()
    assert all(torch.equal(resumed[name], weights[name]) for name in weights)
    assert main(["evaluate", "run", "--num-samples", "20", "--device", "cpu"]) == 0
    capsys.readouterr()
    assert main(["score", "run", "in", "--device", "cpu"]) == 0
    out, said = capsys.readouterr()
    lines = out.splitlines()
    assert len(lines) == 41 and lines[0] == "row,file,energy,energy_percentile"
    assert lines[1].startswith("1,cat/01.tif,") and lines[40].startswith("40,dog/36.png,")
    assert "log-densities are left out for images" in said
    assert "left out, unreadable, so that rows number the other images: cat/zero.png" in said
    assert main(["sample", "run", "-n", "4", "--output", "s.npy", "--device", "cpu"]) == 0
    assert np.load("s.npy").shape == (4, 1, SIDE, SIDE)


def test_a_run_without_the_option_scores_the_good_files_and_names_the_bad_ones(messy, capsys):
    (messy / "in/cat/zero.png").rename(messy / "zero.png")
    (messy / "in/dog/text.png").unlink()
    assert main([*TRAIN, "--rounds", "2", "--out", "run"]) == 0
    assert not (messy / "run/unreadable.txt").exists()
    (messy / "zero.png").rename(messy / "in/cat/zero.png")
    capsys.readouterr()
    assert main(["score", "run", "in", "--output", "scores.csv"]) == 0
    assert "in: left out, unreadable, so that rows number the other images: cat/zero.png" in (
        capsys.readouterr().err
    )
    assert "zero.png" not in (messy / "scores.csv").read_text()
