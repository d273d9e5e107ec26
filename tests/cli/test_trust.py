"""What a stranger's file may name, and that nothing of it runs without consent."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import gibbsian
from gibbsian.cli import main
from gibbsian.core.records import read_record, write_record
from gibbsian.experiments.trials.log import JournalFile
from tests.cli.conftest import NETWORK, SMALL

EVIL = 'import pathlib\npathlib.Path("RAN").write_text("code of a stranger ran")\n' + NETWORK
TRAIN = ["train", "cd", "--data", "moons", *SMALL[: SMALL.index("--energy.width")]]
REFUSED = (
    r"names code that is not part of Gibbsian, .* theirs:Net \(in .*theirs\.py\).* --trust-code"
)


@pytest.fixture(scope="session")
def foreign(tmp_path_factory):
    """A run of a network of one's own, made by somebody who had its code."""
    folder = tmp_path_factory.mktemp("foreign")
    (folder / "theirs.py").write_text(NETWORK)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "dont_write_bytecode", True)
        assert main([*TRAIN, "--energy", "theirs:Net", "--out", "run"]) == 0
        del sys.modules["theirs"]
    return folder / "run"


@pytest.fixture
def stranger(foreign, here, monkeypatch):
    """A copy of that run in the current folder, and a module of that name that does something else."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    shutil.copytree(foreign, here / "run")
    (here / "theirs.py").write_text(EVIL)
    (here / "rows.csv").write_text("1,2\n3,4\n")
    yield here
    sys.modules.pop("theirs", None)


COMMANDS = {
    "sample": ("sample", "run", "--output", "x.csv"),
    "sample a folder of save_pretrained": ("sample", "run/model", "--output", "x.csv"),
    "score": ("score", "run", "rows.csv"),
    "evaluate": ("evaluate", "run"),
    "upscale": ("upscale", "run", "rows.png", "--output", "big.png"),
    "resume": ("train", "--resume", "run", "--rounds", "6"),
    "resume, only shown": ("train", "--resume", "run", "--print-config"),
    "configuration": ("train", "--config", "run/config.json", "--out", "new"),
    "configuration, only shown": ("train", "--config", "run/config.json", "--print-config"),
}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_commands_run_no_code_that_a_run_names(words, stranger, refused):
    (stranger / "rows.png").write_bytes(b"")
    sentence = refused(*words)
    assert "theirs" not in sys.modules and not (stranger / "RAN").exists()
    assert re.search(REFUSED, sentence), sentence


@pytest.mark.parametrize(
    "call",
    [
        lambda: gibbsian.load_model("run"),
        lambda: gibbsian.load_model("run/model"),
        lambda: gibbsian.Model.from_pretrained("run/model"),
        lambda: gibbsian.resume("run", rounds=6),
    ],
)
def test_python_runs_no_code_that_a_run_names(call, stranger):
    with pytest.raises(ValueError, match=REFUSED):
        call()
    assert not (stranger / "RAN").exists()


def test_consent_runs_it(stranger, capsys):
    (stranger / "theirs.py").write_text(NETWORK)
    assert main(["score", "run", "rows.csv", "--trust-code"]) == 0
    assert main(["sample", "run", "-n", "2", "--output", "x.csv", "--trust-code"]) == 0
    assert main(["evaluate", "run", "--num-samples", "50", "--trust-code"]) == 0
    assert main(["train", "--resume", "run", "--rounds", "5", "--trust-code"]) == 0
    assert main(["train", "--config", "run/config.json", "--trust-code", "--out", "new"]) == 0
    assert (
        main(["train", "--config", "run/config.json", "--energy", "theirs:Net", "--out", "n2"]) == 0
    )
    model = gibbsian.load_model("run", trust_code=True)
    assert len(gibbsian.load_model("run/model", trust_code=True).sample(3)) == 3
    assert gibbsian.resume("run", rounds=6, trust_code=True).config.training.rounds == 6
    instance = type(model.method.energy)()
    assert len(gibbsian.load_model("run", networks={"energy": instance}).sample(3)) == 3
    capsys.readouterr()


def test_a_report_needs_no_code(stranger):
    assert main(["report", "run", "--output", "page.html"]) == 0
    assert not (stranger / "RAN").exists()


SWEEP = [
    *(
        "sweep",
        "cd",
        "--data",
        "moons",
        "--search-space",
        "space.json",
        "--target-metric",
        "log-likelihood",
    ),
    *("--out", "out"),
]
COMPARE = ["compare", "--data", "moons", "--num-seeds", "1", "--time-per-run", "1s", "--out", "out"]


def fixed(**options):
    """A space of one point of small settings."""
    small = {"max_rows": [200], "batch": [32], "rounds": [4], "chains": [16], "sampler.steps": [2]}
    return json.dumps(small | {"sampler.steps_per_sample": [2], "device": ["cpu"]} | options)


@pytest.mark.parametrize("value", [["theirs:Net"], ["mlp", "theirs:Net"]])
def test_a_space_of_settings(value, stranger, refused):
    (stranger / "space.json").write_text(fixed(energy=value))
    sentence = refused(*SWEEP)
    assert "theirs:Net" in sentence and "--trust-code" in sentence


def test_a_space_of_settings_with_consent(stranger, capsys):
    (stranger / "theirs.py").write_text(NETWORK)
    (stranger / "space.json").write_text(fixed(energy=["theirs:Net"]))
    assert main([*SWEEP, "--trust-code"]) == 0, capsys.readouterr().err
    assert "done" in capsys.readouterr().out


def test_a_journal(stranger, capsys):
    """A trial that a stranger's journal left running is not what the space lists."""
    (stranger / "space.json").write_text(fixed(energy=["confined"]))
    assert main(SWEEP) == 0
    journal = stranger / "out/journal.log"
    text = journal.read_text()
    assert "confined" in text
    entries = [json.loads(one.replace("confined", "theirs:Net")) for one in text.splitlines()]
    os.unlink(journal)
    kept = [entry for entry in entries if entry.get("state") != 1]  # that it is done
    JournalFile(journal).append_logs([{k: e[k] for k in e if k != "checksum"} for e in kept])
    for path in (stranger / "out/trials").rglob("*"):
        if path.is_file():
            path.unlink()
    capsys.readouterr()
    assert main(SWEEP) == 2
    assert not (stranger / "RAN").exists() and "theirs" not in sys.modules
    assert re.search("error: .*journal.log is damaged: .*theirs:Net", capsys.readouterr().err)


def test_rows_of_a_comparison(stranger, refused):
    (stranger / "rows.json").write_text('{"mine": {"method": "cd", "energy": "theirs:Net"}}')
    sentence = refused(*COMPARE, "--methods", "cd", "--extra-methods-file", "rows.json")
    assert "theirs:Net" in sentence and "--trust-code" in sentence


def test_the_settings_of_a_comparison(stranger, capsys):
    """A comparison that stands in the folder brings its own rows."""
    (stranger / "out").mkdir()
    row = {"label": "mine", "method": "cd", "options": {"energy": "theirs:Net"}}
    from gibbsian.experiments.compare.settings import ComparisonSettings, MethodVariant

    settings = ComparisonSettings("moons", (MethodVariant("cd", "cd"),), 1, 1.0).to_json()
    settings["variants"].append(row)
    write_record(stranger / "out/comparison.json", settings)
    assert main([*COMPARE, "--methods", "cd"]) == 2
    assert not (stranger / "RAN").exists() and "theirs" not in sys.modules
    assert re.search(
        "error: row 'mine' names code .*theirs:Net.*--trust-code", capsys.readouterr().err
    )


def python(*words, cwd):
    return subprocess.run(
        [sys.executable, "-m", "gibbsian", *words], cwd=cwd, capture_output=True, text=True
    )


def test_modules_of_the_current_folder_hide_nobodys(run, here):
    """`python -m` puts the current folder first: a stranger's numpy.py would be everybody's."""
    for name in ("tyro", "numpy", "safetensors", "pyarrow", "json"):
        (here / f"{name}.py").write_text('import pathlib\npathlib.Path("RAN").write_text("ran")\n')
    done = python("sample", "run", "-n", "2", "--output", "x.csv", cwd=here)
    assert done.returncode == 0, done.stderr
    assert not (here / "RAN").exists()


class Bomb:
    def __reduce__(self):
        return exec, ("import pathlib; pathlib.Path('RAN').write_text('ran')",)


def test_tables_and_arrays(run, here, refused):
    np.save(here / "a.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    np.savez(here / "a.npz", x=np.array([Bomb()], dtype=object))
    torch.save(Bomb(), here / "weights.safetensors")
    for name in ("a.npy", "a.npz"):
        assert "pickled objects" in refused("score", "run", name)
    (here / "a.csv").write_text("a,b\n__import__('pathlib').Path('RAN').touch(),2\n")
    assert "holds the text" in refused("score", "run", "a.csv")
    shutil.copy(here / "weights.safetensors", here / "run/model/model.safetensors")
    assert "damaged" in refused("score", "run", "a.npy")
    assert not (here / "RAN").exists()


def test_images_and_zips(run, here, refused):
    with zipfile.ZipFile(here / "z.zip", "w") as archive:
        archive.writestr("theirs.py", EVIL)
        archive.writestr("../../up.png", b"not an image")
    refused("score", "run", "z.zip")
    (here / "p.png").write_bytes(b"\x89PNG\r\n\x1a\n" + EVIL.encode())
    refused("score", "run", "p.png")
    assert not (here / "RAN").exists() and not (here.parent / "up.png").exists()


def test_a_report_of_a_strangers_texts(run, here):
    """Every text of a run folder stands in the page as text."""
    entries = read_record(run / "config.json")
    script = "<script>fetch('//evil')</script><img src=x onerror=alert(1)>"
    entries["versions"] = {script: script}
    entries["machine"] = {script: script}
    write_record(run / "config.json", entries)
    assert main(["report", "run", "--output", "page.html"]) == 0
    page = (here / "page.html").read_text()
    assert "fetch('//evil')" not in page.replace("&#39;", "?") and "<img src=x" not in page


def test_what_is_typed_is_consent_and_no_function_of_the_system(run, here, refused):
    """A tracker that is none is refused in a sentence, whatever it does when it is called."""
    words = ("train", "--resume", "run", "--rounds", "5", "--log-with")
    assert "os:system" in refused(*words, "os:system")
    assert "builtins:len" in refused(*words, "builtins:len")


def test_the_evil_module_does_what_these_tests_look_for(here):
    (here / "theirs.py").write_text(EVIL)
    subprocess.run([sys.executable, "-c", "import theirs"], cwd=here, check=True)
    assert (here / "RAN").exists()


def test_who_imports_what_a_user_names():
    """A new place that does so is added here once it is clear who gives consent to a file's names."""
    root = Path(gibbsian.__file__).parent
    found = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if re.search(r"\b(import_named|import_here|load_user|load_method)\(", path.read_text())
    }
    assert found == {
        "core/imports.py",
        "networks/user.py",
        # of a configuration, whose names config.from_json and sweep.space.applied have checked
        "config/config.py",
        "networks/__init__.py",
        # typed: options of commands
        "cli/partition_function.py",
        "evaluation/features/extractors.py",
        "training/loggers.py",
    }
