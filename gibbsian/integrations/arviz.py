"""Chains in the format of ArviZ, which plots, tabulates and keeps them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from gibbsian.core.files import write_atomic
from gibbsian.samplers import Chains


def to_inference_data(chains: Chains[Any], name: str = "x") -> Any:
    """An ``arviz.InferenceData``: the draws as variable ``name`` of its group ``posterior``.

    Where ``run_chains`` was told to ``record``, the group ``sample_stats`` says of each draw how it came
    about: ``acceptance_rate``, ``diverging`` and ``step_size``, all under ArviZ's names. Raises
    ImportError, naming the extra, where ArviZ is not installed.
    """
    try:
        import arviz
    except ImportError as error:
        raise ImportError(
            "chains in ArviZ's format need the package arviz: pip install 'gibbsian[arviz]'"
        ) from error
    groups = chains.to_arviz()
    attributes = {"steps": chains.steps, "thin": chains.thin, "evaluations": chains.evaluations}
    return arviz.from_dict(
        posterior={name: groups["posterior"]["x"]},
        sample_stats=groups.get("sample_stats"),
        posterior_attrs=attributes,
    )


def write_chains(path: Path, chains: Chains[Any], name: str = "x") -> None:
    """Write ``to_inference_data`` as a netCDF file, which ``arviz.from_netcdf`` reads."""
    data = to_inference_data(chains, name)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "chains.nc"
        data.to_netcdf(str(file))
        write_atomic(path, file.read_bytes())
