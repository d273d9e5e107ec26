"""Pages in a headless Chromium: opened, looked at and worked on, with what went wrong on them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
PATIENCE = 60.0
"""Seconds that a page may take on a busy machine."""
CONTROLS = "[...document.querySelectorAll('a[href], button, input, summary, [tabindex=\"0\"]')]"
SHOWN = ".filter((e) => e.checkVisibility({visibilityProperty: true}))"
FAINT = """
(() => {
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const parts = (text) => [...numbers(text), 1].slice(0, 4);
  const over = (top, below) => [0, 1, 2].map((k) => top[k] * top[3] + below[k] * (1 - top[3]));
  const ground = (e) => e === null ? [255, 255, 255]
    : over(parts(getComputedStyle(e).backgroundColor), ground(e.parentElement));
  const linear = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const share = [0.2126, 0.7152, 0.0722];
  const luminance = (rgb) => rgb.reduce((sum, c, k) => sum + share[k] * linear(c / 255), 0);
  const found = [];
  for (const e of document.querySelectorAll('body *')) {
    const text = [...e.childNodes].filter((n) => n.nodeType === 3).map((n) => n.textContent).join('').trim();
    const box = e.getBoundingClientRect();
    if (!text || !box.width || !box.height || !e.checkVisibility({visibilityProperty: true})) { continue; }
    const style = getComputedStyle(e), below = ground(e), ink = parts(style.color);
    for (let up = e; up; up = up.parentElement) { ink[3] *= Number(getComputedStyle(up).opacity); }
    const [dark, light] = [luminance(over(ink, below)), luminance(below)].sort((a, b) => a - b);
    const ratio = (light + 0.05) / (dark + 0.05), size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) { found.push(`${e.tagName} ${text.slice(0, 30)} ${ratio.toFixed(2)}`); }
  }
  return found;
})()
"""
"""Texts that WCAG 2.2, AA, calls too faint: contrast below 4.5 : 1, of large letters 3 : 1."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """The machine's own Chromium while the block lasts."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"], timeout=1e3 * PATIENCE
        )
        yield browser
        browser.close()


class Tab:
    """A page in a context of its own: what is asked of it, and what went wrong on it."""

    def __init__(
        self, browser: Browser, address: str, width: int, dark: bool = False, script: bool = True
    ):
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            java_script_enabled=script,
        )
        context.set_default_timeout(1e3 * PATIENCE)
        self.page = context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._console)
        self.page.on("request", self._request)
        self.page.goto(address)

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning", "assert"):
            self.complaints.append(message.text)

    def _request(self, request: Any) -> None:
        if not request.url.startswith("data:"):  # such an address holds what it asks for
            self.requests.append(request.url)

    def value(self, expression: str) -> Any:
        """What ``expression`` is on the page."""
        return self.page.evaluate(expression)

    def wait(self, expression: str, seconds: float = PATIENCE) -> None:
        """Until ``expression`` holds. Asked from here: the page's policy lets it evaluate no text itself."""
        until = time.monotonic() + seconds
        while not self.value(expression):
            assert time.monotonic() < until, f"never: {expression}"
            self.page.wait_for_timeout(20)

    def unreached(self) -> list[str]:
        """The controls that are shown and that the tabulator key does not reach."""
        self.value(f"{CONTROLS}{SHOWN}.forEach((e, k) => {{ e.dataset.place = k; }})")
        number = self.value(f"{CONTROLS}{SHOWN}.length")
        reached = set()
        for _ in range(number + 10):
            self.page.keyboard.press("Tab")
            reached.add(self.value("document.activeElement.dataset.place"))
        missing = [place for place in range(number) if str(place) not in reached]
        return [self.value(f"{CONTROLS}{SHOWN}[{place}].outerHTML") for place in missing]

    def picture(self, path: Path) -> None:
        """A screenshot of the whole page."""
        self.page.screenshot(path=path, full_page=True)
