"""The page of a run on this machine's own interface, made again when the run has gone on."""

from __future__ import annotations

import hashlib
import socket
import sys
import threading
import time
import warnings
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from gibbsian.core.recoveries import RECOVERIES
from gibbsian.report.blocks import Page, TextBlock
from gibbsian.report.pages import Drawn, run_report_page
from gibbsian.report.record import read_record
from gibbsian.report.render import page_as_html

LOOPBACK = "127.0.0.1"
SHARE = 0.1
"""Of one core at most that making pages takes: after each there is a pause, which long logs lengthen."""
FILES = ("config.json", "metrics.jsonl", "evaluation.json", "evaluation.npz", RECOVERIES)
SILENCE = 10.0
"""Seconds that a client may take to ask."""


class WatchedRun:
    """The page of the run folder ``path``, and a name of its state; only the folder's files are read."""

    def __init__(self, path: Path):
        self.path = path
        self.lock = threading.Lock()
        self.drawn: Drawn = {}
        self.state, self.content = "", b""
        self.next = 0.0

    def page(self) -> tuple[str, bytes]:
        """The state and the page as HTML; a state that cannot be read has a page that says why."""
        with self.lock:
            state = self._state()
            if state != self.state and time.monotonic() >= self.next:
                begun = time.thread_time()
                self.content = page_as_html(self._page(), state).encode()
                if self.state:  # the first page draws what later ones keep
                    pause = (time.thread_time() - begun) * (1 / SHARE - 1)
                    self.next = time.monotonic() + pause
                self.state = state
            return self.state, self.content

    def _state(self) -> str:
        """A name of what the files' sizes and times are."""
        seen = hashlib.sha256()
        files = [self.path / name for name in FILES]
        for file in (*files, *sorted((self.path / "samples").glob("chains-*.json"))):
            try:
                entry = file.stat()
            except OSError:  # not there yet, or no longer
                continue
            seen.update(f"{file.name} {entry.st_mtime_ns} {entry.st_size}\n".encode())
        return seen.hexdigest()[:16]

    def _page(self) -> Page:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a last line that is being written, at each look
                return run_report_page([read_record(self.path)], self.drawn)
        except (ValueError, OSError) as error:  # two files of which one is being replaced
            return Page(self.path.name, "", (), (TextBlock(f"{error}.", warning=True),))


class PageServer(ThreadingHTTPServer):
    """Serves the page of ``run``, and nothing else, at a port of the loopback interface; 0 takes a free one.

    Raises OSError where the port is taken.
    """

    daemon_threads = True

    def __init__(self, run: WatchedRun, port: int = 0):
        super().__init__((LOOPBACK, port), _Answer)
        self.run = run
        names = (LOOPBACK, "localhost")
        self.hosts = {f"{name}:{self.server_port}" for name in names}
        if self.server_port == 80:
            self.hosts |= {*names}

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://{LOOPBACK}:{self.server_port}/"

    def handle_error(
        self, request: socket.socket | tuple[bytes, socket.socket], client: Any
    ) -> None:
        """A browser that has gone, or is silent, is no error."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client)


class _Answer(BaseHTTPRequestHandler):
    server: PageServer
    server_version, sys_version = "gibbsian", ""
    timeout = SILENCE

    def do_GET(self) -> None:
        """The page at /; 304 where the client has the same, 421 for the name of another host."""
        if self.headers.get("Host") not in self.server.hosts:
            # A page elsewhere whose name has been pointed at this address must not read what is here.
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
        elif self.path != "/":
            self.send_error(HTTPStatus.NOT_FOUND)
        else:
            state, content = self.server.run.page()
            same = self.headers.get("If-None-Match") == f'"{state}"'
            self.send_response(HTTPStatus.NOT_MODIFIED if same else HTTPStatus.OK)
            self.send_header("ETag", f'"{state}"')
            self.send_header("Cache-Control", "no-store")
            self.send_header("Content-Security-Policy", "frame-ancestors 'none'")
            self.send_header("Cross-Origin-Resource-Policy", "same-origin")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Content-Type", "text/html; charset=utf-8")
            if not same:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if not same:
                self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a look twice a second is no news."""
