// Draws the charts of a report from the JSON in #data, in the page's colours,
// and again when those change between light and dark.
(function () {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const { drawn, color, palette, dashes, fmt, draw, show, pointLabels, axis, legend, apart, spread } = charts;
  const absent = (id) => show(id, false);

  // What a cell that did not fail is best in, behind its CONC; nothing for most.
  function bestIn(cell, key) {
    const best = (data.best || []).filter((b) => b.at === cell.at && !cell.failed && ["tput_per_gpu", key].includes(b.key));
    return best.length ? [cell.at].concat(best.map((b) => b.words)).join(", ") : undefined;
  }

  // A scatter of our cells, the baseline's curve, and a line along our front.
  function frontier(id, x, key, xTitle, unit) {
    const ours = data.cells.filter((c) => c.tput !== null && c[x] !== null)
      .map((c) => ({ x: c[x], y: c.tput, conc: c.at, front: c[x + "_front"], failed: c.failed, long: bestIn(c, key) }));
    if (!ours.length) return absent(id);
    const sets = [{
      label: "this batch", data: ours.filter((p) => !p.failed), backgroundColor: color("--s1"), borderColor: color("--s1"),
      pointRadius: 5, pointHoverRadius: 7, showLine: false, labelled: true,
    }, {
      label: "Pareto front", data: ours.filter((p) => p.front).sort((a, b) => a.x - b.x),
      borderColor: color("--s1"), borderDash: [6, 4], borderWidth: 1.5, pointRadius: 0, pointHitRadius: 0, showLine: true,
    }];
    const failed = ours.filter((p) => p.failed);
    if (failed.length) {
      sets.push({ label: "failed", data: failed, borderColor: color("--bad"), borderWidth: 2, pointStyle: "crossRot", pointRadius: 6, showLine: false, labelled: true });
    }
    if (data.baseline) {
      sets.push({
        label: data.baseline.label, data: data.baseline.points.map((p) => ({ x: p[x], y: p.tput, conc: p.conc })),
        borderColor: color("--s2"), backgroundColor: color("--s2"), borderWidth: 1.5, pointStyle: "rectRot", pointRadius: 5, showLine: true, labelled: true,
      });
    }
    const all = sets.flatMap((s) => s.data);
    show(id, true);
    draw(id, {
      type: "scatter", data: { datasets: sets }, plugins: [pointLabels],
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
    show(id, true);
    const wide = apart(cells.flatMap((c) => c.series[key].map((p) => p.x)), 8);
    draw(id, {
      type: "scatter",
      data: {
        datasets: cells.map((c, i) => ({
          label: "CONC " + c.at, data: c.series[key], showLine: true, pointRadius: 0, pointHitRadius: 6,
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

  // The latencies of every cell, over CONC.
  function latencyOverLoad() {
    const select = document.getElementById("stat");
    if (!select) return;
    const cells = data.cells.filter((c) => c.latency);
    const metrics = ["TTFT", "TPOT", "ITL", "E2EL"].filter((m) => cells.some((c) => c.latency[m][select.value] !== null));
    show("c-load", cells.length > 1 && metrics.length > 0);
    if (cells.length < 2 || !metrics.length) return;
    draw("c-load", {
      type: "line",
      data: {
        labels: cells.map((c) => "CONC " + c.at),
        datasets: metrics.map((m, i) => ({
          label: m, data: cells.map((c) => c.latency[m][select.value]), spanGaps: true, borderWidth: 2, pointRadius: 4,
          borderDash: dashes[i % dashes.length], order: -i, // ITL often lies on TPOT
          borderColor: color(palette[i % palette.length]), backgroundColor: color(palette[i % palette.length]),
        })),
      },
      options: {
        scales: { x: axis(""), y: axis("ms", { type: "logarithmic" }) },
        plugins: { legend: legend(true), tooltip: { callbacks: { label: (t) => `${t.dataset.label} ${select.selectedOptions[0].text}: ${fmt(t.raw)} ms` } } },
      },
    });
  }

  function overTime(id, sets, unit, end, options) {
    const some = sets.some((s) => s.data.some((p) => p.y !== null));
    show(id, some);
    if (!some) return;
    draw(id, {
      type: "scatter",
      data: {
        datasets: sets.map((s, i) => Object.assign({
          showLine: true, pointRadius: 0, pointHitRadius: 6, borderWidth: 1.5,
          borderColor: color(palette[i % palette.length]), backgroundColor: color(palette[i % palette.length]),
        }, s)),
      },
      options: {
        scales: { x: axis("s", { min: 0, max: end }), y: axis(unit, Object.assign({ beginAtZero: true }, options)) },
        plugins: { legend: legend(sets.length > 1), tooltip: { callbacks: { label: (t) => `${t.dataset.label}: ${fmt(t.raw.y)} at ${fmt(t.raw.x)} s` } } },
      },
    });
  }

  // How gaps were spread over time: a rectangle for each slice and band.
  function heatMap(id, heat, step, end) {
    show(id, Boolean(heat));
    if (!heat) return;
    const most = Math.max(...heat.counts.map((row) => Math.max(...row)));
    const edge = (band) => heat.low_ms * Math.pow(heat.factor, band);
    const fill = color("--s1");
    draw(id, {
      type: "scatter", data: { datasets: [{ data: [{ x: 0, y: edge(0) }, { x: end, y: edge(heat.counts[0].length) }], pointRadius: 0, pointHitRadius: 0 }] },
      plugins: [{
        id: "heat",
        beforeDatasetsDraw(chart) {
          const { ctx, scales: { x, y } } = chart;
          ctx.save();
          ctx.fillStyle = fill;
          heat.counts.forEach((row, i) => row.forEach((n, band) => {
            if (!n) return;
            ctx.globalAlpha = 0.12 + 0.88 * Math.sqrt(n / most);
            const left = x.getPixelForValue(i * step), top = y.getPixelForValue(edge(band + 1));
            ctx.fillRect(left, top, x.getPixelForValue((i + 1) * step) - left + 0.5, y.getPixelForValue(edge(band)) - top + 0.5);
          }));
          ctx.restore();
        },
      }],
      options: {
        scales: { x: axis("s", { min: 0, max: end }), y: axis("ms", { type: "logarithmic", min: edge(0), max: edge(heat.counts[0].length) }) },
        plugins: { legend: legend(false), tooltip: { enabled: false } },
      },
    });
  }

  // When each request was sent, began to answer and ended: a bar in two parts.
  function timeline(id, spans) {
    show(id, spans && spans.length > 0);
    if (!spans || !spans.length) return;
    const bar = (label, name, from, to) => ({
      label: label, backgroundColor: color(name), grouped: false, barPercentage: 1, categoryPercentage: 0.9,
      data: spans.map((s) => (from(s) === null || to(s) === null ? null : [from(s), to(s)])),
    });
    const sets = [
      bar("waiting for the first token", "--s2", (s) => (s.failed ? null : s.sent), (s) => s.first),
      bar("receiving", "--s1", (s) => s.first, (s) => s.end),
    ];
    if (spans.some((s) => s.failed)) sets.push(bar("failed", "--bad", (s) => (s.failed ? s.sent : null), (s) => s.end));
    draw(id, {
      type: "bar", data: { labels: spans.map((_, i) => i + 1), datasets: sets },
      options: {
        indexAxis: "y",
        scales: { x: axis("s", { beginAtZero: true }), y: axis("request", { reverse: false }) },
        plugins: { legend: legend(true), tooltip: { callbacks: { label: (t) => `${t.dataset.label}: ${fmt(t.raw[0])} to ${fmt(t.raw[1])} s` } } },
      },
    });
  }

  // A value of each turn, one line a configuration.
  function byTurn(id, key, unit, percent) {
    const cells = data.cells.filter((c) => c.series && c.series.sessions && (c.series.sessions.by_turn || []).some((t) => t[key] !== null));
    show(id, cells.length > 0);
    if (!cells.length) return;
    const text = (v) => (percent ? (v * 100).toFixed(1) + " %" : fmt(v) + " " + unit);
    draw(id, {
      type: "scatter",
      data: {
        datasets: cells.map((c, i) => ({
          label: "CONC " + c.at, data: c.series.sessions.by_turn.map((t) => ({ x: t.turn, y: t[key] })), showLine: true, pointRadius: 2,
          borderDash: dashes[Math.floor(i / palette.length) % dashes.length],
          borderWidth: 2, borderColor: color(palette[i % palette.length]), backgroundColor: color(palette[i % palette.length]),
        })),
      },
      options: {
        scales: {
          x: axis("turn", { min: 1, ticks: { color: color("--dim"), precision: 0 } }),
          y: axis(unit, Object.assign({ beginAtZero: true }, percent ? { max: 1, ticks: { color: color("--dim"), callback: (v) => Math.round(v * 100) + " %" } } : {})),
        },
        plugins: { legend: legend(cells.length > 1), tooltip: { callbacks: { label: (t) => `${t.dataset.label}, turn ${t.raw.x}: ${text(t.raw.y)}` } } },
      },
    });
  }

  // Streams as rows, each turn a bar in two parts.
  function gantt(id, rows, end) {
    show(id, rows && rows.length > 0);
    if (!rows || !rows.length) return;
    const parts = [
      ["waiting for the first token", "--s2", (t) => (t.failed ? null : [t.sent, t.first])],
      ["receiving", "--s1", (t) => (t.failed ? null : [t.first, t.end])],
      ["failed", "--bad", (t) => (t.failed ? [t.sent, t.end] : null)],
    ].filter((p) => rows.some((r) => r.turns.some((t) => p[2](t))));
    draw(id, {
      type: "scatter",
      data: {
        datasets: parts.map(([label, name]) => ({ label: label, data: [{ x: 0, y: 0 }, { x: end, y: rows.length - 1 }], pointRadius: 0, pointHitRadius: 0, borderColor: color(name), backgroundColor: color(name) })),
      },
      plugins: [{
        id: "gantt",
        beforeDatasetsDraw(chart) {
          const { ctx, scales: { x, y } } = chart;
          const height = Math.max((y.getPixelForValue(1) - y.getPixelForValue(0)) * 0.7, 2);
          ctx.save();
          parts.forEach(([, name, of], k) => {
            if (!chart.isDatasetVisible(k)) return;
            ctx.fillStyle = color(name);
            rows.forEach((row, i) => row.turns.forEach((t) => {
              const p = of(t);
              if (!p) return;
              const left = x.getPixelForValue(p[0]);
              ctx.fillRect(left, y.getPixelForValue(i) - height / 2, Math.max(x.getPixelForValue(p[1]) - left, 1), height);
            }));
          });
          ctx.restore();
        },
      }],
      options: {
        scales: {
          x: axis("s", { min: 0, max: end }),
          y: axis("", { reverse: true, min: -0.5, max: rows.length - 0.5, afterBuildTicks: (a) => { a.ticks = rows.map((_, i) => ({ value: i })); }, ticks: { color: color("--dim"), autoSkip: false, font: { size: 10 }, callback: (v) => (rows[v] ? rows[v].name : "") } }),
        },
        plugins: { legend: legend(true), tooltip: { enabled: false } },
      },
    });
  }

  function drawCell() {
    const select = document.getElementById("cell");
    if (!select) return;
    const cell = data.cells.find((c) => c.at === select.value);
    if (!cell || !cell.series) return;
    const s = cell.series;
    const over = (values) => (values || []).map((v, i) => ({ x: (i + 0.5) * s.step_s, y: v }));
    const end = s.in_flight ? s.in_flight.length * s.step_s : undefined;
    const server = cell.server || [];
    const told = (key, from = server) => from.filter((p) => p[key] !== undefined && p[key] !== null).map((p) => ({ x: p.at_s, y: p[key] }));
    const flight = [{ label: "in flight (client)", data: over(s.in_flight) }];
    if (told("running").length) flight.push({ label: "running (server)", data: told("running") });
    if (told("waiting").length) flight.push({ label: "waiting (server)", data: told("waiting") });
    overTime("c-flight", flight, "requests", end);
    overTime("c-tokens", [{ label: "output tokens", data: over(s.tokens_per_s) }], "tok/s", end);
    overTime("c-ttfts", [{ label: "TTFT p50", data: over(s.ttft_ms), spanGaps: true }], "ms", end);
    overTime("c-itls", [{ label: "ITL p50", data: over(s.itl_ms), spanGaps: true }], "ms", end);
    heatMap("c-heat", s.itl_heat, s.step_s, end);
    timeline("c-spans", s.requests);
    overTime("c-kv", [{ label: "KV cache in use", data: told("kv_cache") }], "share", end);
    const ranks = new Map();
    server.forEach((p) => (p.ranks || []).forEach((r) => {
      const name = [r.endpoint, r.rank].filter(Boolean).join(" rank ");
      if (!ranks.has(name)) ranks.set(name, []);
      ranks.get(name).push({ x: p.at_s, y: r.running });
    }));
    overTime("c-ranks", [...ranks].map(([name, data]) => ({ label: name, data: data })), "requests", end);
    const power = (id, label, key, unit) => overTime(id, [{ label: label, data: told(key, cell.power || []) }], unit, end);
    power("c-power", "power", "power_w", "W");
    power("c-clock", "SM clock", "sm_clock_mhz", "MHz");
    power("c-heatc", "temperature", "temperature_c", "°C");
    power("c-busy", "utilisation", "utilization", "share");
    const sessions = s.sessions || {};
    overTime("c-live", [{ label: "sessions", data: over(sessions.live) }], "sessions", end);
    const hits = [{ label: "found by the server", data: over(sessions.hits), spanGaps: true }, { label: "an infinite cache", data: over(sessions.theoretical), spanGaps: true, borderDash: dashes[1] }];
    overTime("c-hits", hits.filter((h) => h.data.some((p) => p.y !== null)), "share", end, { max: 1 });
    gantt("c-sessions", sessions.rows, end);
    const failures = (s.failures || []).some((n) => n > 0) ? over(s.failures) : [];
    overTime("c-fail", [{ label: "failed", data: failures, borderColor: color("--bad"), stepped: "middle" }], "requests", end, { ticks: { color: color("--dim"), precision: 0 } });
  }

  function drawAll() {
    frontier("c-intvty", "interactivity", "interactivity", "tok/s/user", "tok/s/user");
    frontier("c-e2e", "e2e", "median_e2el_ms", "E2EL p50 (ms)", "ms");
    latencyOverLoad();
    byTurn("c-turns", "p50_ms", "ms", false);
    byTurn("c-turnhits", "cached_share", "", true);
    cumulative("c-ttft", "ttft");
    cumulative("c-tpot", "tpot");
    cumulative("c-itl", "itl");
    cumulative("c-e2el", "e2el");
    drawCell();
  }

  const select = document.getElementById("cell");
  if (select) select.addEventListener("change", drawCell);
  const stat = document.getElementById("stat");
  if (stat) stat.addEventListener("change", latencyOverLoad);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  drawAll();
  document.documentElement.dataset.drawn = Object.keys(drawn).length;
})();
