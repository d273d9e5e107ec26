"""A table of many columns is told of in lines that a terminal holds: no message names them all."""

import random

import pytest

from gibbsian import cli

COLUMNS, LONGEST = 40, 700
SMALL = ("--rounds", "1", "--batch", "8", "--chains", "8", "--device", "cpu")


def write(path, cell):
    """30 rows of ``COLUMNS`` columns, the first of which holds numbers that differ."""
    rng = random.Random(0)
    lines = [",".join(f"counts_of_gene_{j:05d}" for j in range(COLUMNS))]
    for _ in range(30):
        lines.append(",".join([f"{rng.gauss(0, 1):.3f}", *(cell(rng) for _ in range(COLUMNS - 1))]))
    path.write_text("\n".join(lines))


def told(capsys, *words):
    """Exit status and standard error of a command, after a look at the length of its lines."""
    status = cli.main(list(words))
    said = capsys.readouterr().err
    assert max(map(len, said.splitlines())) < LONGEST, said
    return status, said


@pytest.mark.parametrize(
    ("cell", "status", "words"),
    [
        (lambda rng: rng.choice(["", "1.5", "2.25"]), 0, "impute: gaps filled by the medians"),
        (
            lambda rng: "red",
            2,
            "column 7 ('counts_of_gene_00006') and 33 more, so nothing to model there",
        ),
        (lambda rng: "2020-01-02", 2, "gene_00005,counts_of_gene_00006 and 33 more"),
    ],
    ids=["gaps", "one word", "dates"],
)
def test_training(tmp_path, monkeypatch, capsys, cell, status, words):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "wide.csv", cell)
    options = ("--missing-values", "impute", "--out", "run")
    found, said = told(capsys, "train", "cd", "--data", "wide.csv", *SMALL, *options)
    assert found == status and words in said


def test_another_table_and_rows_that_do_not_differ(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "wide.csv", lambda rng: str(rng.randrange(30)))
    status, said = told(capsys, "train", "cd", "--data", "wide.csv", *SMALL, "--out", "run")
    assert status == 0
    (header,) = (line for line in said.splitlines() if "header row" in line)
    (grids,) = (line for line in said.splitlines() if "values on a grid" in line)
    assert header.endswith("counts_of_gene_00005 and 34 more")
    assert (
        "counts_of_gene_00006 and 33 more (integers)" in grids
    )  # the first column has another step
    rows = (tmp_path / "wide.csv").read_text().splitlines()
    (tmp_path / "less.csv").write_text("\n".join(row.partition(",")[2] for row in rows))
    status, said = told(capsys, "score", "run", "less.csv", "--output", "scores.csv")
    assert (
        status == 2 and "lacks the column 'counts_of_gene_00000'" in said and "and 34 more" in said
    )
    write(tmp_path / "same.csv", lambda rng: "5.5")
    status, said = told(capsys, "detect", "same.csv", "--out", "detected")
    assert (
        status == 0
        and "never a reason there: counts_of_gene_00001, " in said
        and "and 33 more" in said
    )
