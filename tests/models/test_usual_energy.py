"""What rows of a value usually have is taken off their energies: by hand, and of two columns at once."""

import pytest
import torch

from gibbsian.models.detector import Detector
from gibbsian.models.usual_energy import AS_RARE, usual_energy


def test_half_of_what_ten_rows_have_in_common_is_usual() -> None:
    energy = torch.tensor([0.0] * 30 + [6.0] * 10 + [50.0])
    codes = torch.tensor([[0]] * 30 + [[1]] * 10 + [[2]])
    found = usual_energy(energy, codes, (4,))
    # The median row has 0; a value with one row keeps ten elevenths of what it is above.
    assert found.tolist() == pytest.approx([0, 6 * 10 / (10 + AS_RARE), 50 / 11, 0])


def test_one_strange_row_does_not_make_its_value_usual() -> None:
    energy, codes = torch.zeros(60), torch.arange(60)[:, None] % 3
    energy[0] = 1e6
    assert usual_energy(energy, codes, (3,)).abs().max() == 0


def test_columns_share_what_is_usual() -> None:
    """Energies are sums over two columns; of each sum a row of many keeps what its values are short of."""
    rng = torch.Generator().manual_seed(0)
    codes = torch.stack([torch.randint(3, (4_000,), generator=rng) for _ in range(2)], 1)
    first, second = torch.tensor([0.0, 2.0, 5.0]), torch.tensor([0.0, 0.0, 3.0])
    energy = first[codes[:, 0]] + second[codes[:, 1]] + torch.rand(4_000, generator=rng)
    usual = usual_energy(energy, codes, (3, 3))
    above = usual[codes[:, 0]] + usual[3 + codes[:, 1]] - energy
    # The median of about 440 uniform numbers has an error of 0.024, and 10 of 1 300 rows are kept of 5 nats.
    medians = [
        float(above[(codes == torch.tensor(pair)).all(1)].median()) for pair in ((0, 0), (2, 2))
    ]
    assert medians[0] == pytest.approx(medians[1], abs=0.2)


def test_a_wide_rare_value_is_as_strange_as_others() -> None:
    """Rows of a value of 4 % with spread 40 are no stranger than others, and one far out among them is."""
    rng = torch.Generator().manual_seed(1)
    kind = (torch.rand(1_000, generator=rng) < 0.04).double()
    y = torch.randn(1_000, 2, generator=rng, dtype=torch.float64)
    y[:, 0] = torch.where(kind > 0, 100 + 40 * y[:, 0], y[:, 0])
    x = torch.cat([kind[:, None], y], 1)
    detector = Detector.fit(x, categories=(2, 0, 0))
    energy = detector.energy(x)
    share = float((energy[kind > 0] > energy.quantile(0.9)).double().mean())
    # 0.1 is fair; 40 rows give it an error of 0.05, and a tenth of their energies stays with them.
    assert share < 0.4
    far = torch.tensor(
        [[1.0, 300.0, 0.0], [0.0, 5.0, 0.0], [1.0, 100.0, 0.0], [0.0, 0.0, 0.0]]
    ).double()
    assert bool((detector.energy(far)[:2] > energy.quantile(0.99)).all())
    assert bool((detector.energy(far)[2:] < energy.quantile(0.8)).all())
