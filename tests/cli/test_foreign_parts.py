"""Parts of another run, changed files, and what was written by an older version."""

import json
import re
import shutil

import numpy as np
import pytest

import gibbsian
from gibbsian.cli import main
from gibbsian.core.records import read_record, write_record
from gibbsian.core.tensor_files import read_tensors, write_tensors
from tests.cli.conftest import SMALL, same

NEW, OLD = (f"state/round-0000000{i}.rank0.safetensors" for i in (4, 2))
SAMPLE = ("sample", "run", "-n", "3", "--output", "x.csv")
RESUME = ("train", "--resume", "run", "--rounds", "6")


@pytest.fixture(scope="session")
def twin(tmp_path_factory):
    """Another run with the same settings, to the same bits: only its identity differs."""
    folder = tmp_path_factory.mktemp("twin") / "run"
    assert main(["train", "cd", "--data", "moons", *SMALL, "--out", str(folder)]) == 0
    return folder


def test_the_identity_is_in_every_file_and_changes_no_bit(trained, twin):
    one, two = (read_record(folder / "config.json")["id"] for folder in (trained, twin))
    assert re.fullmatch("[0-9a-f]{16}", one) and one != two
    assert read_record(trained / "model/config.json")["run"] == one
    for file in (NEW, OLD, "model/model.safetensors"):
        assert same(trained / file, twin / file)
        read_tensors(trained / file, one)
        with pytest.raises(ValueError, match=f"belongs to another run, {one}, not to {two}"):
            read_tensors(trained / file, two)


def test_a_resumed_run_keeps_its_identity(run, here):
    before = read_record(run / "config.json")["id"]
    assert main([*RESUME]) == 0
    assert read_record(run / "config.json")["id"] == before
    read_tensors(run / "state/round-00000006.rank0.safetensors", before)
    assert read_record(run / "model/config.json")["run"] == before


@pytest.mark.parametrize("part", [NEW, OLD, "state", "model/model.safetensors", "model"])
def test_parts_of_another_run_are_refused(part, run, twin, refused):
    there = run / part
    if there.is_dir():
        shutil.rmtree(there)
        shutil.copytree(twin / part, there)
    else:
        shutil.copy(twin / part, there)
    words = SAMPLE if part.startswith("model") else RESUME
    if part == OLD:
        (run / NEW).unlink()
    assert re.search("belongs to another run|is of another run", refused(*words))


def test_a_checkpoint_that_was_renamed(run, refused):
    (run / NEW).rename(run / "state/round-00000099.rank0.safetensors")
    sentence = refused("train", "--resume", "run", "--rounds", "200")
    assert "round-00000099.rank0.safetensors is of round 4" in sentence


def change(path, **entries):
    """Entries of a record replaced, its checksum left as it was."""
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


@pytest.mark.parametrize("file", ["config.json", "model/config.json"])
def test_a_changed_configuration(file, run, refused):
    change(run / file, version="9.9.9")
    words = SAMPLE if file.startswith("model") else RESUME
    assert re.search("config.json .*damaged: its checksum", refused(*words))
    if file == "config.json":
        assert "damaged" in refused("evaluate", "run")


def test_a_configuration_that_was_changed_and_sealed_again(run, refused):
    """The weights know which configuration they belong to."""
    entries = read_record(run / "model/config.json")
    entries["transform"]["origin"] = [-1.0] * len(entries["transform"]["origin"])
    write_record(run / "model/config.json", entries)
    assert "does not belong to the weights" in refused(*SAMPLE)


def test_a_changed_configuration_may_start_a_new_run(run, here):
    entries = json.loads((run / "config.json").read_text())
    entries["config"]["training"]["rounds"] = 3
    (here / "mine.json").write_text(json.dumps(entries))
    assert main(["train", "--config", "mine.json", "--out", "new"]) == 0
    assert gibbsian.load_model("new").config.training.rounds == 3


@pytest.mark.parametrize("words", [SAMPLE, RESUME, ("evaluate", "run"), ("report", "run")])
def test_an_older_format(words, run, refused):
    for file in ("config.json", "model/config.json"):
        entries = json.loads((run / file).read_text())
        for name in ("checksum", "id", "run"):
            entries.pop(name, None)
        (run / file).write_text(json.dumps(entries | {"format": 1}))
    sentence = refused(*words)
    assert "written by gibbsian 0.1" in sentence and "train it again" in sentence


def damage_line(path, number):
    lines = path.read_bytes().splitlines(keepends=True)
    lines[number] = lines[number].replace(b'"round"', b'"sound"')
    path.write_bytes(b"".join(lines))


LOGGED = ("--log-every", "1")


@pytest.fixture
def logged(here):
    words = ["train", "cd", "--data", "moons", *SMALL, *LOGGED, "--out", "run"]
    assert main(words) == 0
    return here / "run"


def test_a_torn_last_line_of_metrics_is_no_damage(logged, capsys):
    path = logged / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    assert main(["report", "run", "--output", "page.html"]) == 0
    capsys.readouterr()
    assert main([*RESUME]) == 0
    assert "warning" not in capsys.readouterr().err
    rounds = [json.loads(line)["round"] for line in path.read_bytes().splitlines()]
    assert rounds == [1, 2, 3, 5, 6]


def test_a_damaged_line_of_metrics_is_reported_and_stops_no_resume(logged, refused, capsys):
    damage_line(logged / "metrics.jsonl", 1)
    assert re.search(r"metrics\.jsonl is damaged: line 2", refused("report", "run"))
    assert main([*RESUME]) == 0
    assert re.search(r"warning: line 2 of .*metrics\.jsonl is damaged", capsys.readouterr().err)
    assert main(["report", "run", "--output", "page.html"]) == 0


@pytest.mark.parametrize("content", [b"", b"\x00\xff", b"{}\n", b"[1]\n3\n", b'{"round": "x"}\n'])
def test_resume_never_needs_metrics(content, run, trained, capsys):
    (run / "metrics.jsonl").write_bytes(content)
    assert main([*RESUME]) == 0
    (run / "metrics.jsonl").unlink()
    assert main(["train", "--resume", "run", "--rounds", "8"]) == 0


def test_a_disc_that_fills_up_while_metrics_are_rewritten(logged, monkeypatch):
    path = logged / "metrics.jsonl"
    shutil.rmtree(logged / "model")
    (logged / NEW).unlink()  # two rounds will be played again
    before = path.read_bytes()
    from gibbsian.core import files

    def full(path):
        if path.name == "metrics.jsonl":
            raise OSError(28, "No space left on device", str(path))
        return original(path)

    original = files.replacing
    monkeypatch.setattr(files, "replacing", full)
    assert main([*RESUME]) == 2
    assert path.read_bytes() == before


@pytest.fixture
def evaluated(run):
    assert main(["evaluate", "run", "--num-samples", "50"]) == 0
    return run


def test_flipped_bits_of_an_evaluation_are_noticed(evaluated, refused):
    path = evaluated / "evaluation.json"
    content = path.read_text()
    found = re.search(r'"samples": (50)', content)
    path.write_text(content[: found.start(1)] + "51" + content[found.end(1) :])
    assert re.search("evaluation.json is damaged: .*gibbsian evaluate", refused("report", "run"))


def test_the_arrays_of_another_evaluation(evaluated, refused):
    arrays = dict(np.load(evaluated / "evaluation.npz"))
    arrays["samples"] = arrays["samples"] + 1
    np.savez_compressed(evaluated / "evaluation.npz", **arrays)
    assert re.search(r"evaluation\.npz .*gibbsian evaluate", refused("report", "run"))


@pytest.mark.parametrize("file", ["evaluation.json", "samples/chains-mala.json"])
def test_figures_of_another_run(file, evaluated, twin, refused):
    words = ("-n", "4", "--refine", "mala", "--mcmc-steps", "20", "--output", "x.csv")
    assert main(["sample", "run", *words]) == 0
    entries = read_record(evaluated / file)
    write_record(evaluated / file, entries | {"run": read_record(twin / "config.json")["id"]})
    assert "is of another run" in refused("report", "run")


def test_changed_chains(run, refused):
    assert (
        main(
            [
                "sample",
                "run",
                "-n",
                "4",
                "--refine",
                "mala",
                "--mcmc-steps",
                "20",
                "--output",
                "x.csv",
            ]
        )
        == 0
    )
    path = next((run / "samples").glob("chains-*.json"))
    entries = json.loads(path.read_text())
    change(path, verdict="all is well " + entries["verdict"])
    assert re.search(r"chains-mala\.json is damaged: its checksum", refused("report", "run"))


def test_a_read_only_run_is_evaluated_and_says_that_it_was_not_saved(run, monkeypatch, capsys):
    from gibbsian.core import files

    def read_only(path):
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(files, "replacing", read_only)
    assert main(["evaluate", "run", "--num-samples", "50"]) == 0
    out, err = capsys.readouterr()
    assert "log Z" in out and "could not be saved" in err
    assert not (run / "evaluation.json").exists()


def test_weights_without_metadata(run, refused):
    import safetensors.torch
    import torch

    for tensors in ({}, {"x": torch.zeros(0)}, {"x": torch.zeros((), dtype=torch.bfloat16)}):
        safetensors.torch.save_file(tensors, run / "model/model.safetensors")
        assert "model.safetensors is damaged" in refused(*SAMPLE)


def test_reference_energies_of_another_shape(run, refused):
    import torch

    path = run / "model/model.safetensors"
    identity = read_record(run / "config.json")["id"]
    tensors, facts = read_tensors(path, identity)
    for name, value in (
        ("held_out", torch.zeros(3, 3)),
        ("held_out", torch.tensor([2.0, 1.0])),
        ("held_out", torch.tensor([1, 2])),
        ("moments", torch.zeros(5)),
        ("moments", torch.full((2, 2), torch.nan)),
    ):
        write_tensors(path, tensors | {name: value}, facts, identity)
        assert re.search(f"model.safetensors is damaged: its {name}", refused(*SAMPLE))
