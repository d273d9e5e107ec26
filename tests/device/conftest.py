"""These tests are left out where the pretended device is not there."""

from __future__ import annotations

import sys

import pytest

pretend = sys.modules.get("tests.device.pretend")
collect_ignore_glob = ["*"] if pretend is None else []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if pretend is not None and pretend.ABSENT:
        for item in items:
            item.add_marker(pytest.mark.skip(reason=pretend.ABSENT))
