// Draws the charts of a report from the JSON in #data, in the page's colours,
// and again when those change between light and dark.
(function () {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const drawn = {};
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const palette = ["--s1", "--s2", "--s3", "--s4", "--s5"];
  const dashes = [[], [7, 3], [2, 2]]; // colours come again, so their lines differ
  const fmt = (v) => (v === null || v === undefined ? "–" : Number(v.toPrecision(4)).toLocaleString("en"));

  function draw(id, config) {
    const canvas = document.getElementById(id);
    if (!canvas) return;
    if (drawn[id]) drawn[id].destroy();
    config.options = Object.assign({ responsive: true, maintainAspectRatio: false, animation: false }, config.options);
    drawn[id] = new Chart(canvas, config);
  }

  // A chart without a point is not shown: OSL 1 has no gaps between tokens.
  function absent(id) {
    const canvas = document.getElementById(id);
    if (canvas) canvas.closest("figure").hidden = true;
  }

  const axis = (text, more) => Object.assign({
    title: { display: true, text: text, color: color("--dim") },
    grid: { color: color("--line") }, ticks: { color: color("--dim"), maxRotation: 0, autoSkipPadding: 12 },
  }, more);
  const legend = (show) => ({ display: show, labels: { color: color("--text"), boxWidth: 18, boxHeight: 2 } });

  // Whether the values above zero are more than so many times apart.
  const apart = (values, times) => {
    const some = values.filter((v) => v > 0);
    return some.length > 0 && Math.max(...some) / Math.min(...some) > times;
  };
  // The scale that shows values this far apart: the embedded engine is a hundred
  // times as fast as the hardware that it stands in for.
  const spread = (values) => (apart(values, 30) ? { type: "logarithmic" } : { beginAtZero: true });

  // A scatter of our cells, the baseline's curve, and a line along our front.
  function frontier(id, x, xTitle, unit) {
    const ours = data.cells.filter((c) => c.tput !== null && c[x] !== null)
      .map((c) => ({ x: c[x], y: c.tput, conc: c.conc, front: c[x + "_front"], failed: c.failed }));
    if (!ours.length) return absent(id);
    const sets = [{
      label: "this batch", data: ours.filter((p) => !p.failed), backgroundColor: color("--s1"), borderColor: color("--s1"),
      pointRadius: 5, pointHoverRadius: 7, showLine: false,
    }, {
      label: "Pareto front", data: ours.filter((p) => p.front).sort((a, b) => a.x - b.x),
      borderColor: color("--s1"), borderDash: [6, 4], borderWidth: 1.5, pointRadius: 0, pointHitRadius: 0, showLine: true,
    }];
    const failed = ours.filter((p) => p.failed);
    if (failed.length) {
      sets.push({ label: "failed", data: failed, borderColor: color("--bad"), borderWidth: 2, pointStyle: "crossRot", pointRadius: 6, showLine: false });
    }
    if (data.baseline) {
      sets.push({
        label: data.baseline.label, data: data.baseline.points.map((p) => ({ x: p[x], y: p.tput, conc: p.conc })),
        borderColor: color("--s2"), backgroundColor: color("--s2"), borderWidth: 1.5, pointStyle: "rectRot", pointRadius: 5, showLine: true,
      });
    }
    const all = sets.flatMap((s) => s.data);
    draw(id, {
      type: "scatter", data: { datasets: sets },
      options: {
        scales: { x: axis(xTitle, spread(all.map((p) => p.x))), y: axis("tok/s/GPU", spread(all.map((p) => p.y))) },
        plugins: {
          legend: legend(true),
          tooltip: { callbacks: { label: (t) => `${t.dataset.label}, CONC ${t.raw.conc}: ${fmt(t.raw.y)} tok/s/GPU at ${fmt(t.raw.x)} ${unit}` } },
        },
      },
    });
  }

  function cumulative(id, key) {
    const cells = data.cells.filter((c) => c.series && c.series[key]);
    if (!cells.length) return absent(id);
    const wide = apart(cells.flatMap((c) => c.series[key].map((p) => p.x)), 8);
    draw(id, {
      type: "scatter",
      data: {
        datasets: cells.map((c, i) => ({
          label: "CONC " + c.conc, data: c.series[key], showLine: true, pointRadius: 0, pointHitRadius: 6,
          borderDash: dashes[Math.floor(i / palette.length) % dashes.length],
          borderWidth: 2, borderColor: color(palette[i % palette.length]), backgroundColor: color(palette[i % palette.length]),
        })),
      },
      options: {
        scales: { x: axis("ms", { type: wide ? "logarithmic" : "linear" }), y: axis("", { min: 0, max: 1, ticks: { color: color("--dim"), callback: (v) => Math.round(v * 100) + " %" } }) },
        plugins: {
          legend: legend(cells.length > 1),
          tooltip: { callbacks: { label: (t) => `${t.dataset.label}: ${(t.raw.y * 100).toFixed(1)} % within ${fmt(t.raw.x)} ms` } },
        },
      },
    });
  }

  function overTime(id, sets, unit, end, options) {
    draw(id, {
      type: "scatter",
      data: {
        datasets: sets.map((s, i) => Object.assign({
          showLine: true, pointRadius: 0, pointHitRadius: 6, borderWidth: 1.5,
          borderColor: color(palette[i]), backgroundColor: color(palette[i]),
        }, s)),
      },
      options: {
        scales: { x: axis("s", { min: 0, max: end }), y: axis(unit, Object.assign({ beginAtZero: true }, options)) },
        plugins: { legend: legend(sets.length > 1), tooltip: { callbacks: { label: (t) => `${t.dataset.label}: ${fmt(t.raw.y)} at ${fmt(t.raw.x)} s` } } },
      },
    });
  }

  function drawCell() {
    const select = document.getElementById("cell");
    if (!select) return;
    const cell = data.cells.find((c) => String(c.conc) === select.value);
    if (!cell || !cell.series) return;
    const s = cell.series;
    const over = (values) => (values || []).map((v, i) => ({ x: (i + 0.5) * s.step_s, y: v }));
    const end = s.in_flight ? s.in_flight.length * s.step_s : undefined;
    const server = cell.server || [];
    const told = (key) => server.filter((p) => p[key] !== undefined && p[key] !== null).map((p) => ({ x: p.at_s, y: p[key] }));
    const flight = [{ label: "in flight (client)", data: over(s.in_flight) }];
    if (told("running").length) flight.push({ label: "running (server)", data: told("running") });
    if (told("waiting").length) flight.push({ label: "waiting (server)", data: told("waiting") });
    overTime("c-flight", flight, "requests", end);
    overTime("c-tokens", [{ label: "output tokens", data: over(s.tokens_per_s) }], "tok/s", end);
    overTime("c-fail", [{ label: "failed", data: over(s.failures), borderColor: color("--bad"), stepped: "middle" }], "requests", end, { suggestedMax: 1, ticks: { color: color("--dim"), precision: 0 } });
    overTime("c-kv", [{ label: "KV cache in use", data: told("kv_cache") }], "share", end, { max: 1 });
  }

  function drawAll() {
    frontier("c-intvty", "interactivity", "tok/s/user", "tok/s/user");
    frontier("c-e2e", "e2e", "E2EL p50 (ms)", "ms");
    cumulative("c-ttft", "ttft");
    cumulative("c-itl", "itl");
    cumulative("c-e2el", "e2el");
    drawCell();
  }

  const select = document.getElementById("cell");
  if (select) select.addEventListener("change", drawCell);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  drawAll();
  document.documentElement.dataset.drawn = Object.keys(drawn).length;
})();
