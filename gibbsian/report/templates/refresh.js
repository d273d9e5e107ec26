"use strict";
/* Asks now and then whether the run has gone on, and takes the parts of the page that have changed. */
(() => {
  const PAUSE = 500, LONG = 5000;
  const status = document.querySelector(".refresh"), usual = status.textContent;
  const said = (text) => { if (status.textContent !== text) status.textContent = text; };
  const source = (page) => [...page.querySelector("main").children].map((part) => part.outerHTML);
  let state = `"${status.dataset.state}"`, parts = source(document), held = false;
  addEventListener("pointerdown", () => { held = true; });
  for (const name of ["pointerup", "pointercancel", "blur"]) addEventListener(name, () => { held = false; });

  function take(page) {
    const fresh = source(page), main = document.querySelector("main");
    const reached = () => [...main.querySelectorAll("a, button, input, summary, [tabindex]")];
    const boxes = () => [...main.querySelectorAll(".scroll, pre")];
    const active = document.activeElement, focused = active?.id, place = reached().indexOf(active);
    const height = scrollY, sideways = boxes().map((box) => box.scrollLeft);
    document.body.style.minHeight = `${document.body.offsetHeight}px`; // so that nothing jumps meanwhile
    const incoming = [...page.querySelector("main").children];
    if (parts.length === fresh.length) {
      [...main.children].forEach((part, k) => {
        if (parts[k] !== fresh[k]) part.replaceWith(document.adoptNode(incoming[k]));
      });
    } else {
      main.replaceChildren(...incoming.map((part) => document.adoptNode(part)));
    }
    parts = fresh;
    document.title = page.title;
    reportCharts.start();
    document.body.style.minHeight = "";
    scrollTo(scrollX, height);
    boxes().forEach((box, k) => { if (sideways[k]) box.scrollLeft = sideways[k]; });
    const again = focused ? document.getElementById(focused) : reached()[place];
    if (again !== document.activeElement) again?.focus({ preventScroll: true });
  }

  async function look() {
    let pause = PAUSE;
    try {
      const busy = held || !getSelection().isCollapsed || document.hidden;
      if (!busy) {
        const answer = await fetch("/", { headers: { "If-None-Match": state }, cache: "no-store" });
        if (answer.status === 200) {
          const page = new DOMParser().parseFromString(await answer.text(), "text/html");
          if (!held) {
            take(page);
            state = answer.headers.get("ETag");
          }
        }
        said(usual);
      }
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      said("gibbsian watch has ended; this is what it showed last.");
      pause = LONG;
    }
    setTimeout(look, pause);
  }
  setTimeout(look, PAUSE);
})();
