// The quiz: one element of a gradient is hidden, the reader works it out and types it.
const quiz = (() => {
  const { make, get } = dom;
  const { nodes, steps } = data;
  let on = false,
    solved = false;

  /** Right if within 1 %, or the same when rounded to two digits. Exact for 0. */
  function right(answer, truth) {
    if (!Number.isFinite(truth)) return Object.is(answer, truth);
    if (truth === 0) return Math.abs(answer) < 1e-9;
    if (Math.abs(answer - truth) <= 0.01 * Math.abs(truth)) return true;
    return Number(answer.toPrecision(2)) === Number(truth.toPrecision(2));
  }

  /** '0.5', '-1e-3', '0,5' or '1/3' as a number; NaN if it is not one. */
  function parse(text) {
    const parts = text.trim().replace(",", ".").replace("−", "-").split("/");
    if (parts.length > 2 || parts.some((part) => part.trim() === "")) return NaN;
    return parts.length === 2 ? Number(parts[0]) / Number(parts[1]) : Number(parts[0]);
  }

  /** What to ask at a frame: of what the step sends, the element with the fewest terms, not 0. */
  function question(frame) {
    if (frame.phase !== "backward") return null;
    let best = null;
    for (const input of frame.sent) {
      const node = nodes[frame.node].inputs[input];
      steps[frame.step].gifts[input].elements.forEach((element, rank) => {
        if (!Number.isFinite(Number(element.g))) return;
        const cost =
          (element.count === undefined ? 1000 : element.count) +
          (Number(element.g) === 0 ? 500 : 0) +
          (rank === state.rank(node) ? -0.5 : 0);
        if (!best || cost < best.cost) {
          best = { cost, node, step: frame.step, input, rank, truth: Number(element.g) };
        }
      });
    }
    return best;
  }

  function toggle() {
    on = !on;
    get("quiz-toggle").setAttribute("aria-pressed", String(on));
    ask();
  }

  /** A new question for the frame, or none. */
  function ask() {
    const asked = on ? question(timeline.frames[state.frame]) : null;
    solved = false;
    get("quiz").hidden = !on;
    if (asked) state.choose(asked.node, asked.rank);
    state.hide(asked);
    if (on) get("quiz").replaceChildren(asked ? form(asked) : nothing());
  }

  function nothing() {
    const ran = timeline.frames.findIndex(
      (f, i) => i > state.frame && f.phase === "backward" && question(f),
    );
    return make(
      "div",
      null,
      make("h2", null, "Quiz"),
      make(
        "p",
        null,
        ran < 0
          ? "There is nothing to ask from here on; go back a few steps."
          : "A question comes with every step of the backward phase. ",
      ),
      ran >= 0 && dom.button("Go to the next question", () => state.go(ran), { class: "main" }),
    );
  }

  function form(asked) {
    const op = nodes[timeline.frames[state.frame].node];
    const target = nodes[asked.node];
    const at = data.index(target.elements[asked.rank].at);
    const answer = make("input", {
      id: "answer",
      type: "text",
      inputmode: "text",
      autocomplete: "off",
      "aria-describedby": "verdict",
    });
    const verdict = make("p", { id: "verdict", role: "status", "aria-live": "polite" });
    const finish = (text, kind) => {
      solved = true;
      verdict.className = kind;
      verdict.textContent = text;
      state.hide(null);
    };
    const judge = (event) => {
      event.preventDefault();
      if (solved) return;
      const given = parse(answer.value);
      if (Number.isNaN(given))
        verdict.textContent = "Please type a number, such as 0.25, -1e-3 or 1/3.";
      else if (right(given, asked.truth)) {
        finish(`Right: it is ${data.format(asked.truth, 6)}.`, "good");
        return;
      } else {
        verdict.textContent =
          `Not right: ${data.format(given)} is too ` +
          `${given > asked.truth ? "high" : "low"}. Try again.`;
      }
      verdict.className = "bad";
    };
    return make(
      "form",
      { onsubmit: judge },
      make("h2", null, "Quiz"),
      make(
        "label",
        { for: "answer" },
        `${op.name} sends a gradient to ${data.called(target)}. What is ` +
          `g${op.text.names[asked.input]}${at}?`,
      ),
      make(
        "div",
        { class: "row" },
        answer,
        make("button", { type: "submit", class: "main" }, "Check"),
        dom.button(
          "Reveal",
          () => solved || finish(`It is ${data.format(asked.truth, 6)}.`, "shown"),
        ),
      ),
      verdict,
      make(
        "p",
        { class: "fine" },
        "The rule, the incoming gradients gy and the slopes are below. Within 1 %, or " +
          "right to two digits, counts.",
      ),
    );
  }

  get("quiz-toggle").addEventListener("click", toggle);
  return { ask: () => on && ask(), right, parse };
})();
