// Draws the two charts of a board from the data in the page. Everything it
// shows is also in the tables.
"use strict";
(() => {
  const view = JSON.parse(document.getElementById("view").textContent);
  const css = getComputedStyle(document.documentElement);
  const colour = name => css.getPropertyValue("--" + name).trim();
  const shapes = ["circle", "triangle", "rect", "rectRot", "star", "crossRot", "cross", "rectRounded"];
  const show = (v, digits) => v == null ? "not sent" : v.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const ratio = v => v == null ? "" : `, ${v.toFixed(3)} × ${view.hardware}`;

  // A line is what the legend names: the reference, the front, each team.
  // Teams beyond the colours that can be told apart share one.
  const named = 8;
  const lines = [];
  if (view.baseline.length) {
    lines.push({ name: view.hardware, colour: "reference", dash: [6, 4], shape: "circle", points: view.baseline.map(p => ({
      who: view.hardware, conc: p.conc, tput: p.tput_per_gpu_tok_s, i: p.median_interactivity_tok_s_user, e: p.median_e2e_ms / 1000 })) });
  }
  view.teams.forEach((team, n) => lines.push({
    name: team.team, colour: n < named ? "c" + n : "other", shape: shapes[n % shapes.length],
    points: view.submissions.filter(s => s.team === team.team).map(s => ({
      who: s.team, conc: s.conc, tput: s.tput_per_gpu, i: s.interactivity, e: s.e2e_ms / 1000, tr: s.tput_ratio, er: s.e2e_ratio })),
  }));
  const front = (corners, unit) => ({ name: "Pareto front of all teams", colour: "front", front: true,
    points: corners.map(p => ({ tput: p.tput_per_gpu, i: p.x, e: p.x / unit })) });

  const says = p => `${p.who}, CONC ${p.conc}: ${show(p.tput, 1)} tok/s/GPU${ratio(p.tr)}; ${show(p.i, 1)} tok/s/user; E2E ${show(p.e, 2)} s${ratio(p.er)}`;

  function draw(id, key, label, corners) {
    const plot = document.getElementById("plot-" + id), say = document.getElementById("say-" + id);
    const all = corners.length > 1 ? [front(corners, key === "e" ? 1000 : 1), ...lines] : lines;
    const data = () => all.map(l => ({
      label: l.name, line: l,
      data: l.points.filter(p => p[key] != null).map(p => ({ x: p[key], y: p.tput, p })).sort((a, b) => a.x - b.x),
      showLine: true, borderColor: colour(l.colour), backgroundColor: colour(l.colour), borderDash: l.dash || [],
      borderWidth: l.front ? 9 : 2, borderCapStyle: "round", borderJoinStyle: "round",
      pointStyle: l.shape, pointRadius: l.front ? 0 : 5, pointHoverRadius: l.front ? 0 : 8, pointHitRadius: l.front ? 0 : 10, pointBorderWidth: 2,
      order: l.front ? 2 : l.dash ? 1 : 0, hidden: hidden.has(l.name),
    }));
    // Points far apart, as of the embedded engine beside real hardware, need a
    // logarithmic scale for the nearer ones to be seen.
    const wide = axis => {
      const some = data().flatMap(d => d.data.map(p => p[axis])).filter(v => v > 0);
      return some.length > 0 && Math.max(...some) / Math.min(...some) > 30;
    };
    const axis = (title, type) => ({ type: wide(type) ? "logarithmic" : "linear", beginAtZero: type === "y", title: { display: true, text: title, color: colour("soft") },
      ticks: { color: colour("soft"), maxRotation: 0 }, grid: { color: colour("line") }, border: { color: colour("line") } });
    const options = () => ({
      animation: false, maintainAspectRatio: false, responsive: true,
      interaction: { mode: "nearest", intersect: true },
      scales: { x: axis(label, "x"), y: axis("tok/s/GPU", "y") },
      plugins: { legend: { display: false }, tooltip: {
        displayColors: false, backgroundColor: colour("ink"), titleColor: colour("page"), bodyColor: colour("page"), padding: 10,
        filter: item => !item.dataset.line.front,
        callbacks: {
          title: items => items.length ? `${items[0].raw.p.who}, CONC ${items[0].raw.p.conc}` : "",
          label: item => { const p = item.raw.p; return [
            `${show(p.tput, 1)} tok/s/GPU${ratio(p.tr)}`, `${show(p.i, 1)} tok/s/user`, `E2E ${show(p.e, 2)} s${ratio(p.er)}`]; },
        } } },
    });
    const chart = new Chart(plot.querySelector("canvas"), { type: "scatter", data: { datasets: data() }, options: options() });

    // The arrow keys walk the points from left to right.
    let at = -1;
    const points = () => chart.data.datasets.flatMap((d, datasetIndex) => d.line.front || !chart.isDatasetVisible(datasetIndex) ? []
      : d.data.map((v, index) => ({ datasetIndex, index, v }))).sort((a, b) => a.v.x - b.v.x || a.v.y - b.v.y);
    const mark = active => {
      const where = active.length ? chart.getDatasetMeta(active[0].datasetIndex).data[active[0].index] : { x: 0, y: 0 };
      chart.setActiveElements(active);
      chart.tooltip.setActiveElements(active, { x: where.x, y: where.y });
      chart.update();
    };
    plot.addEventListener("keydown", event => {
      const list = points();
      const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (event.key === "Home") at = 0;
      else if (event.key === "End") at = list.length - 1;
      else if (event.key === "Escape") { at = -1; say.textContent = ""; mark([]); return; }
      else if (step) at = at < 0 ? (step > 0 ? 0 : list.length - 1) : Math.min(Math.max(at + step, 0), list.length - 1);
      else return;
      event.preventDefault();
      const point = list[at];
      if (!point) return;
      mark([{ datasetIndex: point.datasetIndex, index: point.index }]);
      say.textContent = says(point.v.p);
    });
    plot.addEventListener("blur", () => { at = -1; say.textContent = ""; mark([]); });
    return { chart, redraw() { chart.data.datasets = data(); chart.options = options(); chart.update(); } };
  }

  const hidden = new Set();
  const charts = [
    draw("i", "i", "interactivity, tok/s/user", view.pareto_interactivity),
    draw("e", "e", "median E2E, s", view.pareto_e2e),
  ];
  const redraw = () => charts.forEach(c => c.redraw());

  function legend() {
    const list = document.getElementById("legend");
    list.replaceChildren();
    const entries = view.pareto_e2e.length > 1 ? [...lines, front([], 1)] : lines;
    for (const l of entries) {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", String(!hidden.has(l.name)));
      const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      svg.setAttribute("viewBox", "0 0 22 12");
      svg.setAttribute("aria-hidden", "true");
      const line = document.createElementNS(svg.namespaceURI, "line");
      for (const [k, v] of Object.entries({ x1: 1, y1: 6, x2: 21, y2: 6, stroke: colour(l.colour), "stroke-width": l.front ? 8 : 3, "stroke-dasharray": l.dash ? "5 3" : "none" })) line.setAttribute(k, v);
      svg.append(line);
      button.append(svg, l.name);
      button.addEventListener("click", () => {
        hidden.has(l.name) ? hidden.delete(l.name) : hidden.add(l.name);
        button.setAttribute("aria-pressed", String(!hidden.has(l.name)));
        redraw();
      });
      const item = document.createElement("li");
      item.append(button);
      list.append(item);
    }
  }
  legend();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { redraw(); legend(); });
  window.boardCharts = charts.map(c => c.chart); // for tests and the curious
})();
