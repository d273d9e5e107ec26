"""The same page as Markdown with its images beside it."""

import re
from itertools import pairwise

from gibbsian.cli import main
from gibbsian.report import ImageStrip, Page, PageImage, Section, Table, TextBlock, page_as_markdown
from gibbsian.report.blocks import Fold
from tests.report.folders import write_run


def test_pictures_lie_beside_the_page(tmp_path):
    one, two = (write_run(tmp_path / name, evaluated=False) for name in ("one", "two"))
    out = tmp_path / "my pages"
    out.mkdir()
    assert main(["report", str(one), str(two), "--output", str(out / "a b.md")]) == 0
    text = (out / "a b.md").read_text()
    shown = re.findall(r"!\[((?:[^\]\\]|\\.)+)\]\(([^)\s]+)\)", text)
    files = {path.name for path in (out / "a b_figures").iterdir()}
    assert len(shown) == len(files) == 7  # losses and bounds of each, three curves compared
    assert {address for _, address in shown} == {f"a%20b_figures/{name}" for name in files}
    assert "losses-energy-loss.svg" in files and "losses-energy-loss-2.svg" in files
    assert any(alt.startswith("player energy: loss. loss goes from 2") for alt, _ in shown)
    levels = [len(line.split(" ")[0]) for line in text.splitlines() if line.startswith("#")]
    assert levels[0] == 1 and all(b <= a + 1 for a, b in pairwise(levels))


def test_tables_and_texts_hold_no_markup():
    evil = "a|b\n<b>*x*</b> `c` [d](e) $f$ _g_ # h &amp;"
    table = Table(evil, ("", "v|w"), ((evil, "1 ± 2"), ("-", "+")))
    fold = Fold("more", (TextBlock("hidden"),))
    dot = PageImage("../Dot <", b"x", "png", 1, 1, evil)
    blocks = (
        table,
        TextBlock("- no list", "gibbsian list\n  data"),
        fold,
        ImageStrip((dot, dot), "dots"),
    )
    page = Page(evil, evil, (Section("S", blocks, (Section("T"),)),))
    text, files = page_as_markdown(page, "figures")
    assert files == {"dot.png": b"x", "dot-2.png": b"x"}
    plain = re.sub(r"\\.", "", text)  # without what is escaped
    assert not re.search(r"[`$]|<b>|&amp;", plain)
    rows = [line for line in plain.splitlines() if line.startswith("|")]
    assert len(rows) == 4 and all(row.count("|") == 3 for row in rows), "two columns"
    assert rows[1] == "|---|---|"
    assert "\n    gibbsian list\n      data\n" in text and "\n\\- no list\n" in text
    assert "<details><summary>more</summary>\n\nhidden\n\n</details>" in text
    assert "\n## S\n" in text and "\n### T\n" in text
