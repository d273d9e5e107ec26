"""The built documentation in a real browser, where there is one and what builds it: as a reader opens it."""

import functools
import http.server
import importlib.util
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.report.browser import CHROMIUM, FAINT, Tab, chromium

BUILDER = "properdocs"
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or importlib.util.find_spec(BUILDER) is None,
    reason="there is no Chromium on this machine, or the extra docs is not installed",
)
ROOT = Path(__file__).parents[1]
PAGES = ["", "methods/vgan/", "metrics/", "reference/evaluation/"]
"""The first one, one with equations and pictures, one with a wide table, one of signatures."""


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The site on the loopback interface, built strictly: a broken link would stop it."""
    site = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", BUILDER, "build", "--strict", "--quiet", "--site-dir", str(site)]
    built = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format, *args):
            pass

    handler = functools.partial(Quiet, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_pages_open_without_a_complaint(width, dark, browser, address):
    """No error, no request elsewhere, nothing that sticks out or is too faint."""
    for path in PAGES:
        page = Tab(browser, address + path, width, dark)
        assert page.complaints == [], path
        assert [one for one in page.requests if not one.startswith(address)] == [], path
        assert page.value("document.documentElement.scrollWidth") <= width, path
        assert page.value(FAINT) == [], path
        scheme = page.value("document.documentElement.dataset.bsTheme")
        assert scheme == ("dark" if dark else "light"), path


def test_every_control_is_reached_by_keyboard(browser, address):
    for width in (360, 1280):
        page = Tab(browser, address + PAGES[1], width)
        assert page.unreached() == []
    page.value("document.querySelector('#theme-menu').focus()")
    page.page.keyboard.press("Enter")
    page.page.keyboard.press("ArrowDown")
    page.page.keyboard.press("ArrowDown")
    page.page.keyboard.press("Enter")
    assert page.value("document.documentElement.dataset.bsTheme") == "dark"
    page.value("document.querySelector('.scroll').focus()")
    assert page.value("document.activeElement.getAttribute('aria-label')") == "equation"


def test_what_has_the_focus_is_seen_in_a_long_list_of_contents(browser, address):
    page = Tab(browser, address + "reference/methods/", 1280)
    page.value("[...document.querySelectorAll('.bs-sidebar a')].at(-1).focus()")
    place = "document.activeElement.getBoundingClientRect().bottom"
    page.wait(f"{place} <= innerHeight", 10)


def test_search_finds_a_page(browser, address):
    page = Tab(browser, address, 1280)
    page.page.keyboard.press("s")
    page.wait("document.activeElement.id === 'properdocs-search-query'")
    page.page.keyboard.type("checkerboard")
    for _ in range(100):  # it looks at each key, once its index is there
        page.page.keyboard.press("End")
        page.page.wait_for_timeout(200)
        if found := page.value("document.querySelectorAll('#properdocs-search-results a').length"):
            break
    assert found > 0
    assert page.complaints == []
