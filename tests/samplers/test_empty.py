"""Chains of nothing are refused in a sentence."""

import pytest
import torch

from gibbsian.samplers import hmc, mala, run_chains, ula


def energy(x):
    return 0.5 * x.square().sum(1)


@pytest.mark.parametrize("kernel", [mala, ula, hmc])
@pytest.mark.parametrize("shape", [(0, 2), (3, 0), (0, 0), (0,), ()])
def test_no_chains_and_no_dimensions(kernel, shape):
    with pytest.raises(ValueError, match=r"at least one chain .* dimension"):
        run_chains(kernel(energy, 0.1), torch.zeros(shape), 3, torch.Generator())
