// The chain rule in numbers: what one op sends to one element of one input, term by term; and
// the gradient of a node put together and checked by a finite difference.
const chain = (() => {
  const { make } = dom;
  const { nodes, steps } = data;

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
    const chosen = state.inputs.get(op.number);
    const i = inputs.includes(chosen) ? chosen : firstSent(inputs);
    const tabs =
      inputs.length > 1 &&
      make(
        "div",
        { class: "tabs", role: "group", "aria-label": "Gradient to which input" },
        inputs.map((j) =>
          dom.button(
            `to ${op.text.names[j]}${data.use(op, j)}`,
            () => {
              state.inputs.set(op.number, j);
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
    const x = `${target.symbol}${data.index(at)}`;
    const gx = `${target.gradient}${data.index(at)} ${data.gives(op, i)}`;
    const secret = state.hides(target.number);
    const result = secret ? "?" : data.format(element.g, 6);
    if (!element.terms) {
      return make(
        "p",
        { class: "sum" },
        make("b", null, `${gx} ${result}`),
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
      `${op.symbol}${data.index(k)}`,
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
          ? `A small change of ${x} moves ${data.plural(element.count, "element")} of ` +
              `${op.symbol}. Each sends back its gradient (${op.gradient}) times the slope there ` +
              `(d${op.symbol}/d${target.symbol}); ${x} gets the sum.`
          : Number(element.g)
            ? `What ${x} does to ${op.symbol} is lost in the rounding of ${op.symbol}, so the ` +
              "terms cannot be told apart."
            : `A small change of ${x} moves no element of ${op.symbol}.`,
      ),
      rows.length
        ? make(
            "div",
            { class: "scroll" },
            dom.table(
              [`of ${op.symbol}`, op.gradient, "slope", `${op.gradient} · slope`],
              rows,
              { class: "terms" },
            ),
          )
        : null,
      make(
        "p",
        { class: "sum", "data-value": secret ? "?" : element.g },
        make("b", null, `${gx} ${result}`),
        data.use(op, i),
        contribution(target, arrival, rank),
      ),
    ];
  }

  function contribution(target, arrival, rank) {
    const list = timeline.arrivals[target.number];
    if (list.length < 2) return null;
    const k = list.indexOf(arrival) + 1;
    const whole = k === list.length ? "in all" : "so far";
    const total = steps[arrival.step].gifts[arrival.input].elements[rank].sum;
    return make(
      "span",
      { class: "fine" },
      ` Contribution ${k} of ${list.length}; ${whole} ${target.gradient} = ` +
        `${state.hides(target.number) ? "?" : data.format(total, 6)}.`,
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
    const shown = node.symbol;
    const name = `${shown}${data.index(element.at)}`;
    return [
      elementChoice(node, shown),
      make(
        "p",
        { class: "sum", "data-value": known },
        make(
          "b",
          null,
          `${node.gradient}${data.index(element.at)} = d ${nodes[data.loss].symbol} / d ${name}` +
            ` = ${data.format(known, 6)}`,
        ),
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
        from ? `${data.title(from)}${data.use(from, arrival.input)}` : "the start",
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
    const verdict = element.verdict || "agrees";
    const [kind, sign] = { agrees: ["good", "✓"], rounding: ["unsure", "≈"] }[verdict] || ["odd", "≠"];
    return make(
      "p",
      { class: `check ${kind}` },
      make("span", { class: "tick", "aria-hidden": "true" }, sign),
      make(
        "span",
        null,
        "Finite difference (float64): ",
        make("b", { "data-fd": element.fd }, data.format(element.fd, 6)),
        verdict === "nan" ? "." : `, relative error ${data.format(element.error, 2)}.`,
        verdict === "agrees" ? " It agrees." : ` ${SAYS[verdict]}: ${element.reason}.`,
      ),
    );
  }

  const SAYS = {
    rounding: "Too small to be checked",
    kink: "It differs",
    rounded: "It differs",
    nan: "No check",
    wrong: "It differs",
  };

  return { sent, own };
})();
