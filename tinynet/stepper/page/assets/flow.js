// What came into a node and what goes out, as pictures side by side: forward the inputs and the
// value, backward the incoming gradient and those that are sent on.
const flow = (() => {
  const { make, get } = dom;
  const { nodes, steps } = data;
  const own = state.flag("scale"); // each gradient has a colour scale of its own

  const inputName = (op, i) => op.text.names[i];
  const gradientName = (op, i) => nodes[op.inputs[i]].gradient;

  /** What an op does forward, or a leaf's value and gradient. */
  const values = (node) => (node.isOp ? forward(node) : leaf(node));
  /** Whether there is a gradient whose way through the op can be shown. */
  const back = (node) => node.isOp && timeline.status(node.number, state.frame).got > 0;

  /** from, to: lists of pictures, each a function that draws itself into a side. */
  function sides(from, to, word, phase) {
    const side = {
      room: Math.max(110, (get("panel").clientWidth - 76) / 2),
      readout: make("output", { class: "readout" }),
      notes: new Set(),
    };
    const draw = (one) => one(side);
    return [
      make(
        "div",
        { class: `flow ${phase}` },
        make("div", { class: "side" }, from.map(draw)),
        make("span", { class: "arrow", role: "img", "aria-label": word }, "→"),
        make("div", { class: "side" }, to.map(draw)),
      ),
      make("p", { class: "fine scale" }, side.readout, phase === "backward" && flags.top > 0 && scale()),
      [...side.notes].map((text) => make("p", { class: "fine detail" }, text)),
    ];
  }

  /** A picture with its caption, or tabs(caption) instead; `lack` says why there is none. */
  function picture(node, caption, sample, lack, gradient, tabs) {
    return (side) =>
      make(
        "div",
        { class: "tensor" },
        tabs
          ? tabs(caption)
          : make("h3", null, caption, lack ? null : range(sample)),
        lack
          ? make("p", { class: "unknown" }, lack)
          : node.shape.length
            ? map(node, caption, sample, gradient, side)
            : make("p", { class: "big" }, data.format(Number(sample.v[0]))),
      );
  }

  const range = ({ min, max }) =>
    min !== undefined &&
    make("span", { class: "fine detail" }, ` ${data.format(min, 3)} to ${data.format(max, 3)}`);

  function map(node, caption, sample, gradient, { room, readout, notes }) {
    const marks = node.elements.map((e) => e.at);
    const choice = marks.length > 1;
    const shared = gradient && !own.on && node.kind !== "parameter";
    notes.add(data.sampled(sample, node.shape));
    notes.delete("");
    return heatmap.draw({
      sample,
      sizes: node.shape,
      name: caption,
      marks,
      chosen: choice ? state.rank(node.number) : -1,
      onchoose: choice ? (rank) => state.choose(node.number, rank) : null,
      id: `${node.number}.${gradient ? 1 : 0}`,
      top: shared ? flags.top : heatmap.largest(sample),
      power: shared ? 0.5 : 0.8,
      room,
      most: sample.box.at(-2) > 3 && sample.box.length > 2 ? 2 : 4, // one row of large planes, two of small
      readout,
      edit: !gradient && edits.can(node) ? node.number : undefined,
    });
  }

  /** Pictures of an op's inputs: the small ones, and of the large ones the chosen one. */
  function some(op, inputs, draw, named) {
    const large = inputs.filter((i) => nodes[op.inputs[i]].shape.length > 1);
    const chosen = state.inputs.get(op.number);
    const now = timeline.frames[state.frame];
    const usual = now.node === op.number && now.sent?.find((i) => large.includes(i));
    const shown = [chosen, usual, large[0]].find((i) => large.includes(i));
    const tabs = (caption) =>
      make(
        "div",
        { class: "tabs", role: "group", "aria-label": "Which input" },
        large.map((i) =>
          dom.button(
            i === shown ? caption : named(op, i),
            () => {
              state.inputs.set(op.number, i);
              state.changed("element");
            },
            { "aria-pressed": String(i === shown) },
          ),
        ),
      );
    return inputs
      .filter((i) => !large.includes(i) || i === shown)
      .map((i) => draw(i, large.length > 1 && i === shown ? tabs : null));
  }

  function value(node, caption, tabs) {
    const known = timeline.status(node.number, state.frame).value;
    const lack = !known ? "Not known yet." : node.value ? null : "Not recorded.";
    return picture(node, caption, node.value, lack, false, tabs);
  }

  function forward(op) {
    const there = op.inputs.map((n, i) => (n === null ? -1 : i)).filter((i) => i >= 0);
    const draw = (i, tabs) => value(nodes[op.inputs[i]], inputName(op, i), tabs);
    const inputs = some(op, there, draw, inputName);
    const known = timeline.status(op.number, state.frame).value;
    return [
      sides(inputs, [value(op, op.symbol)], "goes forward, giving", "forward"),
      known && op.clip ? clipped.bar(op) : null,
    ];
  }

  function leaf(node) {
    const status = timeline.status(node.number, state.frame);
    const gradient = gradientOf(node, node.gradient, status);
    return sides([value(node, node.symbol)], [gradient], "has", "backward");
  }

  function gradientOf(node, caption, status) {
    const lack = !status.of
      ? "It gets no gradient."
      : !status.got
        ? "Not known yet."
        : state.hides(node.number)
          ? "Asked in the quiz."
          : null;
    const part = status.state === "partial" ? ` (${status.got} of ${status.of} so far)` : "";
    const sum = timeline.gradient(node.number, state.frame);
    return picture(node, caption + part, sum && sum.sample, lack, true);
  }

  function backward(op) {
    const status = timeline.status(op.number, state.frame);
    const came = gradientOf(op, op.gradient, status);
    const ran = timeline.ranAt.get(op.number);
    const gifts = ran === undefined ? [] : steps[timeline.frames[ran].step].gifts;
    const sent = gifts.map((gift, i) => (gift ? i : -1)).filter((i) => i >= 0);
    const nothing = () => make("p", { class: "fine" }, "No gradient goes on.");
    return sides(
      [came],
      sent.length ? some(op, sent, (i, tabs) => goes(op, i, gifts[i], tabs), gradientName) : [nothing],
      "goes back, giving",
      "backward",
    );
  }

  function goes(op, i, gift, tabs) {
    const target = nodes[op.inputs[i]];
    const list = timeline.arrivals[target.number];
    const k = list.findIndex((a) => a.input === i && timeline.frames[a.frame].node === op.number);
    const part = list.length > 1 ? ` (${k + 1} of ${list.length})` : "";
    const lack =
      list[k].frame > state.frame
        ? `Not known yet: sent at step ${list[k].frame}.`
        : state.hides(target.number)
          ? "Asked in the quiz."
          : null;
    const caption = `${target.gradient}${part}`;
    return picture(target, caption, gift.grad || target.grad, lack, true, tabs);
  }

  /** What the colours mean, and the way to the other scale. */
  function scale() {
    const all = `one colour scale for all steps: full at ±${data.format(flags.top, 3)}`;
    return make(
      "span",
      { class: "detail", title: "A parameter's gradient always has a scale of its own." },
      own.on ? "each has its own colour scale " : `${all} `,
      dom.button(
        own.on ? "share one" : "own scales",
        () => {
          own.on = !own.on;
          state.changed("element");
        },
        { class: "jump", id: "own-scale" },
      ),
    );
  }

  return { values, back, gradients: backward };
})();
