"use strict";
/* Charts in place of pictures of curves: zoom, smoothing, values at a round, by mouse and keyboard. */
const reportCharts = (() => {
  const DASHES = [[], [8, 4], [2, 3], [8, 3, 2, 3]], COLOURS = 6, HEIGHT = 240;
  const kept = new Map(); // what was set on each figure, also after its charts are made again
  const figures = new Map();

  const make = (tag, attributes = {}, ...inside) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...inside);
    return element;
  };
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const number = (value) => {
    if (value == null) return "";
    const text = Number(value.toPrecision(4)).toString();
    return text.replace("-", "\u2212");
  };

  /* The mean of what came before, later values counting more: share of the past in each. */
  function smoothed(values, share) {
    let sum = 0, weight = 0;
    return values.map((value) => {
      if (value == null) return value;
      sum = share * sum + (1 - share) * value;
      weight = share * weight + 1 - share;
      return sum / weight;
    });
  }

  function swatch(k) {
    const space = "http://www.w3.org/2000/svg";
    const picture = document.createElementNS(space, "svg");
    const line = document.createElementNS(space, "line");
    const set = { x1: 0, x2: 28, y1: 6, y2: 6, "stroke-width": 2, "stroke-dasharray": DASHES[k % DASHES.length].join(" ") };
    for (const [name, value] of Object.entries(set)) line.setAttribute(name, value);
    line.style.stroke = `var(--curve${k % COLOURS + 1})`;
    picture.setAttribute("width", 28);
    picture.setAttribute("height", 12);
    picture.setAttribute("aria-hidden", "true");
    picture.append(line);
    return picture;
  }

  class Chart {
    constructor(figure, box, place) {
      const shown = JSON.parse(box.querySelector("script").textContent);
      Object.assign(this, { figure, box, shown, name: `${figure.key}-${place}` });
      this.table = uPlot.join(shown.series.map((series) => [series.x, series.y]));
      this.plot = make("div", { class: "plot", role: "img", "aria-label": shown.told });
      this.values = shown.series.map(() => make("span", { class: "value" }));
      const labels = shown.series.map((series, k) => {
        const tick = make("input", { type: "checkbox", id: `${this.name}-${k}` });
        tick.checked = !figure.set.hidden.has(`${this.name}-${k}`);
        tick.addEventListener("change", () => {
          figure.set.hidden[tick.checked ? "delete" : "add"](tick.id);
          this.draw();
        });
        return make("label", {}, tick, swatch(k), series.label, this.values[k]);
      });
      this.legend = make("div", { class: "legend", role: "group", "aria-label": `Lines of ${shown.title}` }, ...labels);
      this.title = make("p", { class: "title" }, shown.title);
      box.append(this.title, this.plot, this.legend);
      box.classList.add("drawn");
      this.build();
      new ResizeObserver(() => {
        const width = this.plot.clientWidth;
        if (width && width !== this.u.width) this.u.setSize({ width, height: HEIGHT });
      }).observe(this.plot);
    }

    build() {
      if (this.u) this.u.destroy();
      const { figure, shown } = this, ink = colour("--muted"), line = colour("--line");
      const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
      const series = [{}];
      shown.series.forEach((one, k) => {
        const stroke = colour(`--curve${k % COLOURS + 1}`), dash = DASHES[k % DASHES.length];
        const points = { show: one.x.length < 3 };
        series.push({ label: one.label, stroke, alpha: 0.3, width: 1, spanGaps: true, points: { show: false } });
        series.push({ label: one.label, stroke, dash, width: 1.75, spanGaps: true, points });
      });
      this.u = new uPlot({
        width: this.plot.clientWidth || 300,
        height: HEIGHT,
        legend: { show: false },
        cursor: { y: false, drag: { x: true, y: false }, sync: { key: figure.key } },
        scales: { x: { time: false, range: (u, low, high) => (low === high ? [low - 1, high + 1] : [low, high]) } },
        axes: [
          { ...axis, label: shown.across, labelSize: 22, size: 34 },
          { ...axis, label: shown.up, labelSize: 22, size: 62, values: (u, ticks) => ticks.map(number) },
        ],
        series,
        hooks: {
          setScale: [(u, scale) => { if (scale === "x" && u.status) figure.zoomed(this); }],
          setCursor: [(u) => this.tell(u.cursor.idx)],
        },
      }, this.data(), this.plot);
      this.draw();
    }

    data() {
      const share = this.figure.set.smoothing;
      const [x, ...rest] = this.table;
      return [x, ...rest.flatMap((y) => [y, share ? smoothed(y, share) : y])];
    }

    draw() {
      const { figure, u } = this, view = figure.view();
      u.batch(() => {
        u.setData(this.data(), false);
        this.shown.series.forEach((_, k) => {
          const there = !figure.set.hidden.has(`${this.name}-${k}`);
          u.setSeries(2 * k + 1, { show: there && figure.set.smoothing > 0 }, false);
          u.setSeries(2 * k + 2, { show: there }, false);
        });
        u.setScale("x", view);
      });
      this.tell(u.cursor.idx);
    }

    tell(place) {
      this.values.forEach((value, k) => {
        const y = place == null ? null : this.data()[2 * k + 2][place];
        value.textContent = y == null ? "" : ` ${number(y)}`;
      });
      const title = place == null ? "" : `, ${this.shown.across} ${this.table[0][place]}`;
      this.title.textContent = this.shown.title + title;
    }

    move(x) {
      this.u.setCursor({ left: x == null ? -10 : this.u.valToPos(x, "x"), top: 0 }, true, false);
    }

    said(x) {
      const place = this.table[0].indexOf(x);
      return this.shown.series.flatMap((series, k) => {
        const y = place < 0 ? null : this.data()[2 * k + 2][place];
        return y == null ? [] : [`${series.label} ${number(y)}`];
      });
    }
  }

  class Figure {
    constructor(element, key) {
      if (!kept.has(key)) kept.set(key, { smoothing: 0, view: null, hidden: new Set(), at: null });
      Object.assign(this, { element, key, set: kept.get(key), busy: true, charts: [] });
      const boxes = [...element.querySelectorAll(".chart")];
      const tables = boxes.map((box) => JSON.parse(box.querySelector("script").textContent).series.map((s) => s.x));
      this.rounds = [...new Set(tables.flat(2))].sort((a, b) => a - b);
      element.querySelector(".panels").before(this.controls());
      this.charts = boxes.map((box, place) => new Chart(this, box, place));
      this.busy = false;
      this.cursor(this.set.at);
    }

    controls() {
      const id = (what) => `${this.key}-${what}`;
      const button = (what, text, action) => {
        const made = make("button", { type: "button", id: id(what) }, text);
        made.addEventListener("click", action);
        return made;
      };
      const smoothing = make("input", { type: "range", min: 0, max: 99, id: id("smoothing") });
      smoothing.value = Math.round(100 * this.set.smoothing);
      smoothing.addEventListener("input", () => {
        this.set.smoothing = smoothing.value / 100;
        this.each((chart) => chart.draw());
      });
      this.slider = make("input", { type: "range", min: 0, max: this.rounds.length, id: id("round") });
      this.slider.addEventListener("input", () => this.cursor(this.rounds[this.slider.value] ?? null)); // at its end: none
      const part = (share, shift) => () => this.change(share, shift);
      return make("div", { class: "controls", role: "group", "aria-label": "View of the curves" },
        make("label", {}, "Smoothing ", smoothing),
        make("label", {}, "Round ", this.slider),
        button("in", "Zoom in", part(0.5, 0)),
        button("out", "Zoom out", part(2, 0)),
        button("earlier", "Earlier", part(1, -0.5)),
        button("later", "Later", part(1, 0.5)),
        button("all", "All rounds", () => { this.set.view = null; this.each((chart) => chart.draw()); }));
    }

    get whole() {
      const first = this.rounds[0], last = this.rounds[this.rounds.length - 1];
      return { min: first, max: last };
    }

    view() {
      return this.set.view || this.whole;
    }

    /* Show `share` times as many rounds, about the round that is told, or the middle moved by `shift`. */
    change(share, shift) {
      const { min, max } = this.view(), whole = this.whole, at = this.set.at;
      const width = Math.min((max - min) * share, whole.max - whole.min);
      const inside = share < 1 && at != null && at >= min && at <= max;
      const middle = inside ? at : (min + max) / 2 + shift * (max - min);
      const low = Math.max(whole.min, Math.min(middle - width / 2, whole.max - width));
      this.set.view = width >= whole.max - whole.min ? null : { min: low, max: low + width };
      this.each((chart) => chart.draw());
    }

    zoomed(chart) {
      if (this.busy) return;
      const { min, max } = chart.u.scales.x, whole = this.whole;
      if (min == null) return;
      this.set.view = min <= whole.min && max >= whole.max ? null : { min, max };
      this.each((one) => { if (one !== chart) one.draw(); });
    }

    each(action) {
      this.busy = true;
      this.charts.forEach(action);
      this.busy = false;
    }

    cursor(x) {
      this.set.at = x;
      const nearest = (best, r, k) => (Math.abs(r - x) < Math.abs(this.rounds[best] - x) ? k : best);
      this.slider.value = x == null ? this.rounds.length : this.rounds.reduce(nearest, 0);
      this.each((chart) => chart.move(x));
      const said = x == null ? [] : this.charts.flatMap((chart) => chart.said(x));
      this.slider.setAttribute("aria-valuetext", x == null ? "none" : `${x}: ${said.join(", ")}`);
    }
  }

  function start() {
    const live = new Set();
    document.querySelectorAll("figure").forEach((element, place) => {
      if (!element.querySelector(".chart")) return;
      const key = `curves-${place}`;
      live.add(key);
      if (figures.get(key)?.element !== element) figures.set(key, new Figure(element, key));
    });
    for (const key of figures.keys()) if (!live.has(key)) figures.delete(key);
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const figure of figures.values()) figure.each((chart) => chart.build());
  });
  start();
  return { start, figures };
})();
