"""Tables, equations and code of the pages scroll in boxes of their own: none is wider than a narrow screen.

A hook of MkDocs. A keyboard reaches such a box, and a screen reader says what it holds.
"""

from __future__ import annotations

import re
from typing import Any

WIDE = re.compile(r"<(table|math)\b.*?</\1>", re.DOTALL)
LABELS = {"table": "table", "math": "equation"}


def on_page_content(html: str, **_: Any) -> str:
    """The page's HTML with each table and equation in a box.

    >>> on_page_content("<p>a</p><table><tr></tr></table>").partition("aria-")[2]
    'label="table"><table><tr></tr></table></div>'
    """

    def box(found: re.Match[str]) -> str:
        label = LABELS[found[1]]
        return (
            f'<div class="scroll" tabindex="0" role="group" aria-label="{label}">{found[0]}</div>'
        )

    return WIDE.sub(box, html).replace("<pre><code", '<pre tabindex="0"><code')
