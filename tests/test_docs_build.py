"""Equations of the pages become MathML, every one of them, and nothing that is none."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from docs_build.maths import BLOCK, mathml, on_page_markdown
from gibbsian.methods import TRAINING_METHODS

DOCS = Path(__file__).parents[1] / "docs"
SPACE = "{http://www.w3.org/1998/Math/MathML}"


def test_a_fraction_with_a_root_is_the_tree_that_mathml_has_for_it():
    page = on_page_markdown("before\n\n```math\n\\frac{1}{Z} \\sqrt{p(x)}\n```\nafter\n")
    assert "```" not in page and page.startswith("before\n") and page.endswith("\nafter\n")
    root = ElementTree.fromstring(page.removeprefix("before").removesuffix("after\n").strip())
    assert root.tag == f"{SPACE}math" and root.attrib == {"display": "block"}
    assert [part.text for part in root.iter() if part.text] == ["1", "Z", "p", "(", "x", ")"]
    assert [len(list(root.iter(SPACE + tag))) for tag in ("mfrac", "msqrt")] == [1, 1]


@pytest.mark.parametrize("latex", ["a &= b", r"\nosuchcommand x", r"\arg\max_x f"])
def test_what_would_be_shown_wrongly_stops_the_build(latex):
    with pytest.raises(ValueError, match="no equation for the site"):
        mathml(latex)


def test_every_equation_of_the_pages_converts():
    found = [latex for page in DOCS.rglob("*.md") for latex in BLOCK.findall(page.read_text())]
    assert len(found) > 20
    for latex in found:
        assert ElementTree.fromstring(mathml(latex)).tag == f"{SPACE}math", latex


@pytest.mark.parametrize("method", sorted(TRAINING_METHODS))
def test_a_method_has_its_equation_and_a_picture(method):
    """A picture that lies in the tree, is small, and has in words what it shows."""
    page = DOCS / "methods" / f"{method}.md"
    text = page.read_text()
    assert BLOCK.search(text)
    pictures = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", text)
    assert pictures and all((page.parent / path).is_file() for _, path in pictures)
    own = [path for _, path in pictures if "images/methods/" in path]
    for path in own:
        assert (page.parent / path).stat().st_size < 60_000
        assert f"python examples/method_figures.py {method}" in text
