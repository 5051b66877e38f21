// Tables sort by a click on a head of theirs, or with the keyboard: each head
// that can be sorted by is a button.
"use strict";
const Tables = (() => {
  const chosen = new Map(); // table's place on the page → {column, up}: kept when the tables are drawn anew
  const key = (cell, kind) => {
    const v = cell?.dataset.value ?? "";
    return kind === "number" ? (v === "" ? NaN : Number(v)) : v.toLocaleLowerCase();
  };
  function sort(table, column, up) {
    const head = table.tHead.rows[0].cells[column], kind = head.dataset.sort, body = table.tBodies[0];
    for (const th of table.tHead.rows[0].cells) th.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const rows = [...body.rows].map(row => ({ row, k: key(row.cells[column], kind) }));
    rows.sort((a, b) => {
      if (kind === "number") {
        if (isNaN(a.k) || isNaN(b.k)) return isNaN(a.k) - isNaN(b.k); // what is not known comes last
        return up ? a.k - b.k : b.k - a.k;
      }
      return up ? a.k.localeCompare(b.k) : b.k.localeCompare(a.k);
    });
    body.append(...rows.map(r => r.row));
  }
  function attach() {
    document.querySelectorAll("table.sortable").forEach((table, place) => {
      [...table.tHead.rows[0].cells].forEach((th, column) => {
        if (!th.dataset.sort || th.querySelector("button")) return;
        const button = document.createElement("button");
        button.type = "button";
        button.append(...th.childNodes);
        th.append(button);
        button.addEventListener("click", () => {
          const was = chosen.get(place);
          const up = was?.column === column ? !was.up : th.dataset.sort === "text";
          chosen.set(place, { column, up });
          sort(table, column, up);
        });
      });
      const c = chosen.get(place);
      if (c) sort(table, c.column, c.up);
    });
  }
  attach();
  return { attach };
})();
