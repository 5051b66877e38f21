// What the pages with charts have in common: colours that follow the page's scheme,
// axes, and labels at points.
const charts = (function () {
  "use strict";
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

  // A chart without a point is not shown, nor a section without a chart: OSL 1
  // has no gaps between tokens.
  function show(id, some) {
    const canvas = document.getElementById(id);
    if (!canvas) return;
    canvas.closest("figure").hidden = !some;
    const section = canvas.closest("section");
    section.hidden = !section.querySelector("figure:not([hidden])");
    if (!some && drawn[id]) {
      drawn[id].destroy();
      delete drawn[id];
    }
  }

  // Writes each point's CONC beside it or, where there is room for that, what it is
  // known for (long): where it hides no other label, in the order of the data sets.
  const pointLabels = {
    id: "pointLabels",
    afterDatasetsDraw(chart) {
      const ctx = chart.ctx, area = chart.chartArea, taken = [];
      const height = 12, gap = 7;
      const places = (dot, width) => [
        [dot.x + gap, dot.y - 4], [dot.x - gap - width, dot.y - 4], [dot.x + gap, dot.y + 4 + height], [dot.x - gap - width, dot.y + 4 + height],
      ].map(([x, y]) => ({ x, y: Math.max(y, area.top + height), width }));
      const free = (p) => p.x >= area.left && p.x + p.width <= area.right && p.y <= area.bottom &&
        taken.every((q) => p.x + p.width < q.x || q.x + q.width < p.x || p.y <= q.y - height || q.y <= p.y - height);
      const label = (set, dot, text, bold) => {
        ctx.font = (bold ? "600 " : "") + "12px system-ui, sans-serif";
        const place = places(dot, ctx.measureText(text).width).find(free);
        if (!place) return false;
        taken.push(place);
        ctx.strokeStyle = color("--card"); // lines behind the words would make them hard to read
        ctx.lineWidth = 3;
        ctx.strokeText(text, place.x, place.y);
        ctx.fillStyle = set.borderColor;
        ctx.fillText(text, place.x, place.y);
        return true;
      };
      chart.data.datasets.forEach((set, i) => { // no label on another's point
        if (set.labelled && chart.isDatasetVisible(i)) chart.getDatasetMeta(i).data.forEach((dot) => taken.push({ x: dot.x - 5, y: dot.y + 6, width: 10 }));
      });
      ctx.save();
      ctx.textAlign = "left";
      ctx.textBaseline = "bottom";
      const each = (want) => chart.data.datasets.forEach((set, i) => {
        if (!set.labelled || !chart.isDatasetVisible(i)) return;
        chart.getDatasetMeta(i).data.forEach((dot, k) => {
          const p = set.data[k];
          if (Boolean(p.long) === want) (p.long && label(set, dot, p.long, true)) || label(set, dot, String(p.conc), want);
        });
      });
      each(true); // what is best is named first
      each(false);
      ctx.restore();
    },
  };

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

  return { drawn, color, palette, dashes, fmt, draw, show, pointLabels, axis, legend, apart, spread };
})();
