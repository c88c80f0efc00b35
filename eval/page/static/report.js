// The case browser: all text reaches the page through textContent, so that nothing in a note can become markup.
"use strict";
const make = (tag, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
};
(() => {
  const PAGE = 50;
  const section = document.getElementById("cases");
  if (!section) return;
  const groups = JSON.parse(document.getElementById("case-data").textContent);
  const at = (name) => section.querySelector(`[data-at="${name}"]`);
  const percentless = (number) => number.toLocaleString("en");
  const WORDS = { 0: ["✗", "wrong"], 1: ["≈", "tied"], 2: ["✓", "right"] };
  const FILTERS = {
    all: ["All", () => true],
    right: ["Right", (c, run) => c.runs[run].verdict === 2],
    wrong: ["Wrong", (c, run) => c.runs[run].verdict === 0],
    never: ["Never right", (c, run) => !c.runs[run].flags.some((f) => f & 1)],
    flipped: ["Flipped between runs", (c) => new Set(c.runs.map((r) => r.verdict)).size > 1],
    broken: ["Format broken", (c, run) => c.runs[run].flags.some((f) => !(f & group.format))],
  };
  let group, found = [], page = 0, open = null, filter = "all", texts = null;

  // ---- data
  async function inflate(element) {
    const bytes = Uint8Array.from(atob(element.textContent), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return JSON.parse(await new Response(stream).text());
  }
  function text(index) { // of the case at this place in its group: {note, runs: [{completions, explained}]}, or null
    if (!group.chunk) return Promise.resolve(null);
    const chunk = Math.floor(index / group.chunk);
    texts[chunk] ??= inflate(document.getElementById(`case-text-${groups.indexOf(group)}-${chunk}`));
    return texts[chunk].then((cases) => cases[index % group.chunk]);
  }
  async function read() { // everything that search looks at
    const parts = group.chunk ? Math.ceil(group.cases.length / group.chunk) : 0;
    for (let chunk = 0; chunk < parts; chunk++) {
      await text(chunk * group.chunk);
      (await texts[chunk]).forEach((each, i) => { group.cases[chunk * group.chunk + i].text = each; });
    }
  }
  function matches(each, pattern) {
    if (pattern.test(each.id) || pattern.test(group.labels[each.gold])) return true;
    if (each.runs.some((run) => run.pred.some((label) => pattern.test(group.labels[label])))) return true;
    return Boolean(each.text) && (pattern.test(each.text.note) || each.text.runs.some((run) => run.completions.some((c) => pattern.test(c))));
  }

  // ---- search and filter
  function update(keep) {
    const started = performance.now();
    const words = at("search").value.trim();
    const pattern = words && new RegExp(words.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "iu");
    const run = Number(at("run").value);
    const searched = pattern ? group.cases.filter((each) => matches(each, pattern)) : group.cases;
    for (const [name, [, holds]] of Object.entries(FILTERS)) {
      const kept = searched.filter((each) => holds(each, run));
      const chip = at("chips").querySelector(`[data-filter="${name}"]`);
      chip.querySelector("small").textContent = percentless(kept.length);
      chip.setAttribute("aria-pressed", String(name === filter));
      if (name === filter) found = kept;
    }
    if (!keep) page = 0;
    list();
    at("status").textContent = `${percentless(found.length)} of ${percentless(group.cases.length)} cases`;
    section.dataset.filterMs = (performance.now() - started).toFixed(1);
  }
  function list() {
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    page = Math.min(page, pages - 1);
    at("list").replaceChildren(...found.slice(page * PAGE, (page + 1) * PAGE).map((each) => {
      const marks = each.runs.map((run, i) => make("span", {
        className: ["wrong", "", "right"][run.verdict], textContent: WORDS[run.verdict][0], title: `${group.runs[i].name}: ${WORDS[run.verdict][1]}`,
      }));
      const button = make("button", { type: "button" }, make("span", { className: "soft", textContent: each.index }),
        make("bdi", { className: "gold", textContent: group.labels[each.gold] }), make("span", { className: "marks" }, ...marks));
      button.setAttribute("aria-label", `case ${each.index}, ${group.labels[each.gold]}, ${each.runs.map((run, i) => `${group.runs[i].name} ${WORDS[run.verdict][1]}`).join(", ")}`);
      if (each === open) button.setAttribute("aria-current", "true");
      button.addEventListener("click", () => show(each));
      return make("li", {}, button);
    }));
    at("pages").textContent = found.length ? `page ${page + 1} of ${pages}` : "no case matches";
    at("back").disabled = page === 0;
    at("on").disabled = page >= pages - 1;
  }

  // ---- one case
  async function show(each) {
    open = each;
    list();
    const contents = await text(group.cases.indexOf(each));
    if (open !== each) return;
    const parts = [make("h3", { textContent: `Case ${each.index}` }),
      make("p", {}, "Gold: ", make("strong", {}, make("bdi", { textContent: group.labels[each.gold] })), each.id ? make("small", { className: "soft", textContent: ` · hadm_id ${each.id}` }) : "")];
    if (contents) parts.push(make("details", {}, make("summary", { textContent: "Note" }), make("pre", { textContent: contents.note })));
    else parts.push(make("p", { className: "soft", textContent: "The note, the reasoning and how each reward came about are not in this file; --embed-notes puts them in." }));
    each.runs.forEach((run, i) => parts.push(...answers(run, i, each, contents && contents.runs[i])));
    at("detail").replaceChildren(...parts);
    at("detail").scrollIntoView({ block: "nearest" });
    history.replaceState(null, "", `#case-${groups.indexOf(group)}-${each.index}`);
  }
  function answers(run, i, each, contents) {
    const votes = new Map();
    run.pred.forEach((label, j) => votes.set(label, (votes.get(label) ?? []).concat(j)));
    const rows = [...votes].sort((a, b) => b[1].length - a[1].length).map(([label, samples]) => {
      const shares = group.levels.map((level) => samples.filter((j) => run.flags[j] & level.flag).length);
      const bar = make("span", { className: "bar" });
      bar.style.width = `${(4 * samples.length) / run.pred.length}rem`;
      return make("tr", {}, make("td", { className: "text" }, make("bdi", { textContent: group.labels[label] || "(no answer)" })),
        make("td", { className: "text votes" }, bar, String(samples.length)),
        ...shares.map((share) => make("td", { className: share ? "right" : "wrong", textContent: share ? "✓ right" : "✗ wrong" })));
    });
    const head = ["answer", "samples", ...group.levels.map((level) => level.title)];
    const table = make("table", {}, make("thead", {}, make("tr", {}, ...head.map((title, k) => make("th", { className: k < 2 ? "text" : "", scope: "col", textContent: title })))), make("tbody", {}, ...rows));
    const samples = run.pred.map((label, j) => {
      const right = run.flags[j] & 1, formatted = run.flags[j] & group.format;
      const words = [`${j + 1}`, right ? "✓" : "✗", group.labels[label] || "(no answer)", formatted ? "" : "format broken", `${run.tokens[j]} tokens`, `reward ${run.reward[j]}`];
      const summary = make("summary", {}, make("bdi", { textContent: words.filter(Boolean).join(" · ") }));
      if (!contents) return make("p", { className: "sample soft" }, ...summary.childNodes);
      return make("details", { className: "sample" }, summary, make("small", { className: "soft", textContent: "completion" }), make("pre", { textContent: contents.completions[j] }),
        make("small", { className: "soft", textContent: "how its reward came about" }), make("pre", { textContent: contents.explained[contents.of[j]] }));
    });
    return [make("h4", {}, make("bdi", { textContent: group.runs[i].name }), make("span", { className: ["wrong", "soft", "right"][run.verdict], textContent: ` — ${WORDS[run.verdict][1]}` })),
      make("div", { className: "card" }, table), ...samples];
  }

  // ---- the start
  function choose(which) {
    group = groups[which];
    texts = [];
    group.cases.forEach((each) => { each.id ??= ""; });
    at("run").replaceChildren(...group.runs.map((run, i) => make("option", { value: i, textContent: run.name })));
    at("run").value = group.runs.length - 1;
    at("chips").querySelector('[data-filter="flipped"]').hidden = group.runs.length < 2;
    at("group").value = which;
    open = null;
    at("detail").replaceChildren(make("p", { className: "soft", textContent: "Choose a case." }));
    update();
    const began = group;
    read().then(() => { section.dataset.searchable = "yes"; if (group === began && at("search").value) update(); });
  }
  at("chips").replaceChildren(...Object.entries(FILTERS).map(([name, [title]]) => {
    const chip = make("button", { type: "button", textContent: title }, make("small"));
    chip.dataset.filter = name;
    chip.addEventListener("click", () => { filter = name; update(); });
    return chip;
  }));
  at("group").replaceChildren(...groups.map((each, i) => make("option", { value: i, textContent: each.title })));
  at("group").closest("label").hidden = groups.length < 2;
  at("group").addEventListener("change", () => choose(Number(at("group").value)));
  at("run").addEventListener("change", () => update());
  let waiting;
  at("search").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(update, 120); });
  at("back").addEventListener("click", () => { page--; list(); });
  at("on").addEventListener("click", () => { page++; list(); });
  at("list").addEventListener("keydown", (event) => {
    const item = event.target.closest("li");
    const next = { ArrowDown: item?.nextElementSibling, ArrowUp: item?.previousElementSibling }[event.key];
    if (next) { event.preventDefault(); next.firstChild.focus(); }
  });
  at("browser").hidden = false;
  const asked = /^#case-(\d+)-(\d+)$/.exec(location.hash);
  choose(asked && groups[asked[1]] ? Number(asked[1]) : 0);
  const wanted = asked && group.cases.find((each) => String(each.index) === asked[2]);
  if (wanted) show(wanted);
})();
