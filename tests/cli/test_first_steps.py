"""What a newcomer types first: names that are no data, and the list of everything."""

import pytest

from gibbsian import cli
from gibbsian.cli.listing import TABLES


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
            ("--data", "https://example.org/x.csv"),
            "https://example.org/x.csv is an address; download",
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


def test_list_alone_names_everything(capsys):
    assert cli.main(["list"]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 96
    for what, rows_of in TABLES.items():
        assert f"gibbsian list {what}" in said
        assert all(name in said for name, _ in rows_of()), what
