// The chain rule in numbers: what one op sends to one element of one input, term by term; and
// the gradient of a node put together and checked by a finite difference.
const chain = (() => {
  const { make } = dom;
  const { nodes, steps } = data;
  const inputChosen = new Map(); // op number -> which of its inputs is shown

  const jump = (frame, text) => dom.button(text, () => state.go(frame), { class: "jump" });

  /** The elements of a node that can be chosen, as a list to choose from. */
  function elementChoice(target, name) {
    const list = target.elements;
    if (list.length < 2) return null;
    const all = list.length === data.size(target.shape);
    return make(
      "div",
      { class: "choices" },
      dom.choice(
        `Element of ${name}`,
        list.map((e) => `${name}${data.index(e.at)}`),
        state.rank(target.number),
        (rank) => state.choose(target.number, rank),
      ),
      make(
        "p",
        { class: "fine" },
        all
          ? "Every element can be chosen."
          : `Worked out for ${list.length} of ${data.count(data.size(target.shape))} ` +
              "elements: the largest and the smallest gradient and some others.",
      ),
    );
  }

  /** What the selected op sends back: for one input and one element. */
  function sent(op) {
    const ran = timeline.ranAt.get(op.number);
    if (ran === undefined) return make("p", null, "No gradient reaches this op.");
    const step = steps[timeline.frames[ran].step];
    const inputs = step.gifts.map((gift, i) => (gift ? i : -1)).filter((i) => i >= 0);
    if (!inputs.length) return make("p", null, "None of its inputs requires a gradient.");
    if (!inputs.includes(inputChosen.get(op.number))) inputChosen.set(op.number, firstSent(inputs));
    const i = inputChosen.get(op.number);
    const tabs =
      inputs.length > 1 &&
      make(
        "div",
        { class: "tabs", role: "group", "aria-label": "Gradient to which input" },
        inputs.map((j) =>
          dom.button(
            `to ${op.text.names[j]}${alias(op, j)}`,
            () => {
              inputChosen.set(op.number, j);
              state.changed("element");
            },
            { "aria-pressed": String(i === j) },
          ),
        ),
      );
    const arrival = timeline.arrivals[op.inputs[i]].find(
      (a) => a.input === i && timeline.frames[a.frame].node === op.number,
    );
    return [
      tabs,
      elementChoice(nodes[op.inputs[i]], op.text.names[i]),
      state.frame >= arrival.frame
        ? sum(op, step, i, arrival)
        : make(
            "p",
            { class: "unknown" },
            "Not known yet. ",
            jump(arrival.frame, `Go to step ${arrival.frame}, where it is sent`),
          ),
    ];
  }

  /** The user's own name of an input, where it differs from the op's. */
  function alias(op, i) {
    const input = nodes[op.inputs[i]];
    const name = input.isOp ? input.label : input.name.split(".").pop();
    return name && name !== op.text.names[i] ? ` (here ${name})` : "";
  }

  function firstSent(inputs) {
    const frame = timeline.frames[state.frame];
    const now = frame.sent && frame.sent.find((i) => inputs.includes(i));
    return now === undefined ? inputs[0] : now;
  }

  function sum(op, step, i, arrival) {
    const target = nodes[op.inputs[i]];
    const rank = state.rank(target.number);
    const element = step.gifts[i].elements[rank];
    const at = target.elements[rank].at;
    const [x, gx] = [
      `${op.text.names[i]}${data.index(at)}`,
      `g${op.text.names[i]}${data.index(at)}`,
    ];
    const secret = state.hides(target.number);
    const result = secret ? "?" : data.format(element.g, 6);
    if (!element.terms) {
      return make(
        "p",
        { class: "sum" },
        make("b", null, `${gx} = ${result}`),
        make(
          "span",
          { class: "fine" },
          data.recorded
            ? " Its terms are not worked out: the graph is large."
            : " No terms: the values of this graph were not recorded.",
        ),
      );
    }
    const rest = element.count - element.terms.length;
    const shown = element.terms.reduce((s, [, gy, slope]) => s + Number(gy) * Number(slope), 0);
    const rows = element.terms.map(([k, gy, slope]) => [
      `y${data.index(k)}`,
      data.format(gy, 6),
      data.format(slope, 6),
      secret ? "?" : data.format(Number(gy) * Number(slope), 6),
    ]);
    if (rest > 0) {
      rows.push([
        `${data.count(rest)} more`,
        "",
        "",
        secret ? "?" : data.format(Number(element.g) - shown, 6),
      ]);
    }
    return [
      make(
        "p",
        { class: "fine" },
        element.count
          ? `${x} reaches ${data.plural(element.count, "element")} of y. Each sends back ` +
              `its gradient gy times the slope of y there (dy/d${op.text.names[i]}); ${x} ` +
              "gets the sum."
          : Number(element.g)
            ? `What ${x} does to y is lost in the rounding of y, so the terms cannot be told apart.`
            : `${x} reaches no element of y: a small change of it changes nothing.`,
      ),
      rows.length
        ? make(
            "div",
            { class: "scroll" },
            dom.table(["of y", "gy", "slope", "gy · slope"], rows, { class: "terms" }),
          )
        : null,
      make(
        "p",
        { class: "sum", "data-value": secret ? "?" : element.g },
        make("b", null, `${gx} = ${result}`),
        contribution(target, arrival),
      ),
    ];
  }

  function contribution(target, arrival) {
    const list = timeline.arrivals[target.number];
    if (list.length < 2) return null;
    return make(
      "span",
      { class: "fine" },
      ` This is contribution ${list.indexOf(arrival) + 1} of ${list.length} to the ` +
        `gradient of ${data.called(target)}.`,
    );
  }

  /** The gradient of a node itself: complete, partial or not known yet; its check. */
  function own(node) {
    const status = timeline.status(node.number, state.frame);
    if (!status.of) {
      return make(
        "p",
        null,
        node.kind === "constant"
          ? "A constant: it requires no gradient."
          : "No gradient reaches this node.",
      );
    }
    const end = timeline.completeAt(node.number);
    if (!status.got) {
      return make(
        "p",
        { class: "unknown" },
        "Not known yet: the backward phase has not reached it. ",
        jump(end, `Go to step ${end}, where it is complete`),
      );
    }
    if (state.hides(node.number)) return make("p", { class: "unknown" }, "Asked in the quiz.");
    const rank = state.rank(node.number);
    const known = timeline.gradient(node.number, state.frame).elements[rank];
    const element = node.elements[rank];
    const shown = node.isOp ? node.label || "y" : data.shortName(node);
    const name = `${shown}${data.index(element.at)}`;
    return [
      elementChoice(node, shown),
      make(
        "p",
        { class: "sum", "data-value": known },
        make("b", null, `d loss / d ${name} = ${data.format(known, 6)}`),
        status.state === "partial"
          ? make(
              "span",
              { class: "fine" },
              ` so far: ${status.got} of ${status.of} contributions have arrived. `,
            )
          : null,
        status.state === "partial" ? jump(end, `Go to step ${end}, where it is complete`) : null,
      ),
      contributions(node, rank, status.got),
      status.state === "complete" && check(element),
    ];
  }

  function contributions(node, rank, got) {
    const list = timeline.arrivals[node.number];
    if (list.length < 2 || list.length > 40) return null;
    const rows = list.map((arrival, k) => {
      const gift = arrival.step === null ? null : steps[arrival.step].gifts[arrival.input];
      const from = gift ? nodes[steps[arrival.step].node] : null;
      const value = gift ? gift.elements[rank].g : node.elements[rank].g;
      return [
        `${k + 1} of ${list.length}`,
        from ? `${data.title(from)}, as ${from.text.names[arrival.input]}` : "the start",
        k < got ? data.format(value, 6) : "not known yet",
      ];
    });
    return dom.table(["", "from", "contribution"], rows, { class: "terms" });
  }

  function check(element) {
    if (element.fd === undefined) {
      return make(
        "p",
        { class: "fine" },
        data.recorded ? "No finite difference for this element: the graph is large." : null,
      );
    }
    const error = Number(element.error);
    const apart = Math.abs(element.g - element.fd);
    const verdict = !(error < 1e-3) && !(apart < 1e-6);
    const near = !(error < 1e-3) && !verdict; // both next to 0
    return make(
      "p",
      { class: `check ${verdict ? "odd" : "good"}` },
      make("span", { class: "tick", "aria-hidden": "true" }, verdict ? "≠" : "✓"),
      make(
        "span",
        null,
        "Checked by a finite difference (float64): ",
        make("b", { "data-fd": element.fd }, data.format(element.fd, 6)),
        near ? `, ${data.format(apart, 2)} apart.` : `, relative error ${data.format(error, 2)}.`,
        verdict ? ` They differ. ${reason(element)}` : "",
      ),
    );
  }

  function reason({ sides }) {
    if (!sides) return "Near NaN or huge values a finite difference is rough.";
    const [left, right] = sides.map((side) => data.format(side, 4));
    return (
      `To the left the slope is ${left}, to the right ${right}: at such a kink there is no ` +
      "derivative, and the op takes one of the slopes."
    );
  }

  return { sent, own };
})();
