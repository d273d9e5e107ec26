"""``gibbsian watch``: the page of a run on the loopback interface, and nothing else of the machine."""

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from gibbsian.cli import main
from gibbsian.core.records import line
from gibbsian.report import drawn_curves, page_server
from gibbsian.report.page_server import PageServer, WatchedRun
from tests.cli.conftest import contents
from tests.report.folders import RUN, write_run
from tests.report.reading import Reading


@contextlib.contextmanager
def serving(run):
    """A server of ``run`` in a thread, while inside."""
    with PageServer(WatchedRun(run)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def log(run, *rounds):
    """Rounds that training logs: each appended as a line, as `gibbsian.training.metric_log` does."""
    with (run / "metrics.jsonl").open("ab") as file:
        for index in rounds:
            file.write(line({"round": index, "energy/loss": 1 / index}, RUN))


def fresh(path, **options):
    """A run whose last line is whole."""
    run = write_run(path, **options)
    (run / "metrics.jsonl").write_bytes(b"")
    log(run, 10, 20, 30)
    return run


def get(server, path="/", **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return urlopen(Request(server.address.rstrip("/") + path, headers=names), timeout=30)


def lead(answer):
    return next(text for text in Reading(answer.read().decode()).said("p") if "rounds" in text)


@pytest.fixture
def run(tmp_path):
    return fresh(tmp_path / "run", evaluated=False)


def test_the_page_follows_the_run(run):
    """New rounds are on the page two seconds after they are logged, at the latest."""
    before = None
    with serving(run) as server:
        assert "30 of 30 rounds" in lead(get(server))
        for index in (40, 50, 60):
            before = contents(run)
            log(run, index)
            written = time.monotonic()
            while f"{index} of 30 rounds" not in lead(get(server)):
                assert time.monotonic() < written + 2
                time.sleep(0.05)
    assert before != contents(run)


def test_what_has_not_changed_is_not_sent_again(run):
    with serving(run) as server:
        first = get(server)
        state = first.headers["ETag"]
        assert f"data-state={state}" in first.read().decode()
        with pytest.raises(HTTPError) as found:
            get(server, If_None_Match=state)
        assert found.value.code == 304 and not found.value.read()
        log(run, 40)
        time.sleep(1)
        other = get(server, If_None_Match=state)
        assert other.status == 200 and other.headers["ETag"] != state


def test_only_the_run_is_read_and_nothing_is_written(run):
    before = contents(run)
    with serving(run) as server:
        get(server).read()
    assert contents(run) == before


def test_nothing_of_the_file_system_is_served(run):
    (run.parent / "secret.txt").write_text("secret")
    with serving(run) as server:
        paths = [
            "/config.json",
            "/../secret.txt",
            "/%2e%2e/secret.txt",
            "//secret.txt",
            "/?x",
            "/etc",
        ]
        for path in [*paths, "/..%2fsecret.txt", str(run.parent / "secret.txt"), "/favicon.ico"]:
            asking = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
            asking.request("GET", path)  # as it is: urllib would tidy it up
            answer = asking.getresponse()
            assert answer.status == 404 and b"secret\n" not in answer.read(), path
            asking.close()


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1",
        "localhost:1",
        "127.0.0.1:{port}.evil",
        "",
    ],
)
def test_a_name_that_was_bound_to_this_address_reads_nothing(host, run):
    """DNS rebinding: a browser sends the page's own name as the host."""
    with serving(run) as server:
        with pytest.raises(HTTPError) as found:
            get(server, Host=host.format(port=server.server_port))
        assert found.value.code == 421 and b"rounds" not in found.value.read()
        assert get(server, Host=f"localhost:{server.server_port}").status == 200


def test_a_request_without_a_host_reads_nothing(run):
    with (
        serving(run) as server,
        socket.create_connection(("127.0.0.1", server.server_port)) as line,
    ):
        line.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b" 421 " in line.makefile("rb").readline()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_nothing_but_get(method, run):
    with serving(run) as server:
        request = Request(server.address, data=b"x", method=method)
        with pytest.raises(HTTPError) as found:
            urlopen(request, timeout=30)
        assert found.value.code == 501


def test_it_listens_on_this_machine_alone(run):
    with serving(run) as server:
        assert server.socket.getsockname()[0] == "127.0.0.1"
        headers = get(server).headers
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Content-Security-Policy"] == "frame-ancestors 'none'"
    assert not [name for name in headers if name.startswith("Access-Control")]


def test_a_page_in_a_browser_may_ask_its_own_server_only(run):
    with serving(run) as server:
        page = Reading(get(server).read().decode())
    policy = next(a["content"] for _, a in page.all("meta") if "http-equiv" in a)
    assert policy.startswith("default-src 'none';") and policy.endswith("; connect-src 'self'")
    assert len([a for _, a in page.all("script") if not a]) == 3
    assert not page.all("img"), "curves are not drawn as pictures, which would take a run's time"
    assert any(text.startswith("player energy: loss. loss goes") for text in page.said("p"))


def test_pictures_are_drawn_once(tmp_path, monkeypatch):
    run, drawn = fresh(tmp_path / "run", arrays=False), []
    encoded = drawn_curves.figure_image

    def counted(figure, name, alt):
        drawn.append(name)
        return encoded(figure, name, alt)

    monkeypatch.setattr(drawn_curves, "figure_image", counted)
    watched = WatchedRun(run)
    first = watched.page()[1]
    assert sorted(drawn) == ["chains-mala", "log-likelihood", "log-z"]
    log(run, 40)
    watched.next = 0.0
    second = watched.page()[1]
    assert len(drawn) == 3 and b"40 of 30 rounds" in second and b"40 of 30 rounds" not in first
    path = run / "evaluation.json"
    path.write_text(path.read_text().replace('"samples": 500', '"samples": 501'))
    watched.next = 0.0
    assert b"evaluation.json" in watched.page()[1], "its checksum is another one now"


def test_damage_is_said_on_the_page_until_it_is_mended(run):
    whole = (run / "config.json").read_bytes()
    with serving(run) as server:
        assert get(server).status == 200
        (run / "config.json").write_bytes(whole[:-40])
        time.sleep(1)
        assert b"config.json is not valid JSON" in get(server).read()
        (run / "config.json").write_bytes(whole)
        time.sleep(1)
        assert "30 of 30 rounds" in lead(get(server))


def test_a_long_log_is_read_less_often(run, monkeypatch):
    """Making pages takes a tenth of a core at most, whatever the length of the log."""
    clock = [0.0]
    monkeypatch.setattr(page_server.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(page_server.time, "thread_time", lambda: next(spent))
    spent = iter((0.0, 10.0, 12.0, 20.0, 22.0))  # each page takes two seconds
    watched = WatchedRun(run)
    made = []
    for second in range(60):
        clock[0] = float(second)
        log(run, 100 + second)
        made.append(watched.page()[0])
        if len(set(made)) == 3:
            break
    # The first page, which draws what is kept, is followed at once; the next by 18 seconds.
    assert made.index(made[-1]) == 1 + 18


def test_a_silent_client_keeps_nobody_waiting(run):
    with (
        serving(run) as server,
        socket.create_connection(("127.0.0.1", server.server_port)),
        socket.create_connection(("127.0.0.1", server.server_port)) as gone,
    ):
        gone.close()
        assert get(server).status == 200


def started(*words, cwd):
    """`gibbsian watch` as a process, and the address it prints."""
    # A shell that puts a command into the background has it ignore Ctrl-C, which is inherited.
    restored = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    command = restored + "from gibbsian.cli import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", command, "watch", *words],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
    )
    return process, process.stdout.readline().strip()


def test_the_command_serves_until_ctrl_c(run):
    process, address = started("run", cwd=run.parent)
    try:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address), process.stderr.read()
        page = Reading(urlopen(address, timeout=30).read().decode())
        assert page.said("h1") == ["cd on moons: run"]
        port = address.rstrip("/").rpartition(":")[2]
        taken, nothing = started("run", "--port", port, cwd=run.parent)
        assert taken.wait(30) == 2 and nothing == ""
        assert f"--port {port} is taken; leave it out for a free one" in taken.stderr.read()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        said = process.stderr.read()
        assert "Traceback" not in said and said.splitlines()[-1] == "gibbsian: no longer watching"
    finally:
        process.kill()
        process.communicate()


def test_what_cannot_be_watched(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    write_run(tmp_path / "run", evaluated=False)
    for words, said in (
        (("nowhere",), "nowhere does not exist"),
        (("empty",), "empty is not a run folder"),
        (("run", "--port", "70000"), "--port must be from 0 to 65535"),
        (("run", "--port", "-1"), "--port must be from 0 to 65535"),
        ((), "RUN"),
    ):
        assert main(["watch", *words]) == 2
        (line_said,) = capsys.readouterr().err.splitlines()
        assert said in line_said
