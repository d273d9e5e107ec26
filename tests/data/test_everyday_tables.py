"""Tables as people have them: each peculiarity is read right, or refused in a sentence with the remedy.

A case is a name, the bytes of a file, and what is to come of it: the numbers, or a part of the sentence.
"""

from __future__ import annotations

import gzip
import io
import math
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from gibbsian.data import load_dataset, tables
from gibbsian.data.column_kinds import DAY, LISTED, NUMBER, Found, described
from gibbsian.data.readers import read
from gibbsian.data.table_schema import Selection

NAN = math.nan


class Case(NamedTuple):
    name: str
    content: str | bytes
    expected: list[list[float]] | str
    columns: tuple[str, ...] | None = None
    note: str = ""
    select: dict[str, Any] = {}
    file: str = "x.csv"


def drop(*names: str) -> dict[str, Any]:
    return {"drop": names}


TWO = [[1.0, 2.5], [3.0, 4.0]]
PLAIN = "a,b\n1,2.5\n3,4\n"
IMPUTE = {"missing": "impute"}
DROP_ROWS = {"missing": "drop"}

CASES = [
    # separators
    Case("commas", PLAIN, TWO, ("a", "b"), "columns separated by commas"),
    Case("semicolons", "a;b\n1;2.5\n3;4\n", TWO, ("a", "b"), "semicolons"),
    Case("tabs", "a\tb\n1\t2.5\n3\t4\n", TWO, ("a", "b"), "tabs"),
    Case("bars", "a|b\n1|2.5\n3|4\n", TWO, ("a", "b"), "bars"),
    Case("blanks", "a b\n1 2.5\n3 4\n", TWO, ("a", "b"), "blanks"),
    Case("aligned by blanks", "   a     b\n   1   2.5\n  30   4  \n", [[1, 2.5], [30, 4]]),
    Case("blanks and tabs", "1 \t 2.5\n3\t 4\n", TWO),
    Case("a blank behind each comma", "a, b\n1, 2.5\n3, 4\n", TWO, ("a", "b")),
    Case("blanks around cells", "a , b\n 1 , 2.5 \n 3 , 4 \n", TWO, ("a", "b")),
    Case("Excel's sep=", "sep=|\na|b\n1|2.5\n3|4\n", TWO, ("a", "b")),
    Case("one column", "a\n1\n2.5\n", [[1], [2.5]], ("a",), "one column"),
    Case("separator at each end", "a,b,\n1,2.5,\n3,4,\n", TWO, ("a", "b")),
    Case("separator at each end but the header's", "a,b\n1,2.5,\n3,4,\n", TWO, ("a", "b")),
    Case("separators at the header's end", "a,b,,\n1,2.5\n3,4\n", TWO, ("a", "b")),
    Case("many separators at the end", "1,2.5,,,\n3,4,,,\n", TWO),
    Case("a cell behind the last separator", "1,2.5,\n3,4,\n5,6,7\n", r"empty cell at row 1 "),
    Case("empty rows of a spreadsheet", "a,b\n1,2.5\n,\n3,4\n,\n,\n", TWO),
    # lines
    Case("Windows line ends", PLAIN.replace("\n", "\r\n"), TWO, ("a", "b")),
    Case("old Macintosh line ends", PLAIN.replace("\n", "\r"), TWO, ("a", "b")),
    Case("no line end at the end", PLAIN.strip(), TWO),
    Case("blank lines", "\n\na,b\n\n1,2.5\n  \n3,4\n\n", TWO),
    Case("blank lines of Windows", "a,b\r\n\r\n1,2.5\r\n\r\n3,4\r\n", TWO),
    Case(
        "blank lines between gaps",
        "a,b\n\n1,2\n\n3,\n",
        r"empty cell at row 2 \(line 5\), column 2",
    ),
    Case("comments", "# by hand, 2020\na,b\n1,2.5\n# pause\n3,4\n", TWO, ("a", "b")),
    Case(
        "an indented comment", "a,b\n1,2.5\n  # it's 5\"\n3,4\n", TWO, note="begin with #: 1 line"
    ),
    Case("comments keep line numbers", "#\na,b\n1,2\n#\n3,x\n", r"'x' at row 2 \(line 5\)"),
    Case("NumPy's header in a comment", "# a,b\n1,2.5\n3,4\n", TWO, ("a", "b")),
    Case("NumPy's header over blanks", "# a b\n1 2.5\n3 4\n", TWO, ("a", "b")),
    Case(
        "a row too short", "a,b\n1,2\n3\n", "ragged: line 3 has 1 columns, line 1 has 2; give each"
    ),
    Case("a row too long", "a,b\n1,2\n3,4,5\n", "ragged: line 3 has 3 columns, line 1 has 2"),
    Case(
        "all rows longer than the header",
        "a,b\n1,2,3\n4,5,6\n",
        "line 2 has 3 columns, line 1 has 2",
    ),
    Case(
        "a title above the header",
        "Report\n\na,b\n1,2\n3,4\n",
        "line 3 has 2 columns, line 1 has 1",
    ),
    Case(
        "a header twice",
        "a,b\n1,2\na,b\n3,4\n",
        r"'a' at row 2 \(line 3\).* the header again; take",
    ),
    Case("a row of units", "a,b\nm,kg\n1,2\n3,4\n", r"the text 'm' at row 1 \(line 2\).*correct"),
    Case("a row of totals", "a,b\n1,2\n3,4\nTotal,6\n", r"the text 'Total' at row 3 \(line 4\)"),
    Case("returns doubled", "a,b\r\r\n1,2.5\r\r\n3,4\r\r\n", TWO, ("a", "b")),
    Case("some line ends of Windows", "a,b\r\n1,2.5\n3,4\r\n", TWO, ("a", "b")),
    Case("a page feed at the end", "a,b\n1,2.5\n3,4\n\f\n", TWO),
    Case(
        "sep= of Windows",
        "sep=;\r\na;b\r\n1;2,5\r\n3;4\r\n",
        TWO,
        ("a", "b"),
        "decimals with a comma",
    ),
    Case("comments of another kind", "% by hand\n1,2\n3,4\n", "line 2 has 2 columns, line 1 has 1"),
    Case("two bars between", "a||b\n1||2\n3||4\n", r"empty cell at row 1 \(line 2\), column 2"),
    Case("an unknown separator", "a^b\n1^2\n3^4\n", [[0], [1]], note=r"such as '1\^2', which is"),
    # quotes
    Case("all quoted", '"a","b"\n"1","2.5"\n"3","4"\n', TWO, ("a", "b")),
    Case("a separator in a name", '"a, m","b"\n1,2.5\n3,4\n', TWO, ("a, m", "b")),
    Case("a line break in a name", '"a\n(m)",b\n1,2.5\n3,4\n', TWO, ("a\\n(m)", "b")),
    Case(
        "a line break in a cell",
        'a,text,b\n1,"two\n\nlines, ""one""",2.5\n3,,4\n',
        TWO,
        ("a", "b"),
        select=drop("text"),
    ),
    Case("line numbers below it", 'a,b\n"1","2"\n"3","\n4"\n5,x\n', r"'x' at row 3 \(line 5\)"),
    Case("an inch mark", 'a,t,b\n1,5" pipe,2.5\n3,6" pipe,4\n', TWO, select=drop("t")),
    Case(
        "a quote that is not closed", 'a,b\n1,"2\n3,4\n', "from line 2 on: .*; mend its quotation"
    ),
    Case("a tab in a cell", 'a,b\n"1\t",2.5\n"\t3",4\n', TWO),
    Case("a tab in a text", 'a,t\n1,"x\ty"\n3,z\n', [[1, 0], [3, 1]], note="t: category, 2 values"),
    Case("quotes marked by backslashes", 'a,t\n1,"so \\"x\\""\n', "mend its quotation marks"),
    # encodings
    Case("UTF-8 with a mark", b"\xef\xbb\xbf" + PLAIN.encode(), TWO, ("a", "b")),
    Case("UTF-16 with a mark", PLAIN.encode("utf-16"), TWO, ("a", "b"), "utf-16-le"),
    Case("UTF-16, the other order", b"\xfe\xff" + PLAIN.encode("utf-16-be"), TWO, ("a", "b")),
    Case("UTF-16 without a mark", PLAIN.encode("utf-16-le"), TWO, ("a", "b")),
    Case("UTF-16 cut in a letter", PLAIN.encode("utf-16")[:-1], "UTF-16-LE text and is not"),
    Case("UTF-8 names", "größe,λ\n1,2.5\n3,4\n", TWO, ("größe", "λ")),
    Case("Latin-1", "größe,b\n1,2.5\n3,4\n".encode("latin-1"), TWO, ("größe", "b"), "cp1252"),
    Case("Windows-1252", "„x“,b\n1,€2.5\n3,€4\n".encode("cp1252"), TWO, ("„x“", "b")),
    Case("no text", bytes(range(128, 256)), "is not UTF-8 text.* line 1.*; save it as UTF-8"),
    Case("a binary file", b"\x7fELF\0\1\0\0\3\4,\n", "it holds NUL bytes; save it as UTF-8"),
    Case("UTF-32", PLAIN.encode("utf-32"), "it holds NUL bytes; save it as UTF-8"),
    # of other programs
    Case("a web page", "<!DOCTYPE html><html>404</html>\n", "holds a web page, .*; save it as CSV"),
    Case("JSON", '{"a": [1, 2, 3]}\n', "holds JSON, not delimited text; save it as CSV"),
    Case("records in JSON", '[{"a": 1}, {"a": 2}]\n', "holds JSON"),
    Case("a workbook", b"PK\x03\x04\x14\0\6\0", "sheets of a spreadsheet program, .*as CSV"),
    Case("XML", "<?xml version='1.0'?><a/>\n", "holds XML"),
    Case("ARFF", "@relation x\n@attribute a numeric\n@data\n1\n", "holds an ARFF table"),
    Case("brackets in a name", "[m],{b}\n1,2.5\n3,4\n", TWO, ("[m]", "{b}")),
    # packed, elsewhere
    Case("gzip", gzip.compress(PLAIN.encode()), TWO, ("a", "b"), file="x.csv.gz"),
    Case("gzip without its ending", gzip.compress(PLAIN.encode()), TWO, ("a", "b")),
    Case(
        "gzip cut short",
        gzip.compress(PLAIN.encode())[:-9],
        "not an intact gzip file",
        file="x.csv.gz",
    ),
    Case("bars of .psv", "a|b\n1|2.5\n3|4\n", TWO, file="x.psv"),
    Case("blanks of .dat", "1 2.5\n3 4\n", TWO, file="x.dat"),
    Case("commas of .DATA", "1,2.5\n3,4\n", TWO, file="X.DATA"),
    Case("tabs of .tab", "a\tb\n1\t2.5\n3\t4\n", TWO, file="x.tab"),
    Case("commas in .tsv", PLAIN, TWO, ("a", "b"), file="x.tsv"),
    Case("packed tabs", gzip.compress(b"a\tb\n1\t2.5\n3\t4\n"), TWO, file="x.tsv.gz"),
    Case(
        "an ending that is not known", PLAIN, "no kind that can be read; use .*.csv", file="x.xlsx"
    ),
    # headers
    Case("no header", "1,2.5\n3,4\n", TWO, (), "no header row"),
    Case("years as names", "id,2019\n1,2.5\n3,4\n", TWO, ("id", "2019")),
    Case("one name twice", "a,b,a\n1,2,3\n4,5,6\n", "columns 1 and 3 .* both called 'a'; rename"),
    Case(
        "an index without a name",
        ",a\n0,1.5\n1,2.5\n",
        "only numbers the rows; .*--drop-columns 1,",
    ),
    Case("that index dropped", ",a,b\n0,1,2.5\n1,3,4\n", TWO, ("a", "b"), select=drop("1")),
    Case("a column without a name", ",a\n1,2.5\n1,4\n", [[1, 2.5], [1, 4]], ("column 1", "a")),
    Case("a name twice but for blanks", "a ,a\n1,2\n3,4\n", "columns 1 and 2 .* both called 'a'"),
    Case(
        "two rows of names", "x,x,y\nmean,std,mean\n1,2,3\n", "columns 1 and 2 .* both called 'x'"
    ),
    Case("names that differ in case", "A,a\n1,2.5\n3,4\n", TWO, ("A", "a")),
    Case("names numbered by pandas", "a,a.1\n1,2.5\n3,4\n", TWO, ("a", "a.1")),
    Case("a name of 5000 letters", "x" * 5000 + ",b\n1,2.5\n3,4\n", TWO, ("x" * 5000, "b")),
    Case("units in names", "Höhe [m],Temp (°C)\n1,2.5\n3,4\n", TWO, ("Höhe [m]", "Temp (°C)")),
    Case("names of rows by R", '"","a","b"\n"1",1,2.5\n"2",3,4\n', "only numbers the rows"),
    Case("identifiers", "id,a\n7,1\n8,2\n9,2\n", [[7, 1], [8, 2], [9, 2]], note="id: number"),
    Case("two rows", PLAIN, TWO),
    Case("a header and no rows", "a,b\n", "a header but no rows"),
    Case("marked numbers are no header", "12%,$3\n15%,$4\n", [[12, 3], [15, 4]], ()),
    Case(
        "dates are no header",
        "2020-01-02,1\n2020-01-03,2\n",
        r"date '2020-01-02' at row 1 \(line 1\)",
    ),
    # numbers
    Case("integers as decimals", "a\n1.0\n2.0\n", [[1], [2]]),
    Case("many notations", "a\n+1.5\n.5\n5.\n1e3\n-1E-3\n", [[1.5], [0.5], [5], [1000], [-0.001]]),
    Case(
        "decimal commas", "a;b\n1,5;2\n-3,25;4e3\n", [[1.5, 2], [-3.25, 4000]], note="with a comma"
    ),
    Case("decimal commas, thousands points", "a;b\n1.234,5;1\n2.000;3\n", [[1234.5, 1], [2000, 3]]),
    Case("decimal commas in quotes", 'a,b\n"1,5","2,25"\n"3,5",4\n', [[1.5, 2.25], [3.5, 4]]),
    Case("decimal commas between blanks", "1,5 2\n3,5 4\n", [[1.5, 2], [3.5, 4]]),
    Case("three decimals behind a comma", "a;b\n0,125;1\n1,250;2\n", [[0.125, 1], [1.25, 2]]),
    Case(
        "both decimal marks", "a;b\n1,5;2\n3.5;4\n", "write all decimals of the file with a point"
    ),
    Case("thousands commas", 'a,b\n"1,012",2\n"1,234,567.5",3\n', [[1012, 2], [1234567.5, 3]]),
    Case("thousands blanks", "a;b\n1 012;2\n12 345;3\n", [[1012, 2], [12345, 3]]),
    Case("thousands hard blanks", "a;b\n1\u00a0012;2\n1\u202f345;3\n", [[1012, 2], [1345, 3]]),
    Case("thousands apostrophes", "a;b\n1'012.5;2\n3;4\n", [[1012.5, 2], [3, 4]]),
    Case(
        "dollars",
        'a,b\n"$1,012.50",2\n-$3,4\n',
        [[1012.5, 2], [-3, 4]],
        note=r"a: number .*\$ removed",
    ),
    Case("euros behind", "a;b\n1.012,50 €;2\n3 €;4\n", [[1012.5, 2], [3, 4]], note="€ removed"),
    Case("currency codes", "a,b\nUSD 5,1\nUSD 7,2\n", [[5, 1], [7, 2]], note="USD removed"),
    Case(
        "two currencies",
        "a,b\n$5,1\n€7,2\n",
        r"numbers with \$ and € in column 1 \('a'\); write them",
    ),
    Case("percent", "a,b\n12%,1\n7.5 %,2\n", [[12, 1], [7.5, 2]], note=r"a: number \(% removed\)"),
    Case(
        "percent here and there",
        "a,b\n12%,1\n0.5,2\n",
        "with % and without in column 1 .*--drop-columns a",
    ),
    Case("a typographic minus", "a,b\n\u22121.5,1\n2,2\n", [[-1.5, 1], [2, 2]]),
    Case("infinity", "a,b\n1,2\ninf,4\n", r"holds inf at row 2 \(line 3\), column 1 \('a'\); drop"),
    Case("no number, 0x10", "a,b\n1,2\n0x10,4\n", "the text '0x10' at row 2"),
    Case("accounts", 'a,b\n(57),1\n"(1,234.50)",2\n3,4\n', [[-57, 1], [-1234.5, 2], [3, 4]]),
    Case("accounts in dollars", "a,b\n($57),1\n$(12),2\n", [[-57, 1], [-12, 2]], note=r"\$ rem"),
    Case("accounts with decimal commas", "a;b\n(5,5);1\n(7,25) €;2\n", [[-5.5, 1], [-7.25, 2]]),
    Case("an en dash as minus", "a,b\n\u20131.5,1\n2,2\n", [[-1.5, 1], [2, 2]]),
    Case("thousands thin blanks", "a;b\n1\u2009012;2\n12\u2007345;3\n", [[1012, 2], [12345, 3]]),
    Case(
        "thousands of India", 'a,b\n"1,23,456",2\n"₹12,34,567.5",3\n', [[123456, 2], [1234567.5, 3]]
    ),
    Case("1e5 beside 100,000", 'a,b\n1e5,1\n"100,000",2\n', [[1e5, 1], [1e5, 2]]),
    Case("leading zeros", "code,a\n01234,1\n00501,2\n", [[1234, 1], [501, 2]]),
    Case(
        "leading zeros as codes",
        "code,a\n01234,1\n00501,2\n",
        [[1, 1], [0, 2]],
        select={"category": ("code",)},
    ),
    Case(
        "an integer of thirty digits",
        "a,b\n" + "1" * 30 + ",2\n7,4\n",
        [[float("1" * 30), 2], [7, 4]],
    ),
    Case("larger than any number", "a,b\n1e400,2\n7,4\n", r"holds inf at row 1 \(line 2\)"),
    Case("a sign behind", "a,b\n5-,2\n3,4\n", "the text '5-' at row 1 .*correct the cell"),
    Case("censored", "a,b\n<5,2\n7,4\n", "the text '<5' at row 1 .*correct the cell"),
    Case(
        "units in cells", "a,b\n5 kg,1\n7 kg,3\n", [[5, 1], [7, 3]], note=r"a: number \(kg removed"
    ),
    Case("units of areas", "a,b\n5.5 m²,1\n-7 m²,3\n", [[5.5, 1], [-7, 3]], note="m² removed"),
    Case("units without blanks", "a,b\n5mm,1\n7e2mm,3\n", [[5, 1], [700, 3]], note="mm removed"),
    Case("degrees", "a,b\n5°C,1\n7 °C,3\n", [[5, 1], [7, 3]], note="°C removed"),
    Case(
        "units behind decimal commas",
        "a;b\n12,5 kg;1\n1.013,25 kg;3\n",
        [[12.5, 1], [1013.25, 3]],
        ("a", "b"),
        note="kg removed",
    ),
    Case("units without a header", "5 kg,3 m\n7 kg,4 m\n", [[5, 3], [7, 4]], ()),
    Case(
        "units in names only",
        "100 m,200 m\n11,22\n12,23\n",
        [[11, 22], [12, 23]],
        ("100 m", "200 m"),
    ),
    Case(
        "a unit lacking in few",
        "a,b\n5 kg,1\n7,3\n8 kg,4\n",
        [[5, 1], [7, 3], [8, 4]],
        note="kg removed; 1 without kg",
    ),
    Case(
        "a unit beside currencies",
        "a,b\n5 kg,1\n7 kg,3\n$8,4\n",
        r"holds numbers with \$ and kg in column 1 \('a'\)",
    ),
    Case(
        "one other unit",
        "a,b\n5 kg,1\n7 kg,3\n900 g,4\n",
        r"the text '900 g' at row 3 .*2 of its 3",
    ),
    Case(
        "two units",
        "a,b\n" + "5 kg,1\n7 kg,3\n8 kg,3\n" * 3 + "900 g,4\n800 g,5\n",
        [[0, 1], [1, 3], [2, 3]] * 3 + [[4, 4], [3, 5]],
        note="such as '5 kg', which is",
    ),
    Case(
        "units as categories",
        "a,b\n5 kg,1\n7 kg,3\n",
        [[0, 1], [1, 3]],
        select={"category": ("a",)},
    ),
    Case("no units but months", "a,b\n5 May,1\n7 May,3\n", [[0, 1], [1, 3]], note="category, 2"),
    Case(
        "digits of another script",
        "a,b\n١,2\n٣,4\n",
        [[0, 2], [1, 4]],
        note="such as '١', which is",
    ),
    Case("a unit in one cell", "a,b\n5 kg,1\n7,3\n", "the text '5 kg' at row 1 .*1 of its 2 cells"),
    Case("an address", "a,b\n10.0.0.1,2\n10.0.0.2,4\n", [[0, 2], [1, 4]], note="category, 2"),
    # true and false
    Case("True and False", "a,b\nTrue,1\nFalse,2\n", [[1, 1], [0, 2]], note="a: true or false"),
    Case("yes and no", "a,b\nyes,1\nNO,2\n", [[1, 1], [0, 2]]),
    Case("TRUE and FALSE", "a,b\nTRUE,1\nFALSE,2\n", [[1, 1], [0, 2]], note="a: true or false"),
    Case("y and n", "a,b\ny,1\nn,2\nY,3\n", [[1, 1], [0, 2], [1, 3]]),
    Case("True among numbers", "a,b\n5,1\nTrue,2\n", "the text 'True' at row 2 .*1 of its 2 cells"),
    # missing
    Case(
        "an empty cell",
        "a,b\n1,2\n,4\n",
        r"empty cell at row 2 \(line 3\), column 1 \('a'\); drop or fill",
    ),
    Case(
        "the remedy is named",
        "a,b\n1,2\nNA,4\n",
        r"value NA .*; --missing-values impute fills gaps .* drop leaves out 1 of 2 rows",
    ),
    Case("a marker of a spreadsheet", "a,b\n1,2\n#N/A,#N/A\n", "the missing value #N/A at row 2"),
    Case(
        "rows dropped",
        "a,b\n1,2.5\n-,1\n3,4\n5,n/a\n",
        TWO,
        note="2 of 4 rows lack a value",
        select=DROP_ROWS,
    ),
    Case("gaps left to impute", "a,b\n1,2\nnull,4\n", [[1, 2], [NAN, 4]], select=IMPUTE),
    Case("a quoted empty cell", 'a,b\n1,2\n"",4\n', [[1, 2], [NAN, 4]], select=IMPUTE),
    Case("missing among marked", "a,b\n$1,2\n?,4\n", [[1, 2], [NAN, 4]], select=IMPUTE),
    Case("missing among true", "a,b\ntrue,2\n,4\n", [[1, 2], [NAN, 4]], select=IMPUTE),
    Case(
        "a column without values",
        "a,b\n1,\n3,NA\n",
        "no value in column 2 .*--drop-columns b",
        select=IMPUTE,
    ),
    Case(
        "no complete row", "a,b\n1,\n,3\n", "no row without a missing value; use", select=DROP_ROWS
    ),
    Case("missing in a dropped column", "a,c,b\n1,,2.5\n3,NA,4\n", TWO, select=drop("c")),
    Case(
        "many markers in one column",
        "a,b\n1,2\nNA,4\n-,5\n?,6\n.,7\n\\N,8\nN.A.,9\n",
        [[1, 2], *([NAN, k] for k in range(4, 10))],
        select=IMPUTE,
    ),
    Case(
        "errors of a spreadsheet",
        "a,b\n1,2\n#DIV/0!,4\n#VALUE!,5\n#REF!,6\n#NAME?,7\n#NUM!,8\n",
        [[1, 2], *([NAN, k] for k in range(4, 9))],
        select=IMPUTE,
    ),
    Case(
        "an error of a spreadsheet", "a,b\n1,2\n#DIV/0!,4\n", "the missing value #DIV/0! at row 2"
    ),
    Case(
        "NaN of C",
        "a,b\n1,2\n-nan(ind),4\n1.#QNAN,5\n-nan,6\n",
        [[1, 2], [NAN, 4], [NAN, 5], [NAN, 6]],
        select=IMPUTE,
    ),
    Case(
        "NaT among days",
        "day,b\nNaT,1\n2020-01-01,3\n",
        "date '2020-01-01' at row 2 .*drop-columns day",
    ),
    Case("a missing marker as name", "NA,b\n1,2.5\n3,4\n", TWO, ("NA", "b")),
    # text and days
    Case(
        "a category",
        "a,city\n1,Rome\n2,Oslo\n3,Rome\n",
        [[1, 1], [2, 0], [3, 1]],
        ("a", "city"),
        "city: category, 2 values",
    ),
    Case("a category with f", "sex,a\nm,1\nf,2\ni,3\n", [[2, 1], [0, 2], [1, 3]]),
    Case(
        "true and false beside one", "a,b\nno,x\nyes,z\n", [[0, 0], [1, 1]], note="a: category, 2"
    ),
    Case("codes as categories", "a,b\n10,1\n9,2\n", [[1, 1], [0, 2]], select={"category": ("a",)}),
    Case("gaps in a category", "a,b\nx,1\n,2\nz,3\n", [[0, 1], [NAN, 2], [1, 3]], select=IMPUTE),
    Case("gaps before a category", "a,b\n,1\nx,2\nz,3\n", [[0, 2], [1, 3]], select=DROP_ROWS),
    Case("a gap in a category", "a,b\nx,1\n,2\nz,3\n", r"empty cell at row 2 .*column 1 \('a'\)"),
    Case(
        "one value alone",
        "a,b\nx,1\nx,2\nx,3\nx,4\n",
        r"the same value in every row of .*--drop-columns a",
    ),
    Case(
        "too many values",
        "a,b\n" + "".join(f"id{i},{i}\n" for i in range(101)),
        "by --drop-columns a: it is a category, 101 values, and at most 100 can be modelled",
    ),
    Case(
        "no such category",
        PLAIN,
        r"column for --category-columns .*'c'",
        select={"category": ("c",)},
    ),
    Case(
        "a category dropped",
        "a,city,b\n1,Rome,2.5\n3,Oslo,4\n",
        TWO,
        ("a", "b"),
        "a: number; city: category, 2 values: left out by --drop-columns; b: number",
        drop("city"),
    ),
    Case(
        "several at once",
        "a,city,day\n1,Rome,2020-01-02\n2,Oslo,2020-01-03\n",
        r"date '2020-01-02' at row 1 .*--drop-columns day",
    ),
    Case(
        "a name with a blank",
        'a,"my city"\n1,2020-01-02\n2,2020-01-03\n',
        '--drop-columns "my city" or code',
    ),
    Case(
        "a name for no command line",
        'a,"city, ""old"""\n1,2020-01-02\n2,2020-01-03\n',
        "--drop-columns 2 or code",
    ),
    Case(
        "units, dates and gaps at once",
        "area,day,price (EUR)\n"
        + "".join(
            f"{i + 0.5} {'m2' if i % 2 else 'ha'},2020-01-{i % 28 + 1:02},{i or ''}\n"
            for i in range(120)
        ),
        r"\(all columns that are no numbers: --drop-columns area,day; the rest has empty cells: "
        "--missing-values impute",
    ),
    Case(
        "one bad cell",
        "a,b\n1,2\nhigh,4\n5,6\n",
        r"'high' at row 2 \(line 3\), .* 2 of its 3 cells are numbers",
    ),
    Case(
        "ISO days",
        "day,b\n2020-01-02,1\n2020-01-03,2\n",
        r"date '2020-01-02' at row 1 \(line 2\).*--drop-columns day",
    ),
    Case("American days", "day,b\n1/31/2020,1\n2/1/2020,2\n", "the date '1/31/2020'"),
    Case("German days", "day;b\n31.1.2020;1,5\n1.2.2020;2\n", "the date '31.1.2020'"),
    Case("days with hours", "day,b\n2020-01-02T10:00:00Z,1\n2020-01-02 11:00,2\n", "the date"),
    Case("English days", 'day,b\n"Jan 5, 2020",1\n"Feb 6, 2020",2\n', "the date 'Jan 5, 2020'"),
    Case("days with months in words", "day,b\n1 Jan 2020,1\n2-Feb-20,2\n", "the date '1 Jan 2020'"),
    Case("half days", "time,b\n10:30 AM,1\n11:30 pm,2\n", "the date '10:30 AM'"),
    Case(
        "time zones", "t,b\n2020-01-02T10:00:00+02:00,1\n2020-01-03 10:00:00+02:00,2\n", "the date"
    ),
    Case("hours", "time,b\n10:30,1\n11:45:10,2\n", "the date '10:30'"),
    Case(
        "a day dropped",
        "a,day,b\n1,2020-01-02,2.5\n3,,4\n",
        TWO,
        note="day: dates: left",
        select=drop("day"),
    ),
    # choosing
    Case(
        "two of four",
        "a,x,b,t\n1,9,2.5,u\n3,8,4,v\n",
        TWO,
        ("a", "b"),
        select={"columns": ("a", "b")},
    ),
    Case("by number", "1,9,2.5\n3,8,4\n", TWO, select=drop("2")),
    Case(
        "a column that is not there",
        PLAIN,
        "unknown column for --drop-columns .*'aa'; did you mean a",
        select=drop("aa"),
    ),
    Case("all dropped", PLAIN, "no column left to model", select=drop("a", "b")),
    Case(
        "no such number",
        "1,2\n3,4\n",
        "no header row; give --drop-columns the number",
        select=drop("5"),
    ),
]


def written(case: Case, folder: Path) -> Path:
    content = case.content if isinstance(case.content, bytes) else case.content.encode()
    (folder / case.file).write_bytes(content)
    return folder / case.file


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_peculiarity_is_read_or_refused(case: Case, tmp_path: Path) -> None:
    path = written(case, tmp_path)
    if isinstance(case.expected, str):
        with pytest.raises(ValueError, match=case.expected) as caught:
            read(path, selection=Selection(**case.select))
        assert type(caught.value) is ValueError and "\n" not in str(caught.value)
        return
    rows = read(path, selection=Selection(**case.select))
    np.testing.assert_array_equal(rows.x, case.expected)
    assert case.columns is None or rows.columns == case.columns
    assert re.search(case.note, "\n".join(rows.notes))


def test_there_are_enough_of_them_and_no_name_stands_for_two() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 60


N = 24
LEFT_OUT = {
    "every value different": [f"x{i}" for i in range(N)],
    "most values are there once": [f"x{min(i, 15)}" for i in range(N)],
    "it numbers the rows": [str(100 + 7 * i) for i in range(N)],
    "it numbers the rows, in no order": [str(500 + 5 * i % N) for i in range(N)],
    "dates": [f"2020-01-{i % 9 + 1:02}" for i in range(N)],
    "numbers and text": ["5" if i % 3 == 0 else "see A" for i in range(N)],
    "no values": ["", "NA"] * (N // 2),
}
TAKEN = {
    "codes": [str(10 * (i % 5)) for i in range(N)],
    "whole numbers far apart": [str(i * i * 37 % 1009) for i in range(N)],
    "grades": ["A", "B", "C"] * (N // 3),
    "one text": ["kg"] * N,
    "decimals that grow": [f"{i + 0.5}" for i in range(N)],
    "half of the values": [f"x{i // 2}" for i in range(N)],
}


@pytest.mark.parametrize("name", [*LEFT_OUT, *TAKEN])
def test_a_search_for_strange_rows_leaves_out_what_says_nothing(name: str, tmp_path: Path) -> None:
    cells = (LEFT_OUT | TAKEN)[name]
    lines = ["a,b", *(f"{i % 7}.5,{cell}" for i, cell in enumerate(cells))]
    (tmp_path / "x.csv").write_text("\n".join(lines))
    found = read(tmp_path / "x.csv", selection=Selection(missing="impute", detection=True))
    assert found.columns == (("a",) if name in LEFT_OUT else ("a", "b"))
    assert found.x.shape == (N, len(found.columns))
    assert found.cells is not None and found.cells.names == ("a", "b")
    assert [cell or "" for cell in found.cells.texts["1"]] == cells
    (columns,) = (note for note in found.notes if note.startswith("columns:"))
    assert (": left out" in columns) == (name in LEFT_OUT)
    if "," not in name and name in LEFT_OUT:
        assert name in columns


def test_names_of_rows_are_left_out_of_a_search(tmp_path: Path) -> None:
    """The index of a frame in a file, which is refused elsewhere: its numbers stay among the cells."""
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    lines = [",a", *(f"{i},{i % 7}.5" for i in range(N))]
    (tmp_path / "x.csv").write_text("\n".join(lines))
    columns = {"a": [i % 7 + 0.5 for i in range(N)], "__index_level_0__": list(range(N))}
    parquet.write_table(pa.table(columns), tmp_path / "x.parquet")
    for file, place in (("x.csv", 0), ("x.parquet", 1)):
        found = read(tmp_path / file, selection=Selection(detection=True))
        assert found.columns == ("a",) and found.x.shape == (N, 1)
        assert found.cells is not None
        assert found.cells.texts[:, place].to_list() == [str(i) for i in range(N)]


def test_one_column_is_one_column() -> None:
    found = [Found() for _ in range(LISTED + 1)]
    found[0].counts[NUMBER] = 3
    for column in found[1:]:
        column.counts[DAY] = 3
    said = described(map(str, range(LISTED + 1)), found, [""] + ["left out"] * LISTED)
    assert said.startswith("1 column: number; 1: dates: left out; ")


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PLAIN.encode())))
    np.testing.assert_array_equal(read(Path("-")).x, TWO)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(ValueError, match="- is empty"):
        read(Path("-"))
    monkeypatch.setenv("GIBBSIAN_MAX_BYTES", "5")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PLAIN.encode())))
    with pytest.raises(ValueError, match="above the limit"):
        read(Path("-"))


def test_packed_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = gzip.compress(PLAIN.encode())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(packed)))
    np.testing.assert_array_equal(read(Path("-")).x, TWO)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(packed[:-9])))
    with pytest.raises(ValueError, match="- is not an intact gzip file"):
        read(Path("-"))


def test_a_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    np.savetxt(tmp_path / "x.csv", np.random.default_rng(0).normal(size=(9, 2)), delimiter=",")
    assert load_dataset("~/x.csv").space.shape == (2,)


def test_parquet_of_other_kinds(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    columns = {
        "a": pyarrow.array([1, None, 3], pyarrow.int32()),
        "flag": [True, None, False],
        "city": pyarrow.array(["Rome", "Oslo", "Rome"]).dictionary_encode(),
        "day": pyarrow.array([0, 1, 2], pyarrow.date32()),
        "price": ["$1,012.50", "$3", "$4"],
        "cost": pyarrow.array([1, 2, 3], pyarrow.decimal128(9, 2)),
    }
    pq.write_table(pyarrow.table(columns), tmp_path / "x.parquet")
    selection = Selection(drop=("city", "day"), missing="impute")
    rows = read(tmp_path / "x.parquet", selection=selection)
    expected = [[1, 1, 1012.5, 1], [NAN, NAN, 3, 2], [3, 0, 4, 3]]
    np.testing.assert_array_equal(rows.x, expected)
    assert "city: category, 2 values: left out by --drop-columns; day: dates" in rows.notes[-1]
    with pytest.raises(
        ValueError, match=r"date '1970-01-01' at row 1, column 4 \('day'\).*--drop-columns day"
    ):
        read(tmp_path / "x.parquet", selection=Selection(missing="impute"))
    rows = read(tmp_path / "x.parquet", selection=Selection(drop=("day",), missing="impute"))
    expected = [[1, 1, 1, 1012.5, 1], [NAN, NAN, 0, 3, 2], [3, 0, 1, 4, 3]]
    np.testing.assert_array_equal(rows.x, expected)
    assert rows.table is not None
    assert [column.values for column in rows.table.kept[1:3]] == [
        ("false", "true", "(missing)"),
        ("Oslo", "Rome"),
    ]
    with pytest.raises(ValueError, match=r"empty cell at row 2, column 1 \('a'\).*1 of 3 rows"):
        read(tmp_path / "x.parquet", selection=Selection(drop=("city", "day")))
    pq.write_table(pyarrow.table({"a": [[1], [2]]}), tmp_path / "x.parquet")
    with pytest.raises(
        ValueError, match=r"nested values .* in column 'a'; write the file without it"
    ):
        read(tmp_path / "x.parquet")


@pytest.mark.parametrize("flipped", range(0, 60, 7))
def test_one_cell_unlike_the_others_is_no_constant_column(flipped: int, tmp_path: Path) -> None:
    """Wherever the single 1 ends up, in the training rows or beside them."""
    x = np.random.default_rng(0).normal(size=(60, 3))
    x[:, 1] = 0
    x[flipped, 1] = 1
    x[:, 2] = np.where(np.arange(60) == flipped, math.pi, 7.25)
    np.savetxt(tmp_path / "x.csv", x, delimiter=",", fmt="%.17g")
    for dequantise in (True, False):
        data = load_dataset(tmp_path / "x.csv", dequantise=dequantise)
        assert math.isfinite(data.transform.log_jacobian)
        every = [data.transform.encode(part) for part in (data.train, data.valid, data.test)]
        assert all(bool(u.isfinite().all()) for u in every)
    x[:, 1] = 0
    np.savetxt(tmp_path / "x.csv", x, delimiter=",", fmt="%.17g")
    with pytest.raises(ValueError, match=r"column 2 is constant \(0\).*drop it"):
        load_dataset(tmp_path / "x.csv")


def test_medians_are_those_of_the_training_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 50, (80, 2)).astype(float)
    gaps = rng.random((80, 2)) < 0.2
    cells = [
        ["" if gap else f"{v:g}" for v, gap in zip(*row, strict=True)]
        for row in zip(x, gaps, strict=True)
    ]
    (tmp_path / "x.csv").write_text("a,b\n" + "".join(f"{a or 'NA'},{b}\n" for a, b in cells))
    data = load_dataset(tmp_path / "x.csv", missing_values="impute")
    assert data.table is not None
    again = read(tmp_path / "x.csv", selection=Selection(missing="impute"))
    np.testing.assert_array_equal(again.x, np.where(gaps, np.nan, x))
    fills = [column.fill for column in data.table.kept]
    observed = set(map(tuple, np.where(gaps, fills, x).tolist()))
    for part in (data.train, data.valid, data.test):
        assert set(map(tuple, part.tolist())) <= observed
    for j, fill in enumerate(fills):
        # the median of rows that hold the fill wherever there was a gap is the fill itself
        assert fill == float(data.train[:, j].median()) and fill == round(fill)
    assert data.transform.unit == (1.0, 1.0)
    assert any("--missing-values impute: gaps filled by the medians" in note for note in data.notes)
    dropped = load_dataset(tmp_path / "x.csv", missing_values="drop")
    assert sum(map(len, (dropped.train, dropped.valid, dropped.test))) == int((~gaps.any(1)).sum())


def test_what_has_no_columns_takes_no_choice_of_them(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((5, 2)))
    for source in ("moons", tmp_path / "x.npy"):
        for option in ({"drop_columns": "a"}, {"columns": "a"}, {"missing_values": "drop"}):
            name = next(iter(option))
            with pytest.raises(
                ValueError, match=f"takes no --{name.replace('_', '-')}: that is for a .csv"
            ):
                load_dataset(source, **option)


@pytest.mark.parametrize("size", [40, 1000])
def test_blocks_of_any_size_give_the_same(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Quoted line breaks, comments, gaps and marks across the ends of blocks."""
    rng = np.random.default_rng(0)
    lines, expected = ["a,text,b"], []
    for i, (a, b) in enumerate(rng.normal(size=(300, 2)).tolist()):
        cell = ['"two\nlines, ""q"""', "plain", '""', "ü"][i % 4]
        lines += [f"{a!r},{cell},{f'${b!r}' if b > 0 and i % 5 else repr(b)}"]
        lines += ["", "# a comment"] * (i % 7 == 0)
        expected.append([a, b])
    (tmp_path / "x.csv").write_text("\n".join(lines))
    monkeypatch.setattr("gibbsian.data.text_blocks.SIZE", size)
    rows = read(tmp_path / "x.csv", selection=Selection(drop=("text",)))
    np.testing.assert_array_equal(rows.x, expected)


@pytest.mark.parametrize(
    "error", [NameError("PySeries"), SystemError("error return without exception set")]
)
def test_polars_without_memory_is_a_lack_of_memory(monkeypatch, error: Exception) -> None:
    """What its import and its first call were seen to end in with 2 MiB left."""
    import polars

    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(polars, "Series", fail)
    with pytest.raises(MemoryError, match="Polars cannot be loaded"):
        tables.polars.__wrapped__()
