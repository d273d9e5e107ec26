"""A headless Chromium over a pipe, by its own protocol: pages opened, keys pressed, complaints collected."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
PATIENCE = 60.0
"""Seconds that an answer may take on a busy machine."""
KEYS = {"Tab": 9, "Enter": 13, "ArrowRight": 39, "ArrowLeft": 37, " ": 32}

AT_3_AND_4 = (
    "import os, sys\n"
    "os.dup2(int(sys.argv[1]), 3)\n"
    "os.dup2(int(sys.argv[2]), 4)\n"
    "os.execv(sys.argv[3], sys.argv[3:])"
)
"""Where the browser reads commands and writes answers."""


class Browser:
    """A context: within it pages are opened one after another."""

    def __init__(self, folder: Path):
        assert CHROMIUM is not None
        (low, commands), (answers, high) = os.pipe(), os.pipe()
        reading, writing = (fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (low, high))
        os.close(low)
        os.close(high)
        words = [CHROMIUM, "--headless=new", "--remote-debugging-pipe", "--no-sandbox"]
        words += ["--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        words += ["--disable-background-networking", "--disable-component-update"]
        words += [f"--user-data-dir={folder}", "about:blank"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", AT_3_AND_4, str(reading), str(writing), *words],
            pass_fds=(reading, writing),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(reading)
        os.close(writing)
        self.commands, self.answers = commands, answers
        self.number, self.kept, self.target = 0, b"", ""
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.terminate()
        self.process.wait(10)
        os.close(self.commands)
        os.close(self.answers)

    def ask(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send a command; what it answers. Events that come meanwhile are kept."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            for answer in self.receive(until - time.monotonic()):
                if answer.get("id") == self.number:
                    assert "error" not in answer, (method, answer["error"])
                    return answer["result"]
        raise TimeoutError(method)

    def receive(self, seconds: float) -> list[dict[str, Any]]:
        """Messages that have come, waiting for one at most so long; events are kept too."""
        if b"\0" not in self.kept and select.select([self.answers], [], [], max(seconds, 0))[0]:
            self.kept += os.read(self.answers, 1 << 20)
        *whole, self.kept = self.kept.split(b"\0")
        found = [json.loads(text) for text in whole]
        self.events += [message for message in found if "method" in message]
        return found

    def open(self, address: str, width: int, dark: bool = False, script: bool = True) -> Tab:
        """A page alone: the one that was open before is closed."""
        target, before = self.ask("Target.createTarget", url="about:blank")["targetId"], self.target
        if before:
            self.ask("Target.closeTarget", targetId=before)
        self.target = target
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            tab.ask(f"{domain}.enable")
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        tab.ask("Emulation.setDeviceMetricsOverride", **size)
        tab.media(dark)
        tab.ask("Emulation.setScriptExecutionDisabled", value=not script)
        tab.ask("Page.navigate", url=address)
        tab.wait("document.readyState === 'complete' && location.href !== 'about:blank'")
        return tab


class Tab:
    """One page: what is asked of it, and what went wrong on it."""

    def __init__(self, browser: Browser, session: str):
        self.browser, self.session = browser, session

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self.browser.ask(method, self.session, **parameters)

    def media(self, dark: bool, kind: str = "screen") -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", media=kind, features=[scheme])

    def value(self, expression: str) -> Any:
        """What ``expression`` is on the page."""
        options = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        answer = self.ask("Runtime.evaluate", **options)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, expression: str, seconds: float = PATIENCE) -> float:
        """Wait until ``expression`` holds; the seconds it took. AssertionError if it never does."""
        begun = time.monotonic()
        while not self.value(expression):
            assert time.monotonic() < begun + seconds, f"never: {expression}"
            time.sleep(0.02)
        return time.monotonic() - begun

    def press(self, key: str) -> None:
        code = {"windowsVirtualKeyCode": KEYS[key], "key": key, "code": key}
        text = {"text": {"Enter": "\r", " ": " "}[key]} if key in ("Enter", " ") else {}
        self.ask("Input.dispatchKeyEvent", type="keyDown", **code, **text)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **code)

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def picture(self, path: Path) -> None:
        """A screenshot of the whole page."""
        content = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(content["data"]))

    def happened(self, method: str) -> list[dict[str, Any]]:
        self.value("0")  # what came before has now been received
        events = [e for e in self.browser.events if e.get("sessionId") == self.session]
        return [event["params"] for event in events if event["method"] == method]

    def complaints(self) -> list[Any]:
        """Exceptions, and what stands on the console as an error or a warning."""
        logged = [entry["entry"] for entry in self.happened("Log.entryAdded")]
        said = self.happened("Runtime.consoleAPICalled")
        return [
            *self.happened("Runtime.exceptionThrown"),
            *(entry for entry in logged if entry["level"] in ("error", "warning")),
            *(call for call in said if call["type"] in ("error", "warning", "assert")),
        ]

    def requests(self) -> list[str]:
        """The addresses of all that was asked for, but what addresses hold themselves."""
        asked = (event["request"]["url"] for event in self.happened("Network.requestWillBeSent"))
        return [address for address in asked if not address.startswith("data:")]
