"""Mirrored and shifted batches."""

import numpy as np
import pytest
import torch

import gibbsian
from gibbsian.cli import main
from gibbsian.config.config import replace
from gibbsian.config.recipes import default_config
from gibbsian.config.run_folder import open_run
from gibbsian.data.augmentation import mirrored, shifted
from gibbsian.models.train import resume, train_config


def test_half_of_the_images_are_mirrored():
    x = torch.arange(400.0).view(400, 1, 1, 1) + torch.arange(12.0).view(1, 1, 3, 4)
    found = mirrored(x, torch.Generator().manual_seed(0))
    same, other = (found == x).flatten(1).all(1), (found == x.flip(-1)).flatten(1).all(1)
    assert bool((same ^ other).all())
    # Of 400, 200 with a standard deviation of 10: beyond 50 in 6e-7 of seeds, and this one is fixed.
    assert 150 < int(other.sum()) < 250


def test_shifts_are_whole_pixels_of_all_sizes_with_the_edge_repeated():
    x = torch.rand(2_000, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    found = shifted(x, torch.Generator().manual_seed(0))
    padded = np.pad(x[:, 0].numpy(), ((0, 0), (2, 2), (2, 2)), mode="edge")
    steps = np.zeros((5, 5), int)
    for image, around in zip(found[:, 0].numpy(), padded, strict=True):
        fits = [
            (i, j)
            for i in range(5)
            for j in range(5)
            if np.array_equal(image, around[i : i + 28, j : j + 28])
        ]
        assert len(fits) == 1
        steps[fits[0]] += 1
    # Each of 25 has 80 of 2 000 with a standard deviation of 8.8: one beyond 45 in 1e-5 of seeds.
    assert abs(steps - 80).max() < 45


def config(rounds):
    options = {"rounds": rounds, "batch": 32, "augment": "flips-and-shifts", "device": "cpu"}
    base = default_config("vae", "digits")
    steady = {f"{player}_optimizer": {"lr_schedule": "constant"} for player in base.optimizers}
    return replace(base, training=options, source={"max_rows": 300}, **steady)


def test_a_resumed_run_equals_the_whole_one_and_differs_from_one_without(tmp_path):
    whole = train_config(config(6), None).method.state_dict()
    options = {"out": tmp_path / "run"}
    gibbsian.train(config(3), None, **options)
    again = resume(open_run(tmp_path / "run").path, rounds=6).method.state_dict()
    plain = train_config(replace(config(6), training={"augment": "none"}), None)
    for name, value in whole.items():
        assert torch.equal(value, again[name]), name
    others = plain.method.state_dict()
    assert any(not torch.equal(value, others[name]) for name, value in whole.items())


def test_tables_are_refused(capsys):
    assert main(["train", "nce", "--data", "wine", "--rounds", "1", "--augment", "flips"]) == 2
    assert "--augment flips is for images" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["flip", "rotations"])
def test_unknown_kinds_are_refused(kind, capsys):
    assert main(["train", "vae", "--data", "digits", "--rounds", "1", "--augment", kind]) == 2
    assert "flips" in capsys.readouterr().err
