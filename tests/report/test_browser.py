"""The page in a real browser, where one is installed: nothing fails, nothing is asked for, all is legible."""

import pytest

from gibbsian.cli import main
from tests.report import chromium
from tests.report.folders import write_run

PROGRAM = chromium.executable()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed")

# The ratio between each text's colour and the ground it stands on, as the browser computes both.
CONTRASTS = """
(() => {
  const parts = text => text.match(/[\\d.]+/g).map(Number);
  const light = c => c.slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = e => {
    for (; e; e = e.parentElement) {
      const c = parts(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll("body *")]
    .filter(e => [...e.childNodes].some(n => n.nodeType == 3 && n.textContent.trim()))
    .map(e => [light(parts(getComputedStyle(e).color)), light(ground(e))])
    .map(([a, b]) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
})()
"""
SIZES = (
    "[...document.images].map(i => [i.complete, i.naturalWidth, i.naturalHeight, i.clientWidth])"
)


def test_a_phone_shows_it_by_day_and_by_night(tmp_path):
    runs = [write_run(tmp_path / "plane"), write_run(tmp_path / ("digits" * 12), data="digits")]
    out = tmp_path / "page.html"
    assert main(["report", *map(str, runs), "--output", str(out)]) == 0
    with chromium.browser(PROGRAM, tmp_path / "profile") as tab:
        grounds = []
        for scheme in ("light", "dark"):
            tab.show(out.as_uri(), 360, scheme)
            tab.ask("document.querySelectorAll('details').forEach(d => { d.open = true })")
            sizes = tab.ask(SIZES)
            assert len(sizes) == 19  # eleven and eight
            assert all(
                done and w > 0 and h > 0 and 200 < shown <= 360 for done, w, h, shown in sizes
            )
            assert tab.ask("document.documentElement.scrollWidth") <= 360, "it moves sideways"
            assert tab.ask("innerWidth") == 360
            ratios = tab.ask(CONTRASTS)
            assert len(ratios) > 200 and min(ratios) >= 4.5
            grounds.append(tab.ask("getComputedStyle(document.body).backgroundColor"))
        assert grounds[0] != grounds[1], "the dark page is another one"
        wrong = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
        assert not [event for event in tab.events if event.get("method") in wrong]
        asked = {
            event["params"]["request"]["url"]
            for event in tab.events
            if event.get("method") == "Network.requestWillBeSent"
        }
        assert out.as_uri() in asked
        assert all(address.startswith("data:") for address in asked - {out.as_uri()})
