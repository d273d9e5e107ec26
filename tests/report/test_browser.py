"""Pages in a real browser, where there is one: wide and narrow, light and dark, by mouse and keyboard."""

import time

import pytest

from gibbsian.cli import main
from tests.report.browser import CHROMIUM, FAINT, Tab, chromium
from tests.report.folders import write_run
from tests.report.test_watch import fresh, log, serving

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")

CHART = "reportCharts.figures.values().next().value.charts[0].u"
RANGE = f"[{CHART}.scales.x.min, {CHART}.scales.x.max]"


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The page of an evaluated run with a hundred logged rounds and more."""
    folder = tmp_path_factory.mktemp("page")
    run = write_run(folder / "run")
    (run / "metrics.jsonl").write_bytes(b"")
    log(run, *range(10, 1010, 10))
    assert main(["report", str(run), "--output", str(folder / "page.html")]) == 0
    return (folder / "page.html").as_uri()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_a_page_opens_without_a_complaint(width, dark, browser, address):
    page = Tab(browser, address, width, dark)
    assert page.complaints == [] and page.requests == [address]
    assert page.value("document.documentElement.scrollWidth") <= width, "nothing sticks out"
    assert page.value(FAINT) == []
    assert page.value("document.querySelectorAll('.chart.drawn canvas').length") == 1
    assert page.value("document.querySelector('.chart img').checkVisibility()") is False
    ground = page.value("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(20, 22, 26)" if dark else "rgb(255, 255, 255)")


def test_what_the_policy_forbids_is_refused(browser, address):
    """The page's own content policy holds: no other script runs, nothing outside is asked for."""
    page = Tab(browser, address, 768)
    page.value(
        "document.body.append(Object.assign(document.createElement('script'), {text: 'x = 1'}))"
    )
    page.value("fetch('http://127.0.0.1:9/').then(() => 1, () => 0)")
    assert page.value("typeof x") == "undefined"
    assert len([c for c in page.complaints if "Content Security Policy" in c]) >= 2


def test_every_control_is_reached_and_works_by_keyboard(browser, address):
    page = Tab(browser, address, 1280)
    assert page.unreached() == []
    named = page.value(
        "[...document.querySelectorAll('button, input')]"
        ".every((e) => e.textContent.trim() || e.labels[0].textContent.trim())"
    )
    assert named, "a screen reader has a name for each"
    assert page.value(RANGE) == [10, 1000]
    focus = "[...document.querySelectorAll('{}')].find((e) => {}).focus()"
    page.value(focus.format("button", "e.textContent === 'Zoom in'"))
    page.page.keyboard.press("Enter")
    assert page.value(RANGE) == [257.5, 752.5]
    page.value(focus.format("button", "e.textContent === 'Later'"))
    page.page.keyboard.press("Space")
    assert page.value(RANGE) == [505, 1000]
    page.value(focus.format("button", "e.textContent === 'All rounds'"))
    page.page.keyboard.press("Enter")
    assert page.value(RANGE) == [10, 1000]
    round_ = "document.querySelector('input[id$=-round]')"
    page.value(f"{round_}.focus()")
    page.page.keyboard.press("ArrowLeft")
    told = page.value(f"{round_}.getAttribute('aria-valuetext')")
    at = page.value(f"10 * (1 + Number({round_}.value))")
    assert at == 1000, "nothing is told at first, and the last round is one key away"
    assert told == f"{at}: loss {float(f'{1 / at:.4g}')}".replace("e-05", "e-5")
    assert page.value("document.querySelector('.chart .title').textContent").endswith(
        f", round {at}"
    )
    page.value("document.querySelector('.legend input').focus()")
    page.page.keyboard.press("Space")
    shown = f"{CHART}.series[2].show"
    assert page.value(shown) is False
    assert page.complaints == []


def test_mouse(browser, address):
    """Hovering tells values; a drag zooms, a double click takes it back; smoothing is a mean of the past."""
    page = Tab(browser, address, 1280)
    page.value("document.querySelector('.u-over').scrollIntoView({block: 'center'})")
    box = page.value(
        "(() => { const r = document.querySelector('.u-over').getBoundingClientRect();"
        " return [r.left, r.top, r.width, r.height]; })()"
    )
    left, middle, width = box[0], box[1] + box[3] / 2, box[2]
    mouse = page.page.mouse
    mouse.move(left + width / 2, middle)
    page.wait("document.querySelector('.value').textContent !== ''", 10)
    mouse.move(left + width / 4, middle)
    mouse.down()
    for part in (0.4, 0.5):
        mouse.move(left + width * part, middle)
    mouse.up()
    page.wait(f"{RANGE}[1] < 600", 10)
    low, high = page.value(RANGE)
    # The whole is 990 rounds; a pixel is a round or two of them.
    assert abs(low - 257) < 20 and abs(high - 505) < 20
    mouse.dblclick(left + width / 3, middle)
    page.wait(f"{RANGE}[0] === 10 && {RANGE}[1] === 1000", 10)
    page.value(
        "(() => { const s = document.querySelector('input[id$=-smoothing]'); s.value = 50;"
        " s.dispatchEvent(new Event('input')); })()"
    )
    y = page.value(f"{CHART}.data.map((d) => d.slice(0, 3))")
    # Weights 1; 1/3, 2/3; 1/7, 2/7, 4/7 on 1/10, 1/20, 1/30.
    assert y[0] == [10, 20, 30] and y[1] == [0.1, 0.05, 0.0333333]
    assert y[2] == pytest.approx([0.1, 1 / 15, 0.1 / 7 + 0.1 / 7 + 4 / 210], abs=1e-6)
    assert page.complaints == []


def test_without_scripts_and_on_paper_there_are_pictures(browser, address):
    plain = Tab(browser, address, 768, script=False)
    image = plain.page.locator(".chart img").first.bounding_box()
    assert image is not None and image["width"] > 300
    page = Tab(browser, address, 768)
    page.page.emulate_media(media="print", color_scheme="dark")
    assert page.value("document.querySelector('.chart img').checkVisibility()") is True
    assert page.value("document.querySelector('.plot').checkVisibility()") is False
    assert page.value("document.querySelector('.controls').checkVisibility()") is False
    assert page.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_a_watched_page_follows_and_keeps_what_was_set(tmp_path, browser):
    run = fresh(tmp_path / "run", evaluated=False)
    (run / "metrics.jsonl").write_bytes(b"")
    log(run, *range(10, 1010, 10))
    with serving(run) as server:
        page = Tab(browser, server.address, 768)
        lead = "document.querySelector('.lead').textContent"
        assert page.value(lead).startswith("cd on moons, 1000 of 30 rounds")
        page.value("document.querySelector('details').open = true")
        zoom = "[...document.querySelectorAll('button')].find((e) => e.textContent === 'Zoom in')"
        page.value(f"{zoom}.focus(), {zoom}.click(), scrollTo(0, 400)")
        before = page.value(RANGE)
        for index in (1010, 1020):
            log(run, index)
            # That it takes two seconds is tested without a browser, which itself may wait for a processor.
            page.wait(f"{lead}.includes('{index} of')")
        assert page.value(RANGE) == before == [257.5, 752.5]
        assert page.value("[scrollY, document.querySelector('details').open]") == [400, True]
        assert page.value("document.activeElement.textContent") == "Zoom in"
        last = f"{CHART}.data[0].at(-1)"
        assert page.value(last) == 1020
        assert page.complaints == [] and set(page.requests) == {server.address}
    page.wait("document.querySelector('.refresh').textContent.includes('has ended')", 30)
    time.sleep(0.1)
    assert page.value(last) == 1020
