"""The valid files that are damaged: small tables, pictures and runs, made anew for each campaign."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy
from PIL import Image

from fuzz.execute import execute

SMALL = (
    "--rounds",
    "4",
    "--save-every",
    "2",
    "--log-every",
    "1",
    "--device",
    "cpu",
    "--batch",
    "16",
)
RUNS: Mapping[str, tuple[str, ...]] = {
    "table": (
        *(
            "cd",
            "--data",
            "table.csv",
            "--chains",
            "8",
            "--sampler.steps",
            "2",
            "--sampler.steps-per-sample",
            "2",
        ),
        *("--energy.width", "8"),
    ),
    "game": (
        *("vgan", "--data", "ring8", "--max-rows", "300", "--energy.width", "8"),
        *("--generator.width", "8", "--energy.fourier-features", "4"),
    ),
    "pictures": ("vae", "--data", "pictures.zip"),
}
"""Name of a run and how it is trained; "table" is trained twice, with another seed the second time."""
ROWS = {"table": "table.csv", "game": "plane.csv", "pictures": "pictures.zip"}
"""The file of rows that each model scores."""

DEEDS: Mapping[str, tuple[str, ...]] = {
    "score": ("score", "run", "ROWS", "--output", "scores.csv", "--device", "cpu"),
    "sample": ("sample", "run", "-n", "8", "--output", "samples.npy", "--device", "cpu"),
    "refine": (
        *("sample", "run", "-n", "4", "--refine", "mala", "--mcmc-steps", "20"),
        *("--output", "samples.npy", "--device", "cpu"),
    ),
    "resume": ("train", "--resume", "run", "--rounds", "6", "--device", "cpu"),
    "again": ("train", "--resume", "run"),
    "evaluate": ("evaluate", "run", "--num-samples", "50", "--json", "--device", "cpu"),
    "report": ("report", "run", "--output", "report.html"),
    "sweep": (
        *("sweep", "ebgan", "--data", "ring8", "--search-space", "space.json", "--out", "sweep"),
        *("--target-metric", "high-quality", "--num-samples", "50"),
    ),
}
"""What is done with a run, or a sweep, whose result must not change in silence."""
KEPT = {"older": 1, "none": 2}
"""Resuming without the newest checkpoint, or any: a schedule is then that of the longer run from there on."""
SPACE = {
    "rounds": [2],
    "batch": [16],
    "max_rows": [300],
    "device": ["cpu"],
    "generator.width": [8],
    "energy.width": [8],
    "margin": [0.5, 2.0],
}


@dataclass(frozen=True)
class Corpus:
    """``folder`` holds a folder per run, ``files`` and ``sweep``; ``expected`` what each deed gives."""

    folder: Path
    expected: Mapping[str, str]


def deed_words(deed: str, run: str) -> tuple[str, ...]:
    """The command of a deed on a run of the corpus."""
    return tuple(ROWS[run] if word == "ROWS" else word for word in DEEDS[deed])


def make(folder: Path) -> Corpus:
    """Write the files, train the runs, and note what every deed gives on undamaged ones."""
    files = folder / "files"
    files.mkdir(parents=True)
    write_files(files)
    for name, words in RUNS.items():
        _train(folder / name, files, (*words, "--seed", "1"))
        _train(folder / f"{name}-other", files, (*words, "--seed", "2"))
    shutil.copytree(files, folder / "sweep")
    _must(DEEDS["sweep"], folder / "sweep")
    expected = {}
    for name in RUNS:
        for deed in DEEDS:
            if possible(deed, name):
                copy = folder / "try"
                shutil.copytree(folder / name, copy)
                _must(deed_words(deed, name), copy)
                expected[f"{name} {deed}"] = result(deed, copy)
                shutil.rmtree(copy)
        for kept, gone in KEPT.items():
            copy = folder / "try"
            shutil.copytree(folder / name, copy)
            for path in sorted((copy / "run" / "state").iterdir())[-gone:]:
                path.unlink()
            _must(deed_words("resume", name), copy)
            expected[f"{name} {kept}"] = result("resume", copy)
            shutil.rmtree(copy)
    expected["sweep sweep"] = result("sweep", folder / "sweep")
    return Corpus(folder, expected)


def possible(deed: str, run: str) -> bool:
    """Whether a deed makes sense for a run of the corpus."""
    return deed != "sweep" and not (run == "pictures" and deed == "refine")


def result(deed: str, folder: Path) -> str:
    """What a deed has left in ``folder``, as text to compare: numbers to the last bit, no dates or ids."""
    if deed == "score":
        return (folder / "scores.csv").read_text()
    if deed in ("sample", "refine"):
        return _digest((folder / "samples.npy").read_bytes())
    if deed in ("resume", "again"):
        return weights(folder / "run" / "model" / "model.safetensors")
    if deed == "evaluate":
        return (folder / ".out").read_text()
    if deed == "report":
        return (folder / "report.html").read_text()
    summary = json.loads((folder / "sweep" / "summary.json").read_text())
    rows = {json.dumps([t["values"], t.get("figures")], sort_keys=True) for t in summary["trials"]}
    return "\n".join(sorted(rows))


def weights(path: Path) -> str:
    """Names of the tensors in a safetensors file with a digest of each."""
    tensors = safetensors.numpy.load_file(path)
    return json.dumps({n: _digest(np.ascontiguousarray(t).tobytes()) for n, t in tensors.items()})


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def _train(folder: Path, files: Path, words: tuple[str, ...]) -> None:
    shutil.copytree(files, folder)
    _must(("train", *words, *SMALL, "--out", "run"), folder)
    for deed in ("evaluate", "refine"):
        if possible(deed, folder.name.removesuffix("-other")):
            _must(deed_words(deed, folder.name.removesuffix("-other")), folder)


def _must(words: tuple[str, ...], folder: Path) -> None:
    outcome = execute(words, folder)
    if outcome.status:
        said = f"gibbsian {' '.join(words)} ended with {outcome.status}:\n{outcome.err}"
        raise RuntimeError(f"the corpus cannot be made: {said}")


def write_files(folder: Path) -> None:
    """Tables, arrays and pictures of every kind that is read, and a module that must not be."""
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=(60, 2)).round(4), rng.integers(0, 5, 60)])
    header = "height,weight,count"
    np.savetxt(folder / "table.csv", x, delimiter=",", header=header, comments="", fmt="%.6g")
    np.savetxt(folder / "plane.csv", x[:, :2], delimiter=",", fmt="%.6g")
    np.savetxt(folder / "table.tsv", x, delimiter="\t", header="height\tweight\tcount", comments="")
    np.save(folder / "table.npy", x)
    np.savez(folder / "table.npz", x=x, other=x[:, 0])
    _write_parquet(folder / "table.parquet", x, header.split(","))
    shades = rng.integers(0, 256, (24, 8, 8)).astype(np.uint8)
    np.savez_compressed(folder / "pictures.npz", x=shades)
    with zipfile.ZipFile(folder / "pictures.zip", "w") as archive:
        for number, picture in enumerate(shades):
            buffer = io.BytesIO()
            Image.fromarray(picture).save(buffer, "png")
            archive.writestr(zipfile.ZipInfo(f"{number:02d}.png"), buffer.getvalue())
    Image.fromarray(shades[0]).save(folder / "picture.png")
    (folder / "space.json").write_text(json.dumps(SPACE))
    (folder / "evilmod.py").write_text(
        "import pathlib\n\npathlib.Path('EXECUTED').touch()\n\n\nclass Net: ...\n"
    )


def _write_parquet(path: Path, x: np.ndarray, names: list[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({name: x[:, j] for j, name in enumerate(names)}), path)
