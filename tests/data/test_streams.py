"""Batches: every row once an epoch, disjoint between processes, resumed to the bit, fast."""

import time

import pytest
import torch

from gibbsian.data import BatchStream
from gibbsian.data.transforms import pixels, unscaled

X = torch.arange(103.0)[:, None].repeat(1, 2)
IMAGES = torch.randint(0, 256, (50, 1, 4, 4), generator=torch.Generator().manual_seed(0)).float()


def stream(seed: int = 0, **options: object) -> BatchStream:
    return BatchStream(X, unscaled((2,)), 10, seed, **options)


def image_stream(seed: int = 0, **options: object) -> BatchStream:
    return BatchStream(IMAGES, pixels((1, 4, 4), 256), 8, seed, **options)


def test_an_epoch_holds_every_row_at_most_once() -> None:
    s = stream(targets=torch.arange(103) * 2)
    for _ in range(3):
        batches = [next(s) for _ in range(s.epoch_length)]
        index = torch.cat([b.index for b in batches])
        assert len(index) == 100 and len(index.unique()) == 100
        assert torch.equal(torch.cat([b.x for b in batches])[:, 0].long(), index)
        assert torch.equal(torch.cat([b.target for b in batches]), 2 * index)


def test_epochs_and_seeds_differ() -> None:
    s = stream()
    first, second = ([next(s).index for _ in range(10)] for _ in range(2))
    assert not torch.equal(torch.cat(first), torch.cat(second))
    assert not torch.equal(next(stream(1)).index, next(stream(2)).index)


@pytest.mark.parametrize("make", [stream, image_stream])
@pytest.mark.parametrize("drawn", [0, 3, 10, 27])
def test_resumes_to_the_bit(make, drawn: int) -> None:
    one, other = make(7), make(7)
    for _ in range(drawn):
        next(one)
    assert one.state_dict() == {"drawn": drawn}
    other.load_state_dict(one.state_dict())
    for _ in range(15):
        a, b = next(one), next(other)
        assert torch.equal(a.x, b.x) and torch.equal(a.index, b.index)


def test_processes_share_one_permutation() -> None:
    whole = BatchStream(X, unscaled((2,)), 20, 3)
    parts = [stream(3, rank=rank, world=2) for rank in range(2)]
    for _ in range(12):
        together = torch.cat([next(part).index for part in parts])
        assert torch.equal(together, next(whole).index)
    noisy = [image_stream(3, rank=rank, world=2) for rank in range(2)]
    noise = [((b := next(s)).x - s.transform.encode(IMAGES)[b.index]) for s in noisy]
    assert not torch.equal(*noise)


def test_noise_is_fresh_and_stays_in_the_cell() -> None:
    s = image_stream()
    sight: dict[int, torch.Tensor] = {}
    for _ in range(12):
        batch = next(s)
        assert torch.equal(s.transform.decode(batch.x), IMAGES[batch.index])
        for row, x in zip(batch.index.tolist(), batch.x, strict=True):
            assert row not in sight or not torch.equal(sight[row], x)
            sight[row] = x


@pytest.mark.parametrize(("batch", "world"), [(104, 1), (60, 2)])
def test_batch_larger_than_the_data(batch: int, world: int) -> None:
    with pytest.raises(
        ValueError, match=r"larger than the 103 training rows; use a batch of at most"
    ):
        BatchStream(X, unscaled((2,)), batch, 0, world=world)
    with pytest.raises(ValueError, match="at least 1"):
        BatchStream(X, unscaled((2,)), 0, 0)


def test_fast_on_the_plane() -> None:
    s = BatchStream(torch.randn(50_000, 2), unscaled((2,)), 256, 0)
    next(s)
    best = min(_seconds(s, 400) for _ in range(5))
    assert best / 400 < 60e-6  # 5 microseconds alone on the machine


def _seconds(s: BatchStream, n: int) -> float:
    start = time.process_time()
    for _ in range(n):
        next(s)
    return time.process_time() - start
