"""What a newcomer types first: names that are no data, and the list of everything."""

from pathlib import Path

import pytest
import torch

from gibbsian import cli
from gibbsian.cli.listing import TABLES
from gibbsian.core.measures import Undefined
from gibbsian.core.types import DataSpace
from gibbsian.models.build import measure_of


@pytest.fixture
def folder(tmp_path, monkeypatch):
    rows = ["a,b", *(f"{i}.5,{-i}.25" for i in range(40))]
    (tmp_path / "good.csv").write_text("\n".join(rows))
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    (tmp_path / "gone.csv").symlink_to("nowhere.csv")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--data", ""), "empty name; give a file"),
        (("--data", "  "), "empty name; give a file"),
        (
            ("--data", "gopher://example.org//x.csv"),
            "gopher://example.org//x.csv is an address of a kind that is not read; use https://",
        ),
        (("--data", "loop.csv"), "loop.csv is a link that leads to no file"),
        (("--data", "gone.csv"), "gone.csv is a link that leads to no file"),
        (("--data", "good.csv", "--patch-size", "8"), "leave out --patch-size"),
    ],
)
@pytest.mark.parametrize("method", [(), ("cd",)], ids=["no method", "cd"])
def test_what_names_no_data_is_one_sentence_with_a_remedy(folder, capsys, method, words, told):
    assert cli.main(["train", *method, *words]) == 2
    said = capsys.readouterr().err
    assert told in said and said.count("\n") == 1


def test_a_name_that_begins_with_a_dash(folder, capsys):
    Path("-dash.csv").write_text(Path("good.csv").read_text())
    assert cli.main(["train", "cd", "--data", "-dash.csv"]) == 2
    assert "--data=./-dash.csv" in capsys.readouterr().err
    assert cli.main(["train", "cd", "--data=./-dash.csv", "--print-config"]) == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--device", "mars"), "device 'mars' is not there"),
        (("--energy-optimizer.betas", "2.0", "0.9"), "betas must be"),
        (("--energy-optimizer.eps", "-1"), "eps must not be negative"),
    ],
)
@pytest.mark.parametrize("show", [(), ("--print-config",)], ids=["train", "print"])
def test_settings_that_cannot_train_are_not_printed_either(folder, capsys, words, told, show):
    assert cli.main(["train", "cd", "--data", "good.csv", *words, *show]) == 2
    out, said = capsys.readouterr()
    assert told in said and not out


def test_an_energy_of_ones_own_is_not_told_what_nobody_checked(capsys):
    energy = torch.nn.Linear(2, 1)  # grows or not: only its class can declare it
    why = measure_of(energy, DataSpace((2,), "vector"))
    assert isinstance(why, Undefined) and "not declared to grow" in str(why)


def test_list_alone_names_everything(capsys):
    assert cli.main(["list"]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 96
    for what, rows_of in TABLES.items():
        assert f"gibbsian list {what}" in said
        assert all(name in said for name, _ in rows_of()), what
