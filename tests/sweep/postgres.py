"""A PostgreSQL server of the tests' own, where its programs and a driver are installed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PLACES = ["/usr/lib/postgresql", "/usr/local/pgsql", "/opt/homebrew/opt"]


def programs() -> Path | None:
    """The folder of initdb and pg_ctl; None without them or without a driver."""
    if importlib.util.find_spec("psycopg") is None:
        return None
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    found = [path.parent for place in PLACES for path in Path(place).glob("*/bin/initdb")]
    return max(found, default=None)


class Server:
    """A server in a temporary folder, on a free port of the loopback interface."""

    def __init__(self, folder: Path):
        self.folder, self.bin = folder, programs()
        # The server refuses to run as root
        self.who = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
        if self.who:
            shutil.chown(folder, **self.who)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._run("initdb", "-D", folder / "data", "-U", "tester", "-A", "trust", "--no-sync")

    def url(self, user: str = "tester", password: str = "") -> str:
        who = f"{user}:{password}" if password else user
        return f"postgresql+psycopg://{who}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self.folder} -F"
        self._run("pg_ctl", "-D", self.folder / "data", "-w", "-o", options, "-l", "log", "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "-w", "stop")

    def run(self, statement: str) -> None:
        import psycopg

        where = self.url().replace("+psycopg", "")
        with psycopg.connect(where, autocommit=True) as connection:
            connection.execute(statement)

    def empty(self) -> None:
        self.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public")

    def _run(self, program: str, *arguments: object) -> None:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        words = [str(self.bin / program), *map(str, arguments)]
        subprocess.run(words, check=True, cwd=self.folder, **quiet, **self.who)


@contextmanager
def server() -> Iterator[Server]:
    """A running server, whose folder goes with it."""
    folder = Path(tempfile.mkdtemp())
    try:
        made = Server(folder)
        made.start()
        try:
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
