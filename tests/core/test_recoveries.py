"""The file that tells how often training went back: what is none of it is refused, in one place for all."""

import os

import pytest

from gibbsian.core.files import CorruptFileError
from gibbsian.core.records import write_record
from gibbsian.core.recoveries import read_recoveries

RUN = "0123456789abcdef"


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ({"run": "fedcba9876543210", "recoveries": []}, "of another run"),
        ({"run": RUN}, "no list"),
        ({"run": RUN, "recoveries": [1]}, "no list"),
        ({"run": RUN, "recoveries": [{"said": 1}]}, "no sentence"),
    ],
)
def test_what_is_no_record_of_recoveries(tmp_path, record, why):
    write_record(tmp_path / "x.json", record)
    with pytest.raises(CorruptFileError, match=rf"{why}.*; take it away"):
        read_recoveries(tmp_path / "x.json", RUN)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.json")
    with pytest.raises(CorruptFileError, match="is no file; take it away"):
        read_recoveries(tmp_path / "x.json", RUN)
    assert read_recoveries(tmp_path / "none.json", RUN) == ()
