"""Every claim of the seed papers: what was published, our test, what it could have seen, and the verdict.

Nothing is trained here: the rows are made from the results of the other studies. A claim is put as a
difference that it says is above 0. It *holds* if the difference exceeds 2 standard errors. It *does not
hold at this scale* if the difference is below -2 standard errors, or if a difference as large as the
published one lies more than 2 standard errors above it. Otherwise *our test was too weak*: the column
*power* has the smallest difference that it could have seen, 2 standard errors. The same is said where a
defect of the test is known; then only a difference in favour of the claim counts. Our runs are far smaller
than the papers', so no row of *does not hold* speaks of the paper's own scale. *From memory* marks what was
not read in a source: it decides nothing. Mathematical statements name the test that checks them.

With three trainings a side 2 standard errors are not much: chance alone exceeds them in one direction in 6
to 9 of 100 cases (Student's t with 4 and 2 degrees of freedom), and nothing is corrected for the number of
rows. *In one training a side* the error is over rows, draws or photographs, and knows nothing of another
training. After a study has been run again, `make study NAME=claims` writes this page again.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from gibbsian.core.files import read_json
from studies.harness import RESULTS, write_page
from studies.papers import aevb, bidirectional, bihm, ebgan, gebm, lbt, super_resolution, vgan
from studies.papers.claim import (
    FAILS,
    HOLDS,
    MEMORY,
    OUTSIDE,
    UNTESTED,
    WEAK,
    Claim,
    Finding,
    Paper,
    ours,
    power,
    verdict,
)

PAPERS: tuple[Paper, ...] = (
    vgan.PAPER,
    bidirectional.NEURIPS,
    bidirectional.JOURNAL,
    lbt.PAPER,
    gebm.KALE,
    gebm.GEBM,
    aevb.PAPER,
    bihm.PAPER,
    ebgan.PAPER,
    super_resolution.PAPER,
)
HEAD = ("claim", "published in", "our test", "power", "published", "ours", "verdict", "page")


def measured(claim: Claim, folder: Path) -> Finding | None:
    """What the study's results say; None where there are none."""
    path = folder / f"{claim.study}.json"
    if claim.measure is None or not path.exists():
        return None
    record = read_json(path)
    return claim.measure(record.get("results", record))


def row(claim: Claim, folder: Path) -> list[str]:
    """The cells of a claim's row."""
    found = measured(claim, folder)
    tests = ", ".join(f"`{test}`" for test in claim.proofs)
    test = "; ".join(part for part in (claim.test, tests) if part) or "-"
    link = f"results/{claim.study}.md" if claim.study else f"methods/{claim.page}.md"
    shown = [claim.source, test, power(found), claim.published or "-", ours(found)]
    text = f"**{claim.id}** {claim.text}"
    cells = [text, *shown, verdict(claim, found), f"[{link.partition('/')[2][:-3]}]({link})"]
    return [cell.replace("|", "\\|") for cell in cells]


def kind(words: str) -> str:
    """Which of the verdicts a row has; that of a mixed one is *in part*."""
    words = words.partition(". ")[0]
    found = [v for v in (HOLDS, FAILS, WEAK, OUTSIDE, UNTESTED, MEMORY) if v in words]
    return found[0].partition(":")[0] if len(found) == 1 else "in part"


def table(folder: Path) -> str:
    """A count of the verdicts, then a table per paper."""
    lines, kinds = [], Counter[str]()
    for paper in PAPERS:
        lines += ["", f"## {paper.title}", "", f"{paper.reference} {paper.known}", ""]
        lines += [f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
        for claim in paper.claims:
            cells = row(claim, folder)
            kinds[kind(cells[-2])] += 1
            lines.append(f"| {' | '.join(cells)} |")
    counts = ", ".join(f"{words} {count}" for words, count in kinds.most_common())
    return "\n".join([f"{kinds.total()} claims: {counts}.", *lines])


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page; the exit status."""
    parser = argparse.ArgumentParser(prog="make study NAME=claims", description=__doc__)
    parser.add_argument(
        "--results", type=Path, default=RESULTS, help="folder of the results (JSON)"
    )
    parser.add_argument("--out", type=Path, default=RESULTS.parent / "claims.md", help="the page")
    options = parser.parse_args(argv)
    write_page(options.out, "Claims of the papers", __doc__ or "", table(options.results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
