r"""Blocks of LaTeX in the pages become MathML when the site is built: no script, no font, no request.

A hook of MkDocs. A block is fenced as ``math``, so that a host of source code shows it as an equation too,
and what knows no equations shows the LaTeX. One equation a block: the converter aligns nothing.
"""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

from latex2mathml.converter import convert

# What the converter leaves to be set as between two terms: a sign after a bracket or "=", and log Z.
SIGN = re.compile(r"((?:&#x00028;|\[|&#x0003D;)</mo>)<mo>&#x02212;</mo>")
FUNCTION = re.compile(r"(<mi>log</mi>)(?=<m(?!o\b))")
BLOCK = re.compile(r"^```math\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def mathml(latex: str) -> str:
    r"""A ``math`` element on a line of its own; ValueError for LaTeX that the converter does not know.

    >>> mathml("E \\ge 0")[:5]
    '<math'
    """
    latex = " ".join(latex.split())
    element = convert(latex, display="block")
    try:
        ElementTree.fromstring(element)  # an & that aligns is passed through as it is
    except ElementTree.ParseError as error:
        raise ValueError(f"no equation for the site: {latex} ({error})") from error
    if unknown := re.search(r"\\[A-Za-z]+", element):
        raise ValueError(f"no equation for the site: {latex} ({unknown[0]} is unknown)")
    element = SIGN.sub(r'\1<mo form="prefix">&#x02212;</mo>', element)
    return FUNCTION.sub(r'\1<mspace width="0.167em" />', element)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page's Markdown with MathML in place of its ``math`` blocks."""
    return BLOCK.sub(lambda block: f"\n{mathml(block[1])}\n", markdown)
