// Speaker notes: N shows them below the text; W opens a window for the lecturer's own screen, which
// follows the page and steps it, while the page itself goes to the projector.
const notes = (() => {
  const { make } = dom;
  let on = false;
  let other = null; // the second window

  const shown = () => on;
  const note = (frame) => guide.told(frame).note;

  function toggle() {
    on = !on;
    guide.draw();
    dom.get("notes-toggle").focus();
  }

  function here(frame) {
    return make(
      "aside",
      { class: "note", "aria-label": "Speaker notes" },
      make("p", null, guide.words(note(frame) || "There is no note for this step.")),
      dom.button("In a second window", open, { class: "quiet" }),
    );
  }

  function open() {
    other = window.open("", "tinynet-notes", "width=760,height=560");
    if (other === null) {
      dom.get("notice").hidden = false;
      dom.get("notice").textContent =
        "The browser has blocked the window with the notes; allow pop-ups for this page.";
      return;
    }
    other.document.title = `Notes: ${data.heading}`;
    other.document.head.replaceChildren(document.querySelector("style").cloneNode(true));
    other.document.body.className = "speaker";
    other.document.addEventListener("keydown", (event) => {
      const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (move) state.go(state.frame + move);
    });
    follow();
  }

  /** The second window shows what the page shows: this step, its note, and what comes next. */
  function follow() {
    if (other === null || other.closed) return;
    const frame = state.frame;
    const next = frame < guide.last ? frame + 1 : null;
    const ask = next !== null && guide.told(next).ask;
    const part = (title, text) =>
      text && [make("h2", null, title), make("p", null, guide.words(text))];
    other.document.body.replaceChildren(
      make("p", { class: "fine" }, `${data.heading} · step ${frame} of ${guide.last}`),
      ...[
        part("Now", guide.text(frame)),
        part("Note", note(frame)),
        ask && part("Ask", `${ask.question} The answer: ${data.format(ask.answer, 4)}.`),
        next === null
          ? part("To keep", guide.summary())
          : part("Next", guide.text(next)),
      ]
        .flat()
        .filter(Boolean),
      make(
        "div",
        { class: "row" },
        dom.button("Back", () => state.go(frame - 1), { disabled: frame === 0 }),
        dom.button("Step", () => state.go(frame + 1), { disabled: next === null, class: "main" }),
      ),
    );
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !guide.lesson) return;
    if (event.target.closest("input, select, textarea, dialog")) return;
    if (event.key === "n" || event.key === "N") toggle();
    if (event.key === "w" || event.key === "W") open();
  });

  return { shown, toggle, here, open, follow };
})();
