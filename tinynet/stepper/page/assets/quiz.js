// The quiz: one element of a gradient is hidden, the reader works it out and types it.
const quiz = (() => {
  const { make, get } = dom;
  const { nodes, steps } = data;
  const asks = state.flag("quiz", (on) => {
    get("quiz-toggle").setAttribute("aria-pressed", String(on));
    get("quiz").hidden = !on;
    if (!on) state.secret = null;
  });
  let solved = false;

  /** Right if within 1 %, or to two digits, either way where the third is a 5. `zero`: the size
   * below which the truth is 0 but for rounding. */
  function right(answer, truth, zero = 1e-9) {
    if (!Number.isFinite(truth)) return Object.is(answer, truth);
    if (Math.abs(truth) <= zero) return Math.abs(answer) <= zero;
    const apart = Math.abs(answer - truth);
    const digit = 10 ** (Math.floor(Math.log10(Math.abs(truth))) - 1); // the second one's place
    return apart <= 0.01 * Math.abs(truth) || apart <= 0.5 * digit * (1 + 1e-9);
  }

  /** What a reader may mean by '0.5', '-1e-3', '0,5', '1/3' or 'gb = 2': numbers, for '1,517' is
   * one thousand in English and one and a half elsewhere. None if it is not a number. */
  function parse(text) {
    const plain = text.replaceAll("−", "-").replace(/^[^=]*=/, "").trim();
    const thousands = /^-?\d{1,3}(,\d{3})+(\.\d*)?$/.test(plain);
    const readings = [plain.replace(",", "."), ...(thousands ? [plain.replaceAll(",", "")] : [])];
    return readings.map(one).filter((number) => !Number.isNaN(number));
  }

  function one(text) {
    const parts = text.split("/");
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
          const sizes = (element.terms || []).map(([, gy, slope]) => Math.abs(gy * slope));
          const [truth, zero] = [Number(element.g), 1e-12 * Math.max(0, ...sizes)];
          const whole = Number(element.sum);
          best = { cost, node, step: frame.step, input, rank, truth, zero, whole };
        }
      });
    }
    return best;
  }

  function toggle() {
    asks.on = !asks.on;
    get("quiz-toggle").setAttribute("aria-pressed", String(asks.on));
    ask();
  }

  /** A new question for the frame, or none. */
  function ask() {
    const asked = asks.on ? question(timeline.frames[state.frame]) : null;
    solved = false;
    get("quiz").hidden = !asks.on;
    if (asked) state.choose(asked.node, asked.rank);
    state.hide(asked);
    if (asks.on) get("quiz").replaceChildren(asked ? form(asked) : nothing());
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
    const many = data.gives(op, asked.input) === "+=";
    const judge = (event) => {
      event.preventDefault();
      if (solved) return;
      const given = parse(answer.value);
      const isRight = (truth) => given.some((number) => right(number, truth, asked.zero));
      if (!given.length)
        verdict.textContent = "Please type a number, such as 0.25, -1e-3 or 1/3.";
      else if (isRight(asked.truth)) {
        finish(`Right: it is ${data.format(asked.truth, 6)}.`, "good");
        return;
      } else if (many && isRight(asked.whole)) {
        verdict.textContent =
          `That is ${target.gradient}${at} so far, with what came before. How much does this step ` +
          "alone add to it?";
      } else {
        verdict.textContent =
          `Not right: ${data.format(given[0])} is too ` +
          `${given[0] > asked.truth ? "high" : "low"}. Try again.`;
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
        many
          ? `${data.title(op)} adds to the gradient of ${target.symbol}${data.use(op, asked.input)}. ` +
              `How much does this step alone add to ${target.gradient}${at}?`
          : `${data.title(op)} sends the gradient of ${target.symbol}. What is ` +
              `${target.gradient}${at}?`,
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
        `The rule, the incoming gradient ${op.gradient} and the slopes are below. Within 1 %, ` +
          "or right to two digits, counts.",
      ),
    );
  }

  get("quiz-toggle").addEventListener("click", toggle);
  return { ask: () => asks.on && ask(), right, parse, question };
})();
