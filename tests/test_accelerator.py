"""The first command to run on a GPU goes through all its motions on the CPU, and can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import accelerator
from gibbsian.core.files import read_json


def measured(out: Path) -> tuple[int, dict]:
    words = ["--device", "cpu", "--quick", "--methods", "vae", "--out", str(out)]
    return accelerator.main(words), read_json(out)


def nothing(*args: object, **options: object) -> dict:
    return {}


@pytest.fixture
def untimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what takes long."""
    monkeypatch.setattr(accelerator, "speed", nothing)
    monkeypatch.setattr(accelerator, "chains", nothing)


def test_everything_is_measured_on_the_cpu_too(tmp_path: Path) -> None:
    status, record = measured(tmp_path / "found.json")
    assert status == 0
    row = record["methods"]["vae"]
    assert row["against the CPU"] == {"difference": 0.0, "as promised": True}
    assert row["resume"] == {"same bits": True, "as promised": True}
    assert row["waits"] == {}  # which only CUDA counts
    for variant in ("cpu", "device", "bfloat16"):
        assert row[variant]["rounds per second"] > 0
    assert "mode of CUDA devices" in row["tf32"]["failed"]
    assert all(rate > 0 for kind in record["chains"].values() for rate in kind.values())
    page = (tmp_path / "found.md").read_text()
    assert "| vae | 0.0e+00 | True |" in page and "| hmc, 256 chains |" in page


@pytest.mark.usefixtures("untimed")
def test_a_device_that_computes_something_else_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, calls = accelerator.differentiated, []

    def off(*args: object) -> list:
        calls.append(1)  # the device is asked first, then the CPU
        return [x * (1 + 2e-3 * (len(calls) % 2)) for x in own(*args)]

    monkeypatch.setattr(accelerator, "differentiated", off)
    status, record = measured(tmp_path / "found.json")
    assert status == 1
    assert record["methods"]["vae"]["against the CPU"]["difference"] == pytest.approx(
        2e-3, rel=0.01
    )


@pytest.mark.usefixtures("untimed")
def test_a_method_that_fails_costs_the_others_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(name: str, device: object) -> dict:
        raise RuntimeError("no kernel for this\nand more")

    monkeypatch.setattr(accelerator, "resumed", broken)
    status, record = measured(tmp_path / "found.json")
    assert status == 1
    row = record["methods"]["vae"]
    assert row["resume"] == {"failed": "RuntimeError: no kernel for this"}
    assert row["against the CPU"]["as promised"]


def test_it_is_refused_without_the_device(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="device 'cuda:9' is not there"):
        accelerator.main(["--device", "cuda:9", "--out", str(tmp_path / "found.json")])
