"""Headers, nameless columns and missing values of text tables."""

from pathlib import Path

import pytest

from gibbsian.data import readers as files
from gibbsian.data.table_schema import Selection


def table(folder: Path, content: str) -> Path:
    path = folder / "x.csv"
    path.write_text(content)
    return path


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        ("1,2,3\n4,5,6\n", ()),
        ("a,b,c\n4,5,6\n", ("a", "b", "c")),
        ("id,2019,2020\n4,5,6\n", ("id", "2019", "2020")),
        ("Na,K,Cl\n4,5,6\n", ("Na", "K", "Cl")),
        ("none,b,?\n4,5,6\n", ("none", "b", "?")),
        (",b,c\n4,5,6\n", ("column 1", "b", "c")),
        ("a,,\n4,5,6\n", ("a", "column 2", "column 3")),
        (",a\n0,5\n1,6\n1,7\n", ("column 1", "a")),
    ],
)
def test_what_is_a_header(tmp_path: Path, content: str, columns: tuple[str, ...]) -> None:
    rows = files.read(table(tmp_path, content))
    assert rows.columns == columns
    assert len(rows.x) == content.count("\n") - bool(columns)
    said = f"header row: {', '.join(columns)}" if columns else "no header row"
    assert said in rows.notes


MARKERS = ["NA", "n/a", "?", "NULL", "None", "nan", "-"]


@pytest.mark.parametrize("marker", ["", *MARKERS])
@pytest.mark.parametrize(
    ("lines", "place"),
    [
        ("1,{},3\n4,5,6\n", r"row 1 \(line 1\), column 2;"),
        ("{},2,3\n4,5,6\n", r"row 1 \(line 1\), column 1;"),
        ("a,b\n1,2\n\n3,{}\n", r"row 2 \(line 4\), column 2 \('b'\);"),
    ],
)
def test_missing_values_name_their_place(
    tmp_path: Path, marker: str, lines: str, place: str
) -> None:
    said = "an empty cell" if marker == "" else f"the missing value {marker}".replace("?", r"\?")
    with pytest.raises(ValueError, match=f"x.csv has {said} at {place} drop or fill such rows"):
        files.read(table(tmp_path, lines.format(marker)))


@pytest.mark.parametrize("first", ["14,23;2,5", "NA;2,5"])
def test_both_decimal_marks_are_told_before_missing_values(tmp_path: Path, first: str) -> None:
    sentence = r"'\d+,\d+' at row \d \(line \d\), column \d; .*decimals .*with a point"
    with pytest.raises(ValueError, match=sentence):
        files.read(table(tmp_path, f"{first}\nNA;3.5\n3,5;4,1\n"))


@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("place", [0, 1])
def test_an_index_is_refused(tmp_path: Path, start: int, place: int) -> None:
    lines = [["a", "b"], ["0.5", "2"], ["0.1", "3"], ["0.9", "9"]]
    for number, line in enumerate(lines, start - 1):
        line.insert(place, str(number) if line[0] != "a" else "")
    path = table(tmp_path, "\n".join(map(",".join, lines)))
    with pytest.raises(ValueError, match=f"column {place + 1} of .* no name .*index=False"):
        files.read(path)
    path.write_text(path.read_text().replace(",,", ",n,") if place else "n" + path.read_text())
    assert files.read(path).columns[place] == "n"  # one that has a name is data


@pytest.mark.parametrize("index", [["3", "7", "8"], ["8", "0", "5"]])
def test_the_index_of_filtered_or_sorted_rows_is_refused(tmp_path: Path, index: list[str]) -> None:
    rows = "".join(f"{k},0.5,{j}\n" for j, k in enumerate(index))
    with pytest.raises(ValueError, match=r"column 1 of .* only numbers the rows"):
        files.read(table(tmp_path, f",a,b\n{rows}"))
    twice = rows.replace(index[1] + ",", index[0] + ",", 1)
    assert files.read(table(tmp_path, f",a,b\n{twice}")).columns[0] == "column 1"


def test_years_beside_labels_of_rows_are_names(tmp_path: Path) -> None:
    """As tables of countries by year have them; years above years, or falling, may be a row."""
    rows = "".join(f"c{j},{j}.5,{2 * j}\n" for j in range(5))
    drop = Selection(drop=("1",))
    found = files.read(table(tmp_path, f"country,2001,2002\n{rows}"), selection=drop)
    assert found.columns == ("2001", "2002") and len(found.x) == 5
    for first in ("country,2002,2001", "country,-0.3,2001", "country,2001,120"):
        assert files.read(table(tmp_path, f"{first}\n{rows}"), selection=drop).columns == ()
    years = "".join(f"c{j},{2003 + j},{2004 + j}\n" for j in range(5))
    assert files.read(table(tmp_path, f"c,2001,2002\n{years}"), selection=drop).columns == ()


def test_columns_are_named_by_one_option(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="leave out --drop-columns"):
        files.read(table(tmp_path, "a,b\n1,2\n3,4\n"), selection=Selection(("a",), ("b",)))
