"""An energy of your own in place of a built-in one: in Python and on the command line.

python examples/own_network.py [--quick]

cd examples && gibbsian train cd --data wine --energy own_network:ResidualEnergy --out runs/wine
"""

import sys
import tempfile
from pathlib import Path

from torch import Tensor, nn

import gibbsian
from gibbsian.core import DataSpace


class ResidualEnergy(nn.Module):
    """E(x) = w . phi(x) + |x|^2 / 8 with residual blocks; any module from [B, *event] to [B] will do.

    The command line calls the class with what its constructor names: ``space`` (shape and kind of
    one observation); keyword-only arguments are its options, as in --energy.width.
    """

    confining = (
        True  # E grows at infinity: exp(-E) has a normaliser on R^d. Without this line, none
    )

    def __init__(self, space: DataSpace, *, width: int = 64, blocks: int = 3) -> None:
        super().__init__()
        self.enter = nn.Linear(space.shape[0], width)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.leave = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, d] -> [B]``."""
        phi = self.enter(x)
        for block in self.blocks:
            phi = phi + nn.functional.silu(block(phi))
        return self.leave(phi).squeeze(1) + x.square().sum(1) / 8


def main() -> None:
    """Train it on wine (178 rows, 13 measurements), save, load, and score two rows."""
    rounds = 20 if "--quick" in sys.argv else 1_000
    space = DataSpace((13,), "vector")
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "wine"
        gibbsian.train(
            "cd",
            "wine",
            out=run,
            networks={"energy": ResidualEnergy(space)},
            chains=128,
            training={"rounds": rounds, "batch": 64},
        )
        # Weights are saved, code is not: loading an instance needs one to put the weights into.
        model = gibbsian.load_model(run, networks={"energy": ResidualEnergy(space)})
    x = model.sample(2)
    print(f"two samples, in the units of the data:\n{x}\ntheir energies: {model.energy(x)}")


if __name__ == "__main__":
    main()
