"""The long description of the package: README.md without links and pictures of the tree.

An index shows it where no file of the tree can be followed to. Everything else is in pyproject.toml.
"""

import re
from pathlib import Path

from setuptools import setup

PICTURE = re.compile(r"!\[[^\]]*\]\([^)]*\)\s*\*.*?[^*]\*\n+", re.DOTALL)
"""A picture and the caption in italics under it."""
HOW = re.compile(r" \(\[how\]\([^)]*\)\)")
LINK = re.compile(r"\[([^\]]+)\]\((?!https?://)[^)]*\)")
COMMENT = re.compile(r"<!--.*?-->\n")
PAGES = "\nThe pages named here are in the folder docs of the source distribution.\n"


def long_description(readme: str) -> str:
    """``readme`` with nothing in it that leads into the tree."""
    text = COMMENT.sub("", HOW.sub("", PICTURE.sub("", readme)))
    return LINK.sub(r"\1", text) + PAGES


if __name__ == "__main__":
    readme = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    setup(
        long_description=long_description(readme),
        long_description_content_type="text/markdown",
    )
