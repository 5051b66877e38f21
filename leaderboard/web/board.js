// Draws the two charts of a board from the data in the page. Everything it
// shows is also in the tables.
"use strict";
(() => {
  let view = JSON.parse(document.getElementById("view").textContent);
  const css = getComputedStyle(document.documentElement);
  const colour = name => css.getPropertyValue("--" + name).trim();
  const shapes = ["circle", "triangle", "rect", "rectRot", "star", "crossRot", "cross", "rectRounded"];
  const show = (v, digits) => v == null ? "not sent" : v.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const ratio = v => v == null ? "" : `, ${v.toFixed(3)} × ${view.hardware}`;
  const time = ms => ms < 1000 ? show(ms, ms < 10 ? 2 : 1) + " ms" : show(ms / 1000, 2) + " s";

  // A line is what the legend names: the reference, the front, each team.
  // Teams beyond the colours that can be told apart share one.
  const named = 8, drawn = 24;
  const choice = document.getElementById("group");
  const groups = () => [...(view.teams.length ? [view] : []), ...view.others];
  let lines = [], group = null, unit = "s";
  function read() {
    group = groups().find(g => g.apart === (choice ? choice.value : g.apart)) || { apart: "", teams: [], pareto_interactivity: [], pareto_e2e: [] };
    const rows = view.submissions.filter(s => s.apart === group.apart);
    const times = [...rows.map(s => s.e2e_ms), ...view.baseline.map(p => p.median_e2e_ms)];
    unit = times.length && Math.max(...times) < 1000 ? "ms" : "s";
    const scale = unit === "ms" ? 1 : 1000;
    lines = [];
    if (view.baseline.length && group.apart !== "embedded") {
      lines.push({ name: view.hardware, colour: "reference", dash: [6, 4], shape: "circle", points: view.baseline.map(p => ({
        who: view.hardware, conc: p.conc, tput: p.tput_per_gpu_tok_s, i: p.median_interactivity_tok_s_user, e: p.median_e2e_ms / scale, ms: p.median_e2e_ms })) });
    }
    const of = new Map();
    for (const s of rows) of.has(s.team) ? of.get(s.team).push(s) : of.set(s.team, [s]);
    group.teams.slice(0, drawn).forEach((team, n) => lines.push({
      name: team.team, colour: n < named ? "c" + n : "other", shape: shapes[n % shapes.length],
      points: (of.get(team.team) || []).map(s => ({
        who: s.team, conc: s.conc, tput: s.tput_per_gpu, i: s.interactivity, e: s.e2e_ms / scale, ms: s.e2e_ms, tr: s.tput_ratio, er: s.e2e_ratio })),
    }));
    lines.scale = scale;
  }
  read();
  const front = key => ({ name: group.apart === "" ? `Pareto front, ${view.hardware} included` : "Pareto front of these teams", colour: "front", front: true,
    points: (key === "e" ? group.pareto_e2e : group.pareto_interactivity).map(p => ({ tput: p.tput_per_gpu, i: p.x, e: p.x / lines.scale })) });

  const says = p => `${p.who}, CONC ${p.conc}: ${show(p.tput, 1)} tok/s/GPU${ratio(p.tr)}; ${show(p.i, 1)} tok/s/user; E2E ${time(p.ms)}${ratio(p.er)}`;

  // Writes each point's CONC beside it, where it does not cover another's.
  const concs = { id: "concs", afterDatasetsDraw(chart) {
    const c = chart.ctx, taken = [];
    c.save();
    c.font = "11px system-ui, sans-serif";
    c.textBaseline = "middle";
    chart.data.datasets.forEach((d, n) => {
      if (d.line.front || !chart.isDatasetVisible(n)) return;
      chart.getDatasetMeta(n).data.forEach((at, i) => {
        const text = String(d.data[i].p.conc), box = { x: at.x + 7, y: at.y - 9, w: c.measureText(text).width, h: 11 };
        if (taken.some(t => box.x < t.x + t.w && t.x < box.x + box.w && box.y < t.y + t.h && t.y < box.y + box.h)) return;
        taken.push(box);
        c.fillStyle = d.borderColor;
        c.fillText(text, box.x, box.y);
      });
    });
    chart.concLabels = taken.length; // for tests and the curious
    c.restore();
  } };

  function draw(id, key, label) {
    const plot = document.getElementById("plot-" + id), say = document.getElementById("say-" + id);
    const all = () => front(key).points.length > 1 ? [front(key), ...lines] : lines;
    const data = () => all().map(l => ({
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
      scales: { x: axis(label(), "x"), y: axis("tok/s/GPU", "y") },
      plugins: { legend: { display: false }, tooltip: {
        displayColors: false, backgroundColor: colour("ink"), titleColor: colour("page"), bodyColor: colour("page"), padding: 10,
        filter: item => !item.dataset.line.front,
        callbacks: {
          title: items => items.length ? `${items[0].raw.p.who}, CONC ${items[0].raw.p.conc}` : "",
          label: item => { const p = item.raw.p; return [
            `${show(p.tput, 1)} tok/s/GPU${ratio(p.tr)}`, `${show(p.i, 1)} tok/s/user`, `E2E ${time(p.ms)}${ratio(p.er)}`]; },
        } } },
    });
    const chart = new Chart(plot.querySelector("canvas"), { type: "scatter", data: { datasets: data() }, options: options(), plugins: [concs] });

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
  const charts = !document.getElementById("plot-i") ? [] : [
    draw("i", "i", () => "interactivity, tok/s/user"),
    draw("e", "e", () => "median E2E, " + unit),
  ];
  const redraw = () => charts.forEach(c => c.redraw());

  function legend() {
    const list = document.getElementById("legend");
    if (!list) return; // nothing to draw
    list.replaceChildren();
    const entries = group.pareto_e2e.length > 1 ? [...lines, front("e")] : lines;
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
  const again = () => { redraw(); legend(); };
  choice?.addEventListener("change", () => { read(); again(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  window.boardCharts = charts.map(c => c.chart); // for tests and the curious

  // The tools hide rows that do not match.
  const tool = id => document.getElementById(id);
  function filter() {
    if (!tool("q")) return;
    const q = tool("q").value.trim().toLocaleLowerCase(), conc = tool("f-conc").value, apart = tool("f-apart").value, task = tool("f-task").value;
    let shown = 0, of = 0;
    for (const row of document.querySelectorAll("table.sortable tbody tr")) {
      const d = row.dataset, cell = d.conc !== undefined, reference = d.team === undefined;
      row.hidden = !reference && !d.team.toLocaleLowerCase().includes(q) || cell && conc !== "" && d.conc !== conc ||
        cell && !reference && (apart !== "*" && d.apart !== apart || task !== "" && d.task !== task);
      if (cell && !reference) { of++; shown += !row.hidden; }
    }
    tool("shown").textContent = shown === of ? "" : `${shown} of the ${of} rows match.`;
  }
  for (const id of ["q", "f-conc", "f-apart", "f-task"]) tool(id)?.addEventListener("input", filter);
  filter();

  // What is new comes without reloading: the page is asked for every few
  // seconds while it is seen, and answers 304 while nothing has changed.
  let tag = document.body.dataset.tag || "", asked = false;
  async function renew() {
    if (document.hidden || asked) return;
    asked = true;
    try {
      const answer = await fetch(location.pathname + location.search, { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store" });
      if (answer.status === 304) return;
      if (!answer.ok) throw new Error("HTTP " + answer.status);
      const next = new DOMParser().parseFromString(await answer.text(), "text/html");
      const first = tag === "";
      tag = answer.headers.get("ETag") || "";
      const parts = document.querySelectorAll("[data-live]"), fresh = next.querySelectorAll("[data-live]");
      if (parts.length !== fresh.length || Boolean(tool("q")) !== Boolean(next.getElementById("q"))) { location.reload(); return; }
      const text = next.getElementById("view").textContent;
      if (first && text === document.getElementById("view").textContent) return;
      const at = document.activeElement?.closest?.("[data-live] a, [data-live] button")?.textContent;
      parts.forEach((part, n) => part.replaceChildren(...[...fresh[n].childNodes].map(node => document.importNode(node, true))));
      view = JSON.parse(text);
      Tables.attach();
      filter();
      read();
      again();
      if (at) [...document.querySelectorAll("[data-live] a, [data-live] button")].find(e => e.textContent === at)?.focus({ preventScroll: true });
      tool("live").textContent = "Updated at " + new Date().toLocaleTimeString("en");
    } catch (error) {
      tool("live").textContent = "The board cannot be reached; this is what it last said.";
    } finally {
      asked = false;
    }
  }
  window.renewBoard = renew; // for tests and the curious
  setInterval(renew, 5000);
  document.addEventListener("visibilitychange", renew);
})();
