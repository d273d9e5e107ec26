"""Configurations of models that nobody would write: one sentence each, before anything is built."""

import copy
import json
import re

import pytest

from gibbsian.cli import main
from gibbsian.core.records import checksum, read_record, write_record
from gibbsian.core.tensor_files import read_tensors, write_tensors

SAMPLE = ("sample", "run", "-n", "3", "--output", "x.csv")
DEEP = json.loads("[" * 200 + "]" * 200)
CHANGES = [
    ("format", -5),
    ("format", 2.5),
    ("format", "2"),
    ("format", None),
    ("format", True),
    ("space", []),
    ("space", {}),
    ("space.shape", "ab"),
    ("space.shape", [2.5]),
    ("space.shape", [-2]),
    ("space.shape", [0]),
    ("space.shape", []),
    ("space.shape", [True]),
    ("space.shape", [10**30]),
    ("space.shape", [[2]]),
    ("space.shape", [1] * 9),
    ("space.shape", 2),
    ("space.shape", None),
    ("space.kind", "weird"),
    ("space.kind", ["vector"]),
    ("space.kind", None),
    ("space.box", [1.0]),
    ("space.box", [4.0, -4.0]),
    ("space.box", ["a", "b"]),
    ("space.box", [0.0, 10**400]),
    ("space.box", "none"),
    ("space.extra", 1),
    ("transform", None),
    ("transform.mode", "weird"),
    ("transform.mode", 1),
    ("transform.shape", [3]),
    ("transform.shape", "ab"),
    ("transform.origin", -1),
    ("transform.origin", []),
    ("transform.origin", [0.0, 0.0, 0.0, 0.0, 0.0]),
    ("transform.origin", ["0", "0"]),
    ("transform.scale", [0.0, 1.0]),
    ("transform.scale", [-1.0, 1.0]),
    ("transform.scale", [None, None]),
    ("transform.unit", [True, 1.0]),
    ("transform.levels", [0.5, 0]),
    ("transform.levels", [-1, 0]),
    ("transform.levels", [10**30, 0]),
    ("transform.columns", ["a"]),
    ("transform.columns", "ab"),
    ("transform.columns", [1, 2]),
    ("transform.columns", ["\x1b[2J", "b"]),
    ("transform.extra", 1),
    ("config", DEEP),
    ("config", {"method": DEEP, "data": "moons"}),
    ("config.method", "weird"),
    ("config.method", None),
    ("config.data", 5),
    ("config.training", DEEP),
    ("config.training.seed", -1),
    ("config.training.seed", 10**30),
    ("config.training.device", 7),
    ("config.domain_half_width", "weird"),
    ("config.domain_half_width", "1e999"),
    ("config.sampler.steps", "many"),
    ("config.chains", -3),
    ("config.chains", 10**30),
    ("config.chains", 10**12),
    ("config.energy", "\x1b]0;x\x07"),
    ("config.energy", "not a name:at all"),
    ("config.energy.name", "theirs:Net"),
    ("config.energy.width", 10**30),
    ("config.energy.depth", "many"),
    ("config.unknown", 1),
    ("run", "0" * 16),
    ("run", 5),
]


def put(entries, name, value):
    *groups, last = name.split(".")
    for group in groups:
        entries = entries[group]
    entries[last] = value


def sealed_with_weights(run, entries):
    """Written as this program would, so that only what it says is wrong with it."""
    path, identity = run / "model/model.safetensors", read_record(run / "config.json")["id"]
    tensors, facts = read_tensors(path, identity)
    unidentified = {name: value for name, value in entries.items() if name != "run"}
    write_tensors(path, tensors, facts | {"config": checksum(unidentified)}, identity)
    write_record(run / "model/config.json", entries)


@pytest.mark.parametrize(("name", "value"), CHANGES, ids=lambda value: repr(value)[:30])
def test_entries_of_a_model(name, value, run, refused):
    entries = copy.deepcopy(read_record(run / "model/config.json"))
    put(entries, name, value)
    sealed_with_weights(run, entries)
    sentence = refused(*SAMPLE)
    assert len(sentence) < 500 and sentence.isprintable()


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, "9" * 10_000, "\x00", '"\\ud800"']
)
@pytest.mark.parametrize("file", ["config.json", "model/config.json"])
def test_json_that_no_parser_likes(text, file, run, refused):
    (run / file).write_text(text)
    refused("train", "--resume", "run", "--rounds", "9") if file == "config.json" else refused(
        *SAMPLE
    )
    refused("train", "--config", f"run/{file}", "--out", "new")


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999"])
def test_numbers_that_are_none(value, run, refused):
    path = run / "model/config.json"
    text = path.read_text()
    changed = re.sub(r'("scale": \[\s*)[-\d.e]+', rf"\g<1>{value}", text)
    assert changed != text
    path.write_text(changed)
    assert "config.json is damaged" in refused(*SAMPLE)


SIZES = [
    ("--energy.width", 10**9),
    ("--energy.width", 10**30),
    ("--energy.depth", 10**7),
    ("--energy.fourier-features", 10**12),
    ("--chains", 10**12),
]


@pytest.mark.parametrize(("option", "value"), SIZES)
def test_sizes_beyond_the_machine(option, value, refused):
    words = ("train", "cd", "--data", "moons", option, value)
    assert "set GIBBSIAN_MAX_" in refused(*words, "--print-config") or option.endswith("depth")
    refused(*words, "--out", "new")


def test_the_limit_can_be_set(refused, monkeypatch):
    words = ("train", "cd", "--data", "moons", "--max-rows", "200", "--print-config")
    monkeypatch.setenv("GIBBSIAN_MAX_PARAMETERS", "1000")
    assert "above the limit of 1000; set GIBBSIAN_MAX_PARAMETERS to allow more" in refused(*words)
    monkeypatch.setenv("GIBBSIAN_MAX_PARAMETERS", "many")
    assert "GIBBSIAN_MAX_PARAMETERS must be a positive whole number, not 'many'" in refused(*words)
    monkeypatch.setenv("GIBBSIAN_MAX_PARAMETERS", str(10**6))
    monkeypatch.setenv("GIBBSIAN_MAX_MEMORY", "1000")
    assert "bytes of memory, above the limit of 1000; set GIBBSIAN_MAX_MEMORY" in refused(*words)
    monkeypatch.delenv("GIBBSIAN_MAX_MEMORY")
    assert main(list(words)) == 0
