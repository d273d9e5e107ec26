"""Run folders that are damaged, foreign or newer; full discs; interruptions."""

import errno
import json
import os
import re
import shutil
import signal

import pytest

from gibbsian.cli import main
from gibbsian.config.run_lock import writing
from gibbsian.core.records import read_record, write_record
from gibbsian.core.tensor_files import read_tensors, write_tensors
from gibbsian.methods import TRAINING_METHODS
from tests.cli.conftest import GAME, SMALL, contents, same

NEW, OLD = (f"state/round-0000000{i}.rank0.safetensors" for i in (4, 2))
COMMANDS = {
    "sample": ("sample", "run", "--output", "x.csv"),
    "score": ("score", "run", "rows.csv"),
    "evaluate": ("evaluate", "run"),
    "report": ("report", "run"),
    "resume": ("train", "--resume", "run", "--rounds", "6"),
}


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def flip(path):
    """One bit in the middle of the tensors."""
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(bytes(content))


def empty(path):
    path.write_bytes(b"")


def pipe(path):
    """Nobody writes to it: who reads it waits without end."""
    path.unlink()
    os.mkfifo(path)


def move_data(path):
    """The data's position, which is not a tensor."""
    content = path.read_bytes()
    assert content.count(b'drawn\\": 4') == 1
    path.write_bytes(content.replace(b'drawn\\": 4', b'drawn\\": 3'))


def change(path, **entries):
    write_record(path, read_record(path) | entries)


def identity(run):
    return read_record(run / "config.json")["id"]


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_no_run(command, here, refused):
    (here / "rows.csv").write_text("1,2\n3,4\n")
    words = COMMANDS[command]
    assert "run does not exist; give the folder" in refused(*words)
    (here / "run").mkdir()
    assert "run is not a run folder (it has no config.json)" in refused(*words)
    (here / "run" / "config.json").write_text("{}")
    assert re.search("not written by gibbsian|no saved model yet", refused(*words))


@pytest.mark.parametrize(
    "damage", [cut, flip, empty, move_data, *([pipe] if hasattr(os, "mkfifo") else [])]
)
def test_resume_falls_back_to_the_checkpoint_before_and_says_so(damage, run, trained, capsys):
    damage(run / NEW)
    assert main(["train", "--resume", "run"]) == 0
    err = capsys.readouterr().err
    assert re.search("warning: checkpoint of round 4 cannot be used .* falling back", err)
    assert all(same(run / file, trained / file) for file in (NEW, "model/model.safetensors"))


@pytest.mark.parametrize("kind", ["folder", "link", *(["pipe"] if hasattr(os, "mkfifo") else [])])
def test_metrics_that_are_no_file_do_not_hold_a_resume_up(kind, run, capsys):
    """To open a pipe for writing waits for a reader."""
    path = run / "metrics.jsonl"
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("nowhere")
    else:
        os.mkfifo(path)
    assert main(["train", "--resume", "run", "--rounds", "6"]) == 2
    assert "metrics.jsonl is no file; take it away" in capsys.readouterr().err.splitlines()[-1]


def test_no_whole_checkpoint(run, refused):
    cut(run / NEW)
    flip(run / OLD)
    assert "no usable checkpoint; start the run again with a new --out" in refused(
        "train", "--resume", "run", "--rounds", "6"
    )


def test_a_checkpoint_of_a_newer_version(run, refused):
    tensors, facts = read_tensors(run / NEW)
    write_tensors(run / NEW, tensors, facts | {"format": 99}, run=identity(run))
    assert "newer version of gibbsian; please upgrade" in refused("train", "--resume", "run")


@pytest.mark.parametrize("damage", [cut, flip, empty])
def test_a_damaged_model_is_refused_and_saved_again_by_resume(damage, run, trained, refused):
    damage(run / "model/model.safetensors")
    sentence = refused("sample", "run", "--output", "x.csv")
    assert (
        "damaged" in sentence and "`gibbsian train --resume run` saves the model again" in sentence
    )
    assert main(["train", "--resume", "run"]) == 0
    assert same(run / "model/model.safetensors", trained / "model/model.safetensors")


def test_a_missing_model_is_saved_by_resume(run, refused):
    shutil.rmtree(run / "model")
    sentence = refused("sample", "run", "--output", "x.csv")
    assert "no saved model yet; finish it with `gibbsian train --resume run`" in sentence
    with writing(run):
        sentence = refused("sample", "run", "--output", "x.csv")
        assert "it is being trained by process" in sentence
    assert main(["train", "--resume", "run"]) == 0
    assert main(["sample", "run", "-n", "2", "--output", "x.csv"]) == 0


def test_written_by_a_newer_version(run, refused):
    change(run / "model/config.json", format=99)
    for command in ("sample", "evaluate"):
        assert "written by a newer gibbsian" in refused(*COMMANDS[command])
    change(run / "config.json", format=99)
    assert "upgrade to read it" in refused(*COMMANDS["resume"])
    assert "upgrade to read it" in refused("train", "--config", "run/config.json")
    change(run / "config.json", format="one")
    assert "its format is 'one', not a number" in refused(*COMMANDS["resume"])


def test_damaged_configurations(run, refused):
    content = (run / "model/config.json").read_text()
    cut(run / "model/config.json")
    assert "is not valid JSON" in refused(*COMMANDS["sample"])
    (run / "model/config.json").write_text(content)
    change(run / "model/config.json", space={})
    assert "does not belong to the weights" in refused(*COMMANDS["sample"])
    (run / "model/config.json").write_text(content.replace('"width": 8', '"width": 9'))
    assert "its checksum does not match" in refused(*COMMANDS["sample"])
    (run / "model/config.json").write_text(content)
    config = (run / "config.json").read_text()
    (run / "config.json").write_text(config.replace('"width": 8', '"width": 9'))
    assert "its checksum does not match" in refused(*COMMANDS["sample"])
    (run / "config.json").write_text(config)
    entries = json.loads(config.replace('"width": 8', '"width": 9'))
    change(run / "config.json", config=entries["config"])
    assert "trained with other networks" in refused(*COMMANDS["resume"])
    cut(run / "config.json")
    assert "is not valid JSON" in refused(*COMMANDS["resume"])


def full_disc(monkeypatch, writes):
    """Every write to disc after the first ``writes`` finds it full."""
    done = []

    def fsync(handle):
        done.append(handle)
        if len(done) > writes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)


TRAIN = ("train", "cd", "--data", "moons", *SMALL, "--out", "new")


@pytest.mark.parametrize("writes", [0, 2])  # the configuration, the first checkpoint
@pytest.mark.parametrize("existed", [False, True])
def test_a_full_disc_leaves_no_run_behind(writes, existed, here, refused, monkeypatch):
    if existed:
        (here / "new").mkdir()
    full_disc(monkeypatch, writes)
    sentence = refused(*TRAIN)
    assert re.search(r"cannot read or write new/\S+: No space left .* free space", sentence)


def test_a_disc_that_fills_up_later_leaves_the_last_checkpoint(run, trained, capsys, monkeypatch):
    with monkeypatch.context() as patch:
        full_disc(patch, 0)
        before = contents(run)
        assert main(["train", "--resume", "run", "--rounds", "6"]) == 2
        assert "No space left" in capsys.readouterr().err
    after = contents(run)
    assert all(after[name] == before[name] for name in before if name.startswith("state/round"))
    assert not [name for name in after if name.endswith(".part")]
    assert main(["train", "--resume", "run", "--rounds", "6"]) == 0


def test_a_full_disc_leaves_no_half_written_samples(run, refused, monkeypatch):
    full_disc(monkeypatch, 0)
    sentence = refused("sample", "run", "-n", "3", "--output", "x.csv")
    assert "cannot read or write x.csv: No space left" in sentence


def test_a_run_that_fails_in_its_first_round_leaves_nothing(refused, monkeypatch):
    def unfit(self, index, data, rng):
        raise ValueError("this does not fit; take another")

    monkeypatch.setattr(TRAINING_METHODS["cd"], "round", unfit)
    assert refused(*TRAIN) == "this does not fit; take another"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_saved(number, here, trained, capsys, monkeypatch):
    original = TRAINING_METHODS["cd"].round

    def interrupted(self, index, data, rng):
        if index == 2:
            signal.raise_signal(number)
        return original(self, index, data, rng)

    with monkeypatch.context() as patch:
        patch.setattr(TRAINING_METHODS["cd"], "round", interrupted)
        assert main(list(TRAIN)) == 128 + number
    said = capsys.readouterr().err
    assert "finished round is saved; `gibbsian train --resume new` goes on" in said
    assert (here / "new/state/round-00000003.rank0.safetensors").exists()
    assert main(["train", "--resume", "new"]) == 0
    assert same(here / "new" / NEW, trained / NEW)


def test_quantities_that_do_not_exist(here, refused):
    """A bounded energy without a box has no log Z, a GAN no density, an MLP no target to refine."""
    vgan = ("train", "vgan", "--data", "moons", *GAME, "--energy.width", "8")
    assert main([*vgan, "--domain-half-width", "none", "--out", "bounded"]) == 0
    sentence = refused(
        "evaluate", "bounded", "--num-samples", "50", "--fail-if-metric-missing", "log-z"
    )
    assert re.search(
        r"log-z is not defined: .* no finite integral .* \(--domain-half-width 4\)", sentence
    )
    gan = ("train", "gan", "--data", "moons", *GAME, "--critic.width", "8")
    assert main([*gan, "--out", "gan"]) == 0
    sentence = refused(
        "evaluate", "gan", "--num-samples", "50", "--fail-if-metric-missing", "log-z"
    )
    assert "the critic of a GAN is not the energy of a density" in sentence
    assert main([*TRAIN, "--energy", "mlp"]) == 0
    sentence = refused("sample", "new", "--refine", "mala", "--output", "x.csv")
    assert re.search("cd declares no target for refinement: .*--domain-half-width 4", sentence)


def test_a_model_of_a_round_before_the_last_is_told_as_such(run, capsys):
    sample = ["sample", "run", "-n", "2", "--output", "x.csv"]
    assert main(sample) == 0 and "of round" not in capsys.readouterr().err
    (run / NEW).unlink()
    assert main(sample) == 0 and "note: this model is of round 2 of 4" in capsys.readouterr().err
    with writing(run):
        assert main(sample) == 0
    assert re.search("round 2 of 4; process .* trains it further", capsys.readouterr().err)
