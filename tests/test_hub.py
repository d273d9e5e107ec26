"""What goes to the hub loads again, its card says what it is, and no folder's name goes along."""

import inspect
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import gibbsian
from gibbsian.models.hub import Hub, model_card

FIGURES = {
    "rows": {"log Z (scaled units, nats)": "log Z = 1.2 (exact)", "a|b": "0.5 ± 0.1"},
    "warnings": ["the two sides disagree"],
    "recoveries": ["in round 9 training left what is healthy"],
    "seed": 7,
}


class FakeHub:
    """Keeps what it is given, as ``HfApi`` would send it."""

    def __init__(self, kept: Path):
        self.kept, self.asked = kept, []

    def create_repo(self, repo_id, *, private, exist_ok):
        self.asked.append((repo_id, private, exist_ok))
        return f"https://example.org/{repo_id}"

    def upload_folder(self, *, repo_id, folder_path, commit_message):
        assert commit_message
        shutil.copytree(folder_path, self.kept)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny model of a table in a folder whose name is nobody's business."""
    secret = tmp_path_factory.mktemp("secret-project")
    rng = np.random.default_rng(0)
    lines = ["height,count", *(f"{rng.normal()},{rng.integers(9)}" for _ in range(80))]
    (secret / "people.csv").write_text("\n".join(lines))
    return gibbsian.train(
        *("cd", secret / "people.csv"),
        training={"rounds": 2, "device": "cpu"},
        source={"data_root": str(secret)},
        chains=8,
        sampler={"steps": 2, "steps_per_sample": 2},
    )


def pushed(model, tmp_path, **settings):
    hub = FakeHub(tmp_path / "there")
    settings = {"licence": "cc-by-4.0", "api": hub} | settings
    address = model.push_to_hub("someone/people", **settings)
    assert address == "https://example.org/someone/people"
    return hub


def test_what_was_uploaded_loads_as_the_same_model(model, tmp_path):
    hub = pushed(model, tmp_path, private=True)
    assert hub.asked == [("someone/people", True, True)]
    assert {p.name for p in hub.kept.iterdir()} == {"README.md", "config.json", "model.safetensors"}
    again = gibbsian.load_model(hub.kept)
    assert torch.equal(again.sample(5, seed=3), model.sample(5, seed=3))
    assert torch.equal(again.held_out, model.held_out)


def test_the_card_says_what_the_model_is(model, tmp_path):
    card = (pushed(model, tmp_path, figures=FIGURES).kept / "README.md").read_text()
    _, head, body = card.split("---\n", 2)
    assert yaml.safe_load(head) == {
        "license": "cc-by-4.0",
        "library_name": "gibbsian",
        "tags": ["gibbsian", "energy-based-model", "cd"],
    }
    for line in (
        "# people",
        "`people.csv`: vectors of 2 numbers.",
        "Columns, in this order: height, count.",
        "| chains | 8 |",
        "| rounds | 2 |",
        "| a\\|b | 0.5 ± 0.1 |",
        "Warning: the two sides disagree.",
        "Warning: in round 9 training left what is healthy.",
        'model = gibbsian.load_model(snapshot_download("someone/people"))',
    ):
        assert line in body.splitlines(), line
    assert "Values on a grid, spread by uniform noise of one step: count (integers)." in body
    without = (pushed(model, tmp_path / "2").kept / "README.md").read_text()
    assert "It was not evaluated." in without


def test_a_card_of_a_folder_at_hand_asks_for_no_hub(model):
    asked = (model.config, model.space, model.transform, "mit")
    body = model_card("people", *asked)
    assert 'model = gibbsian.load_model("people")' in body.splitlines()
    assert "huggingface_hub" not in body and body.startswith(model_card("a/people", *asked)[:200])


def test_no_name_of_a_folder_is_published(model, tmp_path):
    assert "secret-project" in model.config.data
    for path in pushed(model, tmp_path).kept.iterdir():
        assert b"secret-project" not in path.read_bytes()
    assert "secret-project" in model.config.data


def test_a_licence_is_an_identifier(model, tmp_path):
    for licence in ("Apache 2.0", "mit\ntags: [x]", ""):
        with pytest.raises(ValueError, match="hub's identifiers"):
            pushed(model, tmp_path, licence=licence)


def test_the_real_interface_takes_what_is_asked_of_it():
    api = pytest.importorskip("huggingface_hub").HfApi
    assert issubclass(api, Hub)
    for name in ("create_repo", "upload_folder"):
        asked = inspect.signature(getattr(Hub, name)).parameters
        assert set(asked) <= set(inspect.signature(getattr(api, name)).parameters), name


def test_without_the_extra_it_is_named(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"gibbsian\[hub\]"):
        model.push_to_hub("someone/people", licence="mit")
