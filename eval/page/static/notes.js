// Graded notes, the lowest p(+) first: all text reaches the page through textContent here, too.
(() => {
  const section = document.getElementById("notes");
  if (!section) return;
  const sets = JSON.parse(document.getElementById("note-data").textContent);
  const at = (name) => section.querySelector(`[data-at="${name}"]`);
  const first = (notes, by) => notes.reduce((a, b) => (b.scores[by] > a.scores[by] ? b : a));
  const by = (set) => ["mean", "end"].find((name) => name in set.cases[0].notes[0].scores);

  function table(note) {
    const rows = note.positions.map((each, place) => ({ each, place }));
    if (at("order").value === "low") rows.sort((a, b) => a.each[1] - b.each[1] || a.place - b.place);
    const cells = rows.map(({ each: [name, p, label, cause, text] }) => {
      const row = make("tr", { className: "graded" }, make("td", { className: "text", textContent: name }), make("td", { textContent: p.toFixed(3) }),
        make("td", { textContent: label && (label === "+" ? "right" : `wrong: ${cause}`) }), make("td", { className: "text" }, make("bdi", { textContent: text })));
      row.style.setProperty("--doubt", `${Math.round(60 * (1 - p))}%`);
      return row;
    });
    const heads = ["position", "p(+)", "label", "text"].map((title) => make("th", { scope: "col", textContent: title }));
    return make("div", { className: "card" }, make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...cells)));
  }
  function show() {
    const set = sets[at("set").value], one = set.cases[at("case").value], chosen = first(one.notes, by(set));
    const parts = one.dialogue === undefined ? [] : [make("details", {}, make("summary", { textContent: `Conversation of ${one.id}` }), make("pre", { textContent: one.dialogue }))];
    at("graded").replaceChildren(...parts, ...one.notes.map((note) => {
      const lowest = note.positions.reduce((a, b) => (b[1] < a[1] ? b : a));
      const words = [`note ${note.no}`, note.best ? "the best one" : "", note === chosen ? `chosen by ${by(set)}` : "", `lowest ${lowest[1].toFixed(3)} at ${lowest[0]}`];
      return make("details", { className: "sample", open: note.best || note === chosen }, make("summary", { textContent: words.filter(Boolean).join(" · ") }), table(note));
    }));
  }
  function choose() {
    const set = sets[at("set").value];
    at("case").replaceChildren(...set.cases.map((each, i) => make("option", {
      value: i, textContent: `case ${each.number}${each.id ? ` (${each.id})` : ""}: ${first(each.notes, by(set)).best ? "best note chosen" : "another note chosen"}`,
    })));
    show();
  }
  at("set").replaceChildren(...sets.map((each, i) => make("option", { value: i, textContent: each.title })));
  at("set").closest("label").hidden = sets.length < 2;
  at("set").addEventListener("change", choose);
  at("case").addEventListener("change", show);
  at("order").addEventListener("change", show);
  at("notes").hidden = false;
  choose();
})();
