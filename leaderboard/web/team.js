// Draws a team's progress: each submission of a cell over time, and a line
// through the best so far. The table holds the same figures.
"use strict";
(() => {
  const rows = JSON.parse(document.getElementById("history").textContent);
  const css = getComputedStyle(document.documentElement);
  const colour = name => css.getPropertyValue("--" + name).trim();
  const choice = document.getElementById("cells");
  const times = rows.map(r => Date.parse(r.submitted)), oneDay = Math.max(...times) - Math.min(...times) < 24 * 3600e3;
  const day = ms => oneDay ? new Date(ms).toLocaleTimeString("en", { hour: "numeric", minute: "2-digit", second: "2-digit" })
    : new Date(ms).toLocaleDateString("en", { day: "numeric", month: "short" });
  function sets() {
    const cells = new Map();
    for (const r of rows) {
      if (`${r.isl} ${r.osl}` !== choice.value) continue;
      if (!cells.has(r.conc)) cells.set(r.conc, []);
      cells.get(r.conc).push({ x: Date.parse(r.submitted), y: r.tput_per_gpu, r });
    }
    return [...cells].sort((a, b) => a[0] - b[0]).map(([conc, points], n) => {
      points.sort((a, b) => a.x - b.x);
      return { label: `CONC ${conc}`, data: points, showLine: true, borderColor: colour(n < 8 ? "c" + n : "other"), backgroundColor: colour(n < 8 ? "c" + n : "other"),
        pointRadius: 4, borderWidth: 2, pointStyle: ["circle", "triangle", "rect", "rectRot", "star", "crossRot", "cross", "rectRounded"][n % 8] };
    });
  }
  const axis = title => ({ type: "linear", title: { display: true, text: title, color: colour("soft") }, ticks: { color: colour("soft"), maxRotation: 0 },
    grid: { color: colour("line") }, border: { color: colour("line") } });
  const options = () => {
    const x = axis("submitted");
    x.ticks.callback = day;
    x.ticks.maxTicksLimit = 6;
    return { animation: false, maintainAspectRatio: false, scales: { x, y: { ...axis("tok/s/GPU"), beginAtZero: true } },
      plugins: { legend: { labels: { color: colour("ink"), usePointStyle: true } }, tooltip: { callbacks: {
        title: items => items.length ? new Date(items[0].raw.x).toLocaleString("en") : "",
        label: item => `${item.dataset.label}: ${item.raw.y.toFixed(1)} tok/s/GPU (no. ${item.raw.r.id})` } } } };
  };
  const chart = new Chart(document.querySelector("#plot-t canvas"), { type: "scatter", data: { datasets: sets() }, options: options() });
  const draw = () => { chart.data.datasets = sets(); chart.options = options(); chart.update(); };
  choice.addEventListener("change", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  window.teamChart = chart; // for tests and the curious
})();
