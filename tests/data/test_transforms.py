"""Units: what is undone on the way back, and by how much log-densities shift."""

import json
import math

import numpy as np
import pytest
import torch

from gibbsian.data.lattice import lattice
from gibbsian.data.transforms import Scaling, Transform, binary, columnwise, pixels, unscaled


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def table() -> torch.Tensor:
    """Continuous, integer, rounded to 0.05, and two-valued columns."""
    g = np.random.default_rng(0)
    x = g.normal(size=(500, 4)) * [3, 1, 1, 1] + [100, 0, 0, 0]
    x[:, 1] = g.poisson(20, 500)
    x[:, 2] = g.integers(-40, 60, 500) * 0.05
    x[:, 3] = g.integers(0, 2, 500)
    return torch.from_numpy(x)


@pytest.mark.parametrize("scaling", ["standardise", "none"])
def test_columns_come_back(scaling: str) -> None:
    x = table()
    transform = columnwise(x, ("a", "b", "c", "d"), scaling)
    assert [level > 0 for level in transform.levels] == [False, True, True, True]
    u = transform.encode(x, rng())
    assert u.dtype == torch.float32
    back = transform.decode(u)
    assert back.dtype == (torch.float64 if scaling == "standardise" else torch.float32)
    np.testing.assert_allclose(back, x, rtol=1e-5, atol=1e-5)
    # Noise of one step, no more, centred on the value.
    step = torch.tensor(transform.unit, dtype=torch.float64)
    slope = torch.tensor(transform.unit) * torch.tensor(transform.scale)
    noise = (u - transform.encode(x)) * slope / step
    assert float(noise[:, 1:].abs().max()) < 0.5 and float(noise[:, 1:].abs().max()) > 0.49
    assert float(noise[:, 0].abs().max()) == 0


def test_standardises_what_the_networks_see() -> None:
    x = table()
    u = columnwise(x).encode(x, rng())
    # Noise alone has deviations up to 0.5 here, so its means err by 0.022; five of them.
    np.testing.assert_allclose(u.mean(0), 0, atol=0.11)
    np.testing.assert_allclose(u.var(0), 1, atol=0.1)


def test_log_jacobian_is_that_of_encode() -> None:
    transform = columnwise(table()[:, :2], dequantise=False)
    x = torch.tensor([[99.0, 21.0]], dtype=torch.float64)
    slopes = []
    for j in range(2):
        moved = x.clone()
        moved[0, j] += 2.0
        slopes.append(float((transform.encode(moved) - transform.encode(x))[0, j]) / 2)
    assert transform.log_jacobian == pytest.approx(math.log(slopes[0] * slopes[1]), abs=1e-5)
    assert pixels((1, 4, 4), 256).log_jacobian == pytest.approx(16 * math.log(1 / 128))
    assert pixels((1, 4, 4), 0).log_jacobian == pytest.approx(16 * math.log(2))
    assert unscaled((3,)).log_jacobian == binary((3,)).log_jacobian == 0


@pytest.mark.parametrize("column", range(4))
def test_a_column_times_ten_shifts_every_log_density_by_ln_10(column: int) -> None:
    """The networks see the same bits, so only the Jacobian changes."""
    x = table()
    scaled = x.clone()
    # As two files would have it: both decimals, each rounded once.
    scaled[:, column] = torch.tensor(
        [float(f"{v:.12g}") * 10 for v in x[:, column].tolist()], dtype=x.dtype
    )
    x[:, column] = torch.tensor([float(f"{v:.12g}") for v in x[:, column].tolist()], dtype=x.dtype)
    one, ten = columnwise(x), columnwise(scaled)
    assert torch.equal(one.encode(x, rng(5)), ten.encode(scaled, rng(5)))
    assert ten.log_jacobian - one.log_jacobian == pytest.approx(-math.log(10), abs=1e-12)


def test_decoded_samples_are_grid_values_within_the_data_s_range() -> None:
    x = table()
    transform = columnwise(x)
    y = transform.decode(3 * torch.randn(2000, 4, generator=rng()))
    assert set(y[:, 3].tolist()) == {0.0, 1.0}
    assert set(y[:, 1].tolist()) <= set(map(float, range(int(x[:, 1].min()), 60)))
    assert float(y[:, 1].max()) == float(x[:, 1].max())
    assert float(y[:, 0].max()) > float(x[:, 0].max())  # a continuous column is not clipped


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_pixels(levels: int) -> None:
    x = torch.arange(levels).float().repeat(400)[:, None, None, None]
    transform = pixels((1, 1, 1), levels)
    u = transform.encode(x, rng())
    assert float(u.min()) >= -1 and float(u.max()) <= 1
    # Uniform levels with uniform noise are uniform on [-1, 1]: Kolmogorov distance, false alarm 1e-9.
    gap = (u.flatten().sort().values + 1) / 2 - torch.linspace(0, 1, len(u))
    assert float(gap.abs().max()) < 3.3 / math.sqrt(len(u))
    assert torch.equal(transform.decode(u), x)
    assert float(transform.decode(torch.full((1, 1, 1, 1), 7.0))) == levels - 1
    plain = pixels((1, 1, 1), levels, dequantise=False)
    assert torch.equal(plain.encode(x).unique(), plain.encode(x[:levels]).flatten())
    assert float(plain.encode(x).max()) == 1 and float(plain.encode(x).min()) == -1


def test_values_off_the_grid_are_left_as_they_are() -> None:
    transform = pixels((1, 1, 2), 256)
    x = torch.tensor([[[[12.25, 40.0]]]])
    seen = transform.encode(x, rng()) * 128 + 127.5
    assert float(seen[..., 0]) == pytest.approx(12.25)
    assert float(seen[..., 1]) != 40.0


def test_config_is_json() -> None:
    for transform in (columnwise(table(), tuple("abcd")), pixels((3, 8, 8), 256), binary((4,))):
        text = json.dumps(transform.to_config(), allow_nan=False)
        assert Transform.from_config(json.loads(text)) == transform


def test_constant_column_and_wrong_shape() -> None:
    x = table()
    x[:, 2] = 4.0
    with pytest.raises(ValueError, match=r"column 3 \('c'\) is constant \(4\).*drop it"):
        columnwise(x, tuple("abcd"))
    with pytest.raises(ValueError, match=r"\[B, 2\].*\[5, 3\]"):
        unscaled((2,)).encode(torch.zeros(5, 3))


def test_lattice_finds_steps() -> None:
    g = np.random.default_rng(1)
    assert lattice(g.normal(size=1000)) is None
    assert lattice(g.normal(size=1000).astype(np.float32)) is None
    assert lattice(g.normal(size=5)) is None
    for step, offset in ((1.0, 0.0), (0.1, 3.0), (0.002, -7.0), (10.0, 1e6), (1 / 3, 0.0)):
        values = offset + step * g.integers(0, 900, 700)
        found = lattice(values)
        assert found is not None and found.step == pytest.approx(step, rel=1e-9)
    found = lattice((0.1 * g.integers(0, 90, 300)).astype(np.float32))
    assert found is not None and found.step == pytest.approx(0.1, rel=1e-5)
    mixed = np.concatenate([0.1 * g.integers(0, 90, 300), [math.pi]])
    assert lattice(mixed) is None


@pytest.mark.parametrize("values", [2**60 + np.arange(9), 2**60 + 256 * np.arange(9) + 1])
def test_whole_numbers_that_doubles_cannot_tell_apart_are_no_grid(values: np.ndarray) -> None:
    assert lattice(values) is None


@pytest.mark.parametrize("scaling", ["standardise", "none"])
@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("extremes", [(1e300,), (1.7e308, -1.7e308)])
def test_values_that_cannot_be_scaled_name_their_column(
    scaling: Scaling, place: int, extremes: tuple[float, ...]
) -> None:
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    parts = [x.clone(), x[:9].clone()]
    parts[place][3 : 3 + len(extremes), 1] = torch.tensor(extremes, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"column 2 \('b'\), .*e\+30.*; drop or correct"):
        columnwise(parts[0], ("a", "b"), scaling, others=(parts[1],))


def test_values_too_small_for_their_variance() -> None:
    x = torch.randn(50, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with pytest.raises(ValueError, match=r"column 1, .* cannot be scaled"):
        columnwise(x * 1e-300)
    transform = columnwise(x * 1e-100)
    assert transform.log_jacobian == pytest.approx(columnwise(x).log_jacobian + 100 * math.log(10))
