"""Records that notice a changed bit, lines that notice damage, texts that stay texts."""

import json

import pytest

from gibbsian.core.files import CorruptFileError
from gibbsian.core.records import (
    all_match,
    checksum,
    content_of,
    line,
    parse_line,
    read_record,
    sealed,
    write_record,
)
from gibbsian.core.text import cell, printable

ENTRIES = {"b": [1, 2.5, None, True], "a": {"x": "ü", "y": 1e-300}, "c": -0.0}


def test_a_record_comes_back(tmp_path):
    write_record(tmp_path / "r.json", ENTRIES)
    assert read_record(tmp_path / "r.json") == ENTRIES
    text = json.dumps(sealed(ENTRIES))
    shuffled = dict(reversed(json.loads(text).items()))
    (tmp_path / "r.json").write_text(
        json.dumps(shuffled)
    )  # another order and layout, the same content
    assert read_record(tmp_path / "r.json") == ENTRIES


def test_every_flipped_bit_of_a_record_is_noticed_or_changes_nothing(tmp_path):
    path = tmp_path / "r.json"
    write_record(path, ENTRIES)
    content, unnoticed = path.read_bytes(), 0
    for place in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            assert read_record(path) == ENTRIES
            unnoticed += 1
        except CorruptFileError:
            continue
    assert unnoticed < 0.02 * 8 * len(content)  # only white space that became other white space


@pytest.mark.parametrize("text", ["[]", "3", '"x"', "{}", '{"a": NaN}'])
def test_what_is_no_record(text, tmp_path):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(CorruptFileError, match=r"r\.json .*; mend it"):
        read_record(tmp_path / "r.json", "mend it")


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, "\x00", "{"])
def test_what_is_no_json(text, tmp_path):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(CorruptFileError, match=r"r\.json is not valid JSON"):
        read_record(tmp_path / "r.json")


def test_lines():
    row = {"round": 5, "energy/loss": float("nan"), "rate": 0.1}
    text = line(row, "run")
    assert text.endswith(b"}\n") and text.count(b"\n") == 1
    entry = parse_line(text, "run")
    assert entry is not None and str(entry) == str(row)
    assert parse_line(text, "another run") is None
    for place in range(8 * (len(text) - 1)):
        flipped = bytearray(text)
        flipped[place // 8] ^= 1 << place % 8
        assert parse_line(bytes(flipped), "run") is None
    for end in range(len(text) - 1):
        assert parse_line(text[:end], "run") is None


def test_a_checksum_is_that_of_the_content():
    assert checksum({"a": 1, "b": 2}) == checksum({"b": 2, "a": 1})
    assert checksum({"a": 1}) != checksum({"a": 1.0}) != checksum({"a": "1"})


@pytest.mark.parametrize("text", ["height", "Größe 5 %", "naïve\nline"])
def test_plain_text_stays(text):
    assert printable(text) == text


@pytest.mark.parametrize(
    "text",
    ["\x1b[2J", "\x9b31m", "a\x07b", "a\rb", "\u202eabc", "\x7f", "\x00", "\u2028", "\ud800"],
)
def test_what_a_terminal_would_act_on_is_written_out(text):
    shown = printable(text)
    assert all(mark.isprintable() for mark in shown) and "\\" in shown
    shown.encode()


def test_cells_of_a_spreadsheet():
    assert cell("=HYPERLINK(1)") == "'=HYPERLINK(1)"
    assert [cell(name)[0] for name in ("+1", "-1", "@x", "\tx", "\rx")] == [
        "'",
        "'",
        "'",
        "\\",
        "\\",
    ]
    assert cell("height (cm)") == "height (cm)"


def test_lines_are_known_together_where_each_is():
    """Each bit of one line among three, and other ends: the fast way says what the slow one says."""
    good = [line({"round": i, "energy/loss": 0.5 / i}, "run") for i in (1, 2, 3)]
    assert all_match(good, "run") and all_match([], "run") and not all_match(good, "other")
    for place in range(8 * len(good[1])):
        text = bytearray(good[1])
        text[place // 8] ^= 1 << place % 8
        known = text.endswith(b"\n") and content_of(bytes(text), "run") is not None
        assert all_match([good[0], bytes(text), good[2]], "run") == known
    upper = good[1][:-11] + good[1][-11:].upper()
    for text in (b"", b"\n", b"{}\n", good[1][:-1], good[1][:-1] + b"\r\n", upper):
        known = text.endswith(b"\n") and content_of(text, "run") is not None
        assert all_match([good[0], text, good[2]], "run") == known
