"""Corruptions do what their names say, by how much, and leave the original alone."""

import pytest
import torch

from gibbsian.core import DataSpace
from gibbsian.data import corrupted_copies


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_vectors() -> None:
    x = torch.randn(20_000, 3, generator=rng()) * torch.tensor([1.0, 5.0, 0.2])
    kept, std = x.clone(), x.std(0)
    result = corrupted_copies(x, DataSpace((3,), "vector"), rng(), std)
    assert list(result) == ["noise 0.1", "noise 0.3", "noise 1", "column shuffled"]
    for size in (0.1, 0.3, 1.0):
        noise = (result[f"noise {size:g}"] - x) / std
        # Relative error of a standard deviation 1/sqrt(2N) = 0.005; six of them.
        assert torch.allclose(noise.std(0), torch.full((3,), size), rtol=0.03)
    changed = (result["column shuffled"] != x).any(0)
    assert int(changed.sum()) == 1
    column = int(changed.nonzero())
    assert torch.equal(result["column shuffled"][:, column].sort()[0], x[:, column].sort()[0])
    assert torch.equal(x, kept)


def test_images() -> None:
    x = 2 * torch.rand(40, 3, 6, 8, generator=rng()) - 1
    result = corrupted_copies(x, DataSpace((3, 6, 8), "image", (-1.0, 1.0)), rng(), x.std(0))
    assert list(result)[-2:] == ["column shuffled", "halves swapped"]
    swapped = result["halves swapped"]
    assert torch.equal(swapped[..., :4], x[..., 4:]) and torch.equal(swapped[..., 4:], x[..., :4])
    changed = (result["column shuffled"] != x).flatten(0, 2).any(0)
    assert changed.nonzero().flatten().tolist() == [4]
    assert float(result["noise 1"].max()) <= float(x.max())


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2])
def test_bits(share: float) -> None:
    x = torch.randint(2, (5000, 20), generator=rng()).float()
    result = corrupted_copies(x, DataSpace((20,), "binary", (0.0, 1.0)), rng(), x.std(0))
    flipped = result[f"flip {share:g}"]
    assert set(flipped.unique().tolist()) == {0.0, 1.0}
    # Standard error sqrt(s(1-s)/1e5) <= 0.0013; five of them.
    assert abs(float((flipped != x).float().mean()) - share) < 0.0065
