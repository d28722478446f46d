"use strict";
(function () {
const data = JSON.parse(document.getElementById("data").textContent);
const root = document.getElementById("report");
const NS = "http://www.w3.org/2000/svg";
const COLOURS = ["var(--ref)", "var(--cur)", "#c2701e", "#6b8e23", "#8e44ad", "#c0392b", "#16817a", "#7f6000"];
const tip = el("div"); tip.id = "tip"; document.body.append(tip);

function el(tag, cls, text) { const e = document.createElement(tag); if (cls) e.className = cls; if (text !== undefined) e.textContent = text; return e; }
function svg(tag, attrs, text) { const e = document.createElementNS(NS, tag); for (const k in attrs) e.setAttribute(k, attrs[k]); if (text !== undefined) e.textContent = text; return e; }
function num(v) {
  if (v === null || v === undefined) return "\u2013";
  if (typeof v === "boolean") return v ? "yes" : "no";
  if (typeof v !== "number") return String(v);
  if (Number.isInteger(v)) return Math.abs(v) < 1e15 ? v.toLocaleString("en") : v.toExponential(3);
  const a = Math.abs(v);
  if (a > 0 && a < 1e-15) return "< 1e-15";
  return a !== 0 && (a < 1e-3 || a >= 1e7) ? v.toExponential(2) : String(+v.toPrecision(4));
}
function pct(v) { return v === null || v === undefined ? "\u2013" : (100 * v).toFixed(v < 0.1 ? 2 : 1) + " %"; }
function colour(i, n) { return n === 1 ? "var(--cur)" : COLOURS[i % COLOURS.length]; }
function hover(node, text) {
  node.addEventListener("mousemove", (e) => { tip.textContent = text; tip.style.display = "block";
    const w = tip.offsetWidth, x = e.clientX + 14; tip.style.left = Math.min(x, innerWidth - w - 8) + "px"; tip.style.top = e.clientY + 16 + "px"; });
  node.addEventListener("mouseleave", () => { tip.style.display = "none"; });
  node.append(svg("title", {}, text));
}
function key(names) {
  const box = el("div", "key");
  names.forEach((name, i) => { const s = el("span"); const dot = el("i"); dot.style.background = colour(i, names.length); s.append(dot, name); box.append(s); });
  return box;
}
function frame(title, names) {
  const box = el("div", "chart");
  if (title) box.append(el("h3", "", title));
  if (names && names.length > 1) box.append(key(names));
  return box;
}
function canvas(w, h, label) { return svg("svg", { viewBox: `0 0 ${w} ${h}`, width: w, height: h, role: "img", "aria-label": label || "chart" }); }
function ticks(low, high, n) {
  const step0 = (high - low) / n || 1, mag = Math.pow(10, Math.floor(Math.log10(step0)));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * mag).find((s) => s >= step0) || step0;
  const out = []; for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-9; v += step) out.push(+v.toPrecision(12));
  return out;
}

const draw = {
  text(b) { return el("p", "text tone-" + b.tone, b.text); },
  figures(b) {
    const box = el("div", "figures");
    b.figures.forEach(([label, value, note]) => { const f = el("div", "figure"); f.append(el("span", "", label), el("b", "", num(value))); if (note) f.append(el("span", "", note)); box.append(f); });
    return box;
  },
  histogram(b) {
    const names = b.series.map((s) => s[0]), box = frame(b.title, names), W = 620, H = 210, L = 44, B = 26, T = 8;
    const n = b.edges.length - 1, top = Math.max(1e-9, ...b.series.flatMap((s) => s[1])) * 1.06, g = canvas(W, H, b.title);
    const x = (i) => L + (i / n) * (W - L - 8), y = (v) => T + (1 - v / top) * (H - T - B);
    ticks(0, top, 4).forEach((t) => { g.append(svg("line", { x1: L, x2: W - 8, y1: y(t), y2: y(t), class: "grid" }), svg("text", { x: L - 6, y: y(t) + 4, "text-anchor": "end" }, pct(t))); });
    b.series.forEach(([name, shares], k) => {
      let path = `M${x(0)} ${y(0)}`; shares.forEach((v, i) => { path += `L${x(i)} ${y(v)}L${x(i + 1)} ${y(v)}`; }); path += `L${x(n)} ${y(0)}Z`;
      g.append(svg("path", { d: path, fill: colour(k, names.length), "fill-opacity": names.length > 1 ? 0.28 : 0.7, stroke: colour(k, names.length), "stroke-width": 1.4 }));
    });
    const every = Math.ceil(n / 6);
    for (let i = 0; i <= n; i += every) g.append(svg("text", { x: x(i), y: H - 9, "text-anchor": "middle" }, num(b.edges[i])));
    for (let i = 0; i < n; i++) {
      const hit = svg("rect", { x: x(i), y: T, width: x(i + 1) - x(i), height: H - T - B, class: "hit" });
      let text = `${num(b.edges[i])} to ${num(b.edges[i + 1])}`; b.series.forEach(([name, s]) => { text += `\n${name}: ${pct(s[i])}`; });
      if (b.series.length === 2) text += `\ndifference: ${(100 * (b.series[1][1][i] - b.series[0][1][i])).toFixed(2)} points`;
      hover(hit, text); g.append(hit);
    }
    box.append(g); if (b.x) box.append(el("div", "key", b.x)); return box;
  },
  bars(b) {
    const names = b.series.map((s) => s[0]), box = frame(b.title, names), L = 150, W = 620, row = Math.max(16, 9 * names.length + 6), H = b.labels.length * row + 20;
    const all = b.series.flatMap((s) => s[1]).filter((v) => v !== null), top = Math.max(1e-9, ...all), low = Math.min(0, ...all), g = canvas(W, H, b.title), f = b.is_share ? pct : num;
    const x = (v) => L + ((v - low) / (top - low)) * (W - L - 70);
    b.labels.forEach((label, i) => {
      const t = svg("text", { x: L - 8, y: i * row + row / 2 + 4, "text-anchor": "end" }, label.length > 22 ? label.slice(0, 21) + "\u2026" : label); t.append(svg("title", {}, label)); g.append(t);
      const h = (row - 5) / names.length; let text = label;
      b.series.forEach(([name, values], k) => { const v = values[i]; text += `\n${name}: ${f(v)}`; if (v === null || v === undefined) return; g.append(svg("rect", { x: Math.min(x(0), x(v)), y: i * row + 2 + k * h, width: Math.max(0.5, Math.abs(x(v) - x(0))), height: h - 1, rx: 2, fill: colour(k, names.length) })); });
      g.append(svg("text", { x: x(Math.max(...b.series.map((s) => s[1][i] || 0))) + 6, y: i * row + row / 2 + 4 }, f(b.series[b.series.length - 1][1][i])));
      const hit = svg("rect", { x: 0, y: i * row, width: W, height: row, class: "hit" }); hover(hit, text); g.append(hit);
    });
    box.append(g); if (b.x) box.append(el("div", "key", b.x)); return box;
  },
  grid(b) {
    const box = el("div"), bar = el("div", "bar"), wrap = el("div", "scroll"), table = el("table"), head = el("tr"), body = el("tbody"), flagged = new Set(b.flagged);
    bar.append(el("h3", "", b.title || ""));
    const numeric = b.header.map((_, c) => b.rows.some((r) => typeof r[c] === "number"));
    const rows = b.rows.map((cells, i) => {
      const tr = el("tr"), inside = b.details[i];
      cells.forEach((v, c) => { const td = el("td", numeric[c] ? "n" : b.header[c] === "Drift" || b.header[c] === "Status" ? "word" : ""); if (v && typeof v === "object" && v.type === "spark") td.append(spark(v)); else td.textContent = v === null ? "\u2013" : num(v); tr.append(td); });
      if (flagged.has(i)) tr.classList.add("flag");
      const row = { cells, tr, more: null };
      if (inside && inside.length) {
        tr.classList.add("more"); tr.tabIndex = 0; tr.setAttribute("aria-expanded", "false");
        const flip = () => {
          if (!row.more) { row.more = el("tr"); const td = el("td", "inner"); td.colSpan = b.header.length; inside.forEach((x) => td.append(block(x))); row.more.append(td); tr.after(row.more); row.more.hidden = true; }
          row.more.hidden = !row.more.hidden; tr.classList.toggle("open", !row.more.hidden); tr.setAttribute("aria-expanded", String(!row.more.hidden));
        };
        tr.addEventListener("click", flip); tr.addEventListener("keydown", (e) => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); flip(); } });
        row.flip = flip;
      }
      return row;
    });
    let sorted = -1, up = true;
    const lay = (list) => { body.replaceChildren(); list.forEach((r) => { body.append(r.tr); if (r.more) body.append(r.more); }); };
    b.header.forEach((name, c) => {
      const th = el("th", numeric[c] ? "n" : "", name); th.tabIndex = 0; th.scope = "col";
      const sort = () => {
        up = sorted === c ? !up : true; sorted = c; head.querySelectorAll("th").forEach((x) => x.removeAttribute("aria-sort")); th.setAttribute("aria-sort", up ? "ascending" : "descending");
        lay([...rows].sort((p, q) => { const a = p.cells[c], d = q.cells[c]; if (a === null || typeof a === "object") return 1; if (d === null || typeof d === "object") return -1; const s = typeof a === "number" && typeof d === "number" ? a - d : String(a).localeCompare(String(d)); return up ? s : -s; }));
      };
      th.addEventListener("click", sort); th.addEventListener("keydown", (e) => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); sort(); } });
      head.append(th);
    });
    if (rows.length > 8) { const find = el("input"); find.type = "search"; find.placeholder = "Find"; find.setAttribute("aria-label", "Find a row"); find.addEventListener("input", () => { const q = find.value.toLowerCase(); rows.forEach((r) => { const hide = !r.cells.some((v) => typeof v === "string" && v.toLowerCase().includes(q)); r.tr.hidden = hide; if (r.more && hide) r.more.hidden = true; }); }); bar.append(find); }
    lay(rows); const thead = el("thead"); thead.append(head); table.append(thead, body); wrap.append(table); box.append(bar, wrap);
    addEventListener("beforeprint", () => rows.filter((r, i) => r.flip && r.tr.classList.contains("flag") && !r.tr.classList.contains("open")).slice(0, 12).forEach((r) => r.flip()));
    return box;
  },
};
function spark(v) {
  const W = 92, H = 26, g = canvas(W, H, "reference and current"), n = v.reference.length, top = Math.max(1e-9, ...v.reference, ...v.current);
  [[v.reference, "var(--ref)"], [v.current, "var(--cur)"]].forEach(([s, c]) => { let d = `M0 ${H}`; s.forEach((x, i) => { const y = H - (x / top) * (H - 2); d += `L${(i * W) / n} ${y.toFixed(1)}L${((i + 1) * W) / n} ${y.toFixed(1)}`; }); g.append(svg("path", { d: d + `L${W} ${H}Z`, fill: c, "fill-opacity": 0.35, stroke: c, "stroke-width": 1 })); });
  return g;
}
function block(b) { const make = draw[b.type]; return make ? make(b) : el("div"); }

if (data.sections.length > 1) { const nav = el("nav"); data.sections.forEach((s, i) => { const a = el("a", "", s.title); a.href = "#s" + i; nav.append(a); }); root.append(nav); }
if (data.checks.length) {
  const passed = data.checks.filter((c) => c.status === "SUCCESS").length, h = el("h2", "", "Checks"); root.append(h, el("p", "about", `${passed} of ${data.checks.length} passed`));
  const box = el("div", "scroll"), table = el("table"), body = el("tbody");
  [...data.checks].sort((a, c) => (a.status === "SUCCESS") - (c.status === "SUCCESS")).forEach((c) => { const tr = el("tr"), td = el("td", "status"); td.append(el("span", "badge s-" + c.status, c.status.toLowerCase())); const what = el("td", "", c.description), about = el("td", "", c.about); what.style.whiteSpace = "normal"; tr.append(td, about, what); body.append(tr); });
  table.append(body); box.append(table); root.append(box);
}
data.sections.forEach((s, i) => {
  const part = el("section"); part.id = "s" + i; const h = el("h2", "", s.title); part.append(h);
  s.blocks.forEach((b) => part.append(block(b)));
  if (s.notes.length) { const ul = el("ul", "notes"); s.notes.forEach((n) => ul.append(el("li", "", n))); part.append(ul); }
  root.append(part);
});
root.append(el("footer", "", "Homeostat"));
document.getElementById("theme").addEventListener("click", () => {
  const e = document.documentElement, dark = e.dataset.theme ? e.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches; e.dataset.theme = dark ? "light" : "dark";
});
})();
