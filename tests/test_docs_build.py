"""Equations of the pages become MathML, and five pages notebooks: with the cells that the pages have."""

import base64
import json
import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

import gibbsian
from docs_build.maths import BLOCK, mathml, on_page_markdown
from docs_build.notebooks import PAGES, Cell, cells_of, drawn, entry, run
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


def test_a_sign_is_no_difference_and_a_function_no_factor():
    root = ElementTree.fromstring(mathml(r"\log Z = -\exp(-a) - [-b] + \log(c)"))
    forms = [part.get("form") for part in root.iter(f"{SPACE}mo") if part.text == "\u2212"]
    assert forms == ["prefix", "prefix", None, "prefix"]
    assert len(list(root.iter(f"{SPACE}mspace"))) == 1


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


@pytest.mark.parametrize("name", PAGES)
def test_a_notebook_has_the_cells_of_its_page_which_are_run_as_such(name):
    """``tests/test_docs.py`` runs the page; cells that differ were made before it was changed."""
    text = (DOCS / "tutorials" / f"{name}.md").read_text()
    path = DOCS / "notebooks" / f"{name}.ipynb"
    assert f"[This page as a notebook](../notebooks/{name}.ipynb)" in text
    assert path.stat().st_size < 100_000
    book = json.loads(path.read_text())
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    stored = [(cell["cell_type"], "".join(cell["source"])) for cell in book["cells"]]
    assert stored == [(cell.kind, cell.source) for cell in cells_of(text)], (
        f"make notebooks NAME={name}"
    )
    outputs = [out for cell in book["cells"] for out in cell.get("outputs", ())]
    pictures = [out["data"]["image/png"] for out in outputs if out["output_type"] == "display_data"]
    drawn = [cell.picture for cell in cells_of(text) if cell.picture]
    assert len(pictures) == len(drawn) >= 1
    for picture, place in zip(pictures, drawn, strict=True):
        assert base64.b64decode(picture) == (DOCS / "tutorials" / place).read_bytes()
    for link in re.findall(r"\]\(([^)\s#]+)", "\n".join(text for _, text in stored)):
        assert "://" in link or (path.parent / link).is_file(), link


def test_blocks_become_cells():
    text = "# T\n\n[This page as a notebook](x)\n\nA [b](c.md).\n\n```math\nx\n```\n\n"
    text += "<!-- file: m.py -->\n```python\na = 1\n```\n\n<!-- slow -->\n```bash\nlong\n```\n"
    text += "```bash\ngibbsian list\n```\n\n```python\nprint(2)\n```\n\n![p](q.png)\n\nend\n"
    assert [(cell.kind, cell.source, cell.picture) for cell in cells_of(text)] == [
        ("markdown", "# T\n\nA [b](../tutorials/c.md).\n\n$$\nx\n$$", None),
        ("code", "%%writefile m.py\na = 1", None),
        ("markdown", "```bash\nlong\n```", None),
        ("code", "!gibbsian list", None),
        ("code", "print(2);", "q.png"),
        ("markdown", "end", None),
    ]


def test_what_a_cell_prints_and_draws_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    assert run(Cell("code", "%%writefile m.py\na = 1"), names) == "Writing m.py\n"
    assert run(Cell("code", "!gibbsian --version"), names) == f"gibbsian {gibbsian.__version__}\n"
    draw = "from matplotlib import pyplot as plt\nplt.plot([1, 2])\nprint('there')"
    assert run(Cell("code", draw), names) == "there\n" and Path("m.py").read_text() == "a = 1\n"
    picture = drawn()
    assert picture is not None and picture.startswith(b"\x89PNG") and drawn() is None
    kept = entry(Cell("code", draw), 3, "".join(f"{n}\n" for n in range(99)), picture)
    assert [out["output_type"] for out in kept["outputs"]] == ["stream", "display_data"]
    assert kept["outputs"][0]["text"][-2:] == ["39\n", "...\n"]
    with pytest.raises(subprocess.CalledProcessError):
        run(Cell("code", "!gibbsian nonsense"), names)
