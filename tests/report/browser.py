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

    def picture(self, path: Path) -> None:
        """A screenshot of the whole page."""
        self.page.screenshot(path=path, full_page=True)
