"""A headless Chromium over its own pipe: the DevTools protocol, with nothing installed for it."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome-headless-shell")
PATIENCE = 60.0


def executable() -> str | None:
    """A Chromium on the PATH, or one that Playwright has fetched."""
    named = next(filter(None, map(shutil.which, NAMES)), None)
    cache = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache/ms-playwright")
    fetched = [
        str(path) for path in sorted(cache.glob("chromium*/*/*")) if path.stem == "headless_shell"
    ]
    return named or next(iter(fetched), None)


class Tab:
    """One page: commands go down the pipe, answers come back, events are kept in ``events``."""

    def __init__(self, down: int, up: int):
        self.down, self.up, self.rest, self.number = down, up, b"", 0
        self.events: list[dict[str, Any]] = []
        self.session: dict[str, str] = {}
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        found = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = {"sessionId": found["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters, **self.session}
        os.write(self.down, json.dumps(message).encode() + b"\0")
        return self.wait("id", self.number)["result"]

    def wait(self, key: str, value: object) -> dict[str, Any]:
        """The next message in which ``key`` is ``value``; what comes before it is kept as events."""
        until = time.monotonic() + PATIENCE
        while True:
            while b"\0" not in self.rest:
                ready = select.select([self.up], [], [], max(0.0, until - time.monotonic()))[0]
                assert ready, f"no {key} {value} from the browser within {PATIENCE} s"
                self.rest += os.read(self.up, 1 << 16)
            line, self.rest = self.rest.split(b"\0", 1)
            message = json.loads(line)
            assert "error" not in message, message
            if message.get(key) == value:
                return message
            self.events.append(message)

    def show(self, address: str, width: int, scheme: str) -> None:
        """Load ``address`` on a screen ``width`` CSS pixels wide that asks for a light or dark page."""
        screen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": True}
        self.call("Emulation.setDeviceMetricsOverride", **screen)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", features=[feature])
        self.call("Page.navigate", url=address)
        self.wait("method", "Page.loadEventFired")

    def ask(self, expression: str) -> Any:
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")


@contextmanager
def browser(program: str, profile: Path) -> Iterator[Tab]:
    """A tab of a fresh ``program`` that ends with the block."""
    (theirs_in, down), (up, theirs_out) = os.pipe(), os.pipe()
    options = f"--headless --disable-gpu --no-first-run --user-data-dir='{profile}'"
    options += " --disable-dev-shm-usage --remote-debugging-pipe"
    options += " --no-sandbox" if os.geteuid() == 0 else ""
    line = f"exec '{program}' {options} 3<&{theirs_in} 4>&{theirs_out} 2>/dev/null"
    process = subprocess.Popen(["bash", "-c", line], pass_fds=(theirs_in, theirs_out))
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Tab(down, up)
    finally:
        process.kill()
        process.wait()
        os.close(down)
        os.close(up)
