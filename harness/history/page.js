// Draws a history's charts from the JSON in #data, of the batches that the filters
// leave, and again when a filter or the page's scheme changes.
(function () {
  "use strict";
  const { drawn, color, palette, dashes, fmt, draw, show, pointLabels, axis, legend, apart, spread } = charts;
  const entries = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const rows = [...document.querySelectorAll("#batches tbody tr")];
  const bests = [...document.querySelectorAll("#bests tbody tr")];
  const words = rows.map((r) => r.textContent.toLowerCase());

  // The choices of a filter: all, then each by its frequency, which the last entry
  // chooses from at first.
  function choices(id, of, all, chosen) {
    const counts = new Map();
    entries.forEach((e) => counts.set(of(e), (counts.get(of(e)) || 0) + 1));
    const select = byId(id);
    [["", all]].concat([...counts].sort((a, b) => b[1] - a[1]).map(([v, n]) => [v, `${v || "unknown"} (${n})`]))
      .forEach(([value, text]) => select.add(new Option(text, value)));
    select.value = chosen === undefined ? "" : chosen;
  }
  const ours = entries.filter((e) => !e.foreign);
  const last = ours.length ? ours[ours.length - 1] : entries[entries.length - 1];
  choices("f-model", (e) => e.model, "all models");
  choices("f-lengths", (e) => e.lengths, "all", last.lengths);
  choices("f-server", (e) => e.server, "all servers");

  // The numbers of the entries that the filters leave, in order of time. Rows of other
  // tools' files are not counted among the last ones: their dates are others'.
  function chosen() {
    const model = byId("f-model").value, lengths = byId("f-lengths").value, server = byId("f-server").value;
    const wanted = byId("f-words").value.toLowerCase().split(/\s+/).filter(Boolean);
    let left = entries.map((_, i) => i).filter((i) => {
      const e = entries[i];
      return (!model || e.model === model) && (!lengths || e.lengths === lengths) && (!server || e.server === server) &&
        wanted.every((w) => words[i].includes(w));
    });
    const most = Number(byId("f-last").value);
    if (most) {
      const recent = new Set(left.filter((i) => !entries[i].foreign).slice(-most));
      left = left.filter((i) => entries[i].foreign || recent.has(i));
    }
    return left;
  }

  const look = (i, n) => ({
    borderColor: color(palette[i % palette.length]), backgroundColor: color(palette[i % palette.length]),
    borderDash: dashes[Math.floor(i / palette.length) % dashes.length], borderWidth: i === n - 1 ? 2.5 : 1.5,
  });

  function curves(id, x, better, title, unit, left) {
    const some = left.filter((i) => entries[i].points.some((p) => p[x] !== null));
    show(id, some.length > 0);
    if (!some.length) return;
    const labels = some.length <= 12;
    const sets = some.map((i, k) => Object.assign(look(k, some.length), {
      label: entries[i].name, showLine: true, pointRadius: labels ? 4 : 2, labelled: labels, pointStyle: entries[i].foreign ? "rectRot" : "circle",
      data: entries[i].points.filter((p) => p[x] !== null && !p.failed).map((p) => ({ x: p[x], y: p.tput, conc: p.conc })).sort((a, b) => a.x - b.x),
    }));
    const failed = some.flatMap((i) => entries[i].points.filter((p) => p.failed && p[x] !== null).map((p) => ({ x: p[x], y: p.tput, conc: p.conc, of: entries[i].name })));
    const all = sets.flatMap((s) => s.data);
    const front = [];
    all.slice().sort((a, b) => b.y - a.y || better * (b.x - a.x)).forEach((p) => {
      if (!front.length || better * (p.x - front[front.length - 1].x) > 0) front.push(p);
    });
    if (some.length > 1) {
      sets.push({ label: "Pareto front of all", data: front, showLine: true, borderColor: color("--ref"), borderDash: [6, 4], borderWidth: 1.5, pointRadius: 0, pointHitRadius: 0, labelled: !labels });
    }
    if (failed.length) {
      sets.push({ label: "failed", data: failed, showLine: false, borderColor: color("--bad"), borderWidth: 2, pointStyle: "crossRot", pointRadius: 5 });
    }
    draw(id, {
      type: "scatter", data: { datasets: sets }, plugins: [pointLabels],
      options: {
        scales: { x: axis(title, spread(all.map((p) => p.x))), y: axis("tok/s/GPU", spread(all.map((p) => p.y))) },
        plugins: {
          legend: legend(some.length <= 12),
          tooltip: { callbacks: { label: (t) => `${t.raw.of || t.dataset.label}, CONC ${t.raw.conc}: ${fmt(t.raw.y)} tok/s/GPU at ${fmt(t.raw.x)} ${unit}` } },
        },
      },
    });
  }

  // A line a configuration, from batch to batch; of one pair of lengths, as CONC
  // alone tells no configuration of several.
  function trend(left) {
    const figure = byId("figure");
    const timed = left.filter((i) => !entries[i].foreign && entries[i].t);
    const several = new Set(timed.map((i) => entries[i].model + " " + entries[i].lengths)).size > 1;
    const lines = new Map();
    timed.forEach((i) => entries[i].points.forEach((p) => {
      if (p.failed || p[figure.value] === null) return;
      const name = (several ? entries[i].model + " " + entries[i].lengths + " " : "") + "CONC " + p.conc;
      if (!lines.has(name)) lines.set(name, []);
      lines.get(name).push({ x: entries[i].t, y: p[figure.value], of: entries[i].name });
    }));
    const some = [...lines].some(([, data]) => data.length > 1);
    byId("c-trend").closest("figure").hidden = !some;
    byId("c-trend").closest("section").hidden = !some;
    if (!some) return;
    const times = timed.map((i) => entries[i].t);
    const days = Math.max(...times) - Math.min(...times) > 5 * 24 * 3600e3;
    const day = (ms) => new Date(ms).toLocaleString("en-CA", days ? { dateStyle: "short" } : { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hour12: false });
    const sets = [...lines].map(([name, data], k) => Object.assign(look(k, -1), { label: name, data: data, showLine: true, pointRadius: data.length > 100 ? 0 : 3, pointHitRadius: 6 }));
    draw("c-trend", {
      type: "scatter", data: { datasets: sets },
      options: {
        scales: {
          x: axis("", { ticks: { color: color("--dim"), maxRotation: 0, autoSkipPadding: 12, callback: day } }),
          y: axis(figure.selectedOptions[0].text, apart(sets.flatMap((s) => s.data.map((p) => p.y)), 30) ? { type: "logarithmic" } : {}),
        },
        plugins: { legend: legend(sets.length <= 12), tooltip: { callbacks: { label: (t) => `${t.dataset.label}: ${fmt(t.raw.y)}, ${t.raw.of}` } } },
      },
    });
  }

  function drawAll() {
    const left = chosen();
    const there = new Set(left);
    rows.forEach((r) => { r.hidden = !there.has(Number(r.dataset.n)); });
    const model = byId("f-model").value, lengths = byId("f-lengths").value;
    bests.forEach((r) => { r.hidden = Boolean(model && r.dataset.model !== model || lengths && r.dataset.lengths !== lengths); });
    byId("count").textContent = left.length;
    curves("c-user", "user", 1, "tok/s/user", "tok/s/user", left);
    curves("c-e2e", "e2e", -1, "E2EL p50 (ms)", "ms", left);
    trend(left);
  }

  byId("filters").addEventListener("submit", (e) => e.preventDefault());
  ["f-model", "f-lengths", "f-server", "f-last", "figure"].forEach((id) => byId(id).addEventListener("change", drawAll));
  byId("f-words").addEventListener("input", drawAll);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  drawAll();
  document.documentElement.dataset.drawn = Object.keys(drawn).length;
})();
