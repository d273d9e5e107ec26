"""``watch``: the page of a run while it trains, on this machine alone. Needs no PyTorch."""

from __future__ import annotations

import dataclasses
import errno
import os
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from gibbsian.cli.console import parse, say
from gibbsian.report.page_server import PageServer, WatchedRun
from gibbsian.report.record import read_record

PATIENCE = 5
"""Steps that the process goes back in the queue for the processor: training comes first."""


@dataclasses.dataclass(frozen=True)
class Watch:
    """Show the report of a run in a browser, refreshed while it trains. The run folder is only read.

    The address is printed; nothing leaves this machine. Ctrl-C ends it.

    Args:
        run: folder of the run.
        port: of the loopback interface, 127.0.0.1; 0 takes one that is free.
    """

    run: Annotated[Positional[Path], tyro.conf.arg(metavar="RUN")]
    port: int = 0


def watch(arguments: list[str]) -> int:
    """Serve the report of a run on this machine: `watch RUN`."""
    args = parse(Watch, arguments, "watch")
    read_record(args.run)
    if not 0 <= args.port <= 65535:
        raise ValueError(f"--port must be from 0 to 65535, not {args.port}; 0 takes a free one")
    try:
        server = PageServer(WatchedRun(args.run), args.port)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        why = "is taken" if error.errno == errno.EADDRINUSE else "is not free for you to use"
        raise ValueError(f"--port {args.port} {why}; leave it out for a free one") from error
    if hasattr(os, "nice"):
        os.nice(PATIENCE)
    with server:
        print(server.address, flush=True)
        say(f"{args.run} is shown at {server.address} while this runs; Ctrl-C ends it")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("no longer watching")
    return 0
