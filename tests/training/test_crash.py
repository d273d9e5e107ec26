"""The short form of ``python -m tests.crash``: two kills of a real run from the command line."""

from tests.crash import crash


def test_killed_runs_resume_to_the_same_bits(tmp_path):
    assert crash("gan", kills=2, seed=7, folder=tmp_path) == [[], []]
