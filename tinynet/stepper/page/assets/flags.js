// How large gradients are along the walk, and which of them call for a flag: NaN or infinite ones,
// and those that vanish or explode on their way back. Where the first NaN or infinity is made is
// said at the top, and marked in the graph.
const flags = (() => {
  const { nodes, steps } = data;
  const FACTOR = 1000; // smaller or larger than the first gradient by this much

  /** The largest finite |x| of a whole tensor, though only a corner of it may be here. */
  function largest(sample) {
    if (!sample) return undefined;
    const ends = sample.min === undefined ? sample.v : [sample.min, sample.max];
    const sizes = ends.map((x) => Math.abs(Number(x))).filter(Number.isFinite);
    return sizes.length ? Math.max(...sizes) : undefined;
  }

  const odd = (sample) => (sample && ((sample.nan || 0) + (sample.inf || 0))) || 0;
  let sizeOf, start, verdicts, top, firstValue, firstStep; // of the numbers that the page shows now

  /** To be called when the page shows other numbers. */
  function measure() {
    sizeOf = nodes.map((node) => largest(node.grad));
    start = sizeOf[compared];
    verdicts = nodes.map((_, number) => judge(number));
    // Of what is shown in one colour scale, so that a colour means the same at every step.
    const sharing = (node) => node.shape.length && node.kind !== "parameter";
    top = nodes.reduce((most, n, i) => Math.max(most, (sharing(n) && sizeOf[i]) || 0), 0);
    // Made from finite numbers, as Trace.first_not_finite has it.
    firstValue = nodes.find(
      (node) => odd(node.value) && !node.inputs.some((i) => odd(nodes[i]?.value)),
    );
    const bad = steps.filter(({ node, gifts }) =>
      gifts.some((gift, i) => gift && odd(gift.grad || nodes[nodes[node].inputs[i]].grad)),
    );
    const made = bad.find(({ node }) => !odd(nodes[node].grad)) || bad[0];
    firstStep = made && nodes[made.node];
  }

  /** What the card of a node says if the first NaN or infinity came about there, or null. */
  function first(number) {
    if (firstValue?.number === number) return "first NaN or infinity";
    return firstStep?.number === number ? "first NaN or infinity of a gradient" : null;
  }

  function sayFirst() {
    const jump = (frame) => dom.button(`step ${frame}`, () => state.go(frame), { class: "jump" });
    const place = (node) => `${data.title(node)}${node.path ? ` in ${node.path}` : ""}`;
    dom.get("first-bad").hidden = !firstValue && !firstStep;
    dom.get("first-bad").replaceChildren(
      ...(firstValue
        ? [
            `NaN or infinity in the values: first ${firstValue.isOp ? "made" : "given"} in ` +
              `${place(firstValue)}, `,
            jump(timeline.valueAt[firstValue.number]),
            ". ",
          ]
        : []),
      ...(firstStep
        ? [
            `In the gradients: first made by the backward of ${place(firstStep)}, `,
            jump(timeline.ranAt.get(firstStep.number)),
            ".",
          ]
        : []),
    );
  }

  // Compared with: the first gradient on the way back that is not a single number; in a graph of
  // single numbers, that of the loss. A weight's gradient is a sum over images and places, so it
  // is not compared: it may well be larger or smaller than what flows.
  const compared = firstOne();

  function firstOne() {
    for (const step of steps) {
      for (const [i, gift] of step.gifts.entries()) {
        const target = nodes[nodes[step.node].inputs[i]];
        if (gift && target.shape.length && target.isOp) return target.number;
      }
    }
    return data.loss;
  }

  const KINDS = {
    value: "Not a finite number",
    gradient: "NaN or infinite gradient",
    vanishing: "Vanishing",
    exploding: "Exploding",
  };

  function judge(number) {
    const node = nodes[number];
    if (odd(node.grad)) return "gradient";
    const size = sizeOf[number];
    if (!node.grad || node.kind === "parameter" || !start || size === undefined) return null;
    if (size * FACTOR < start) return "vanishing";
    return size > start * FACTOR ? "exploding" : null;
  }

  /** The flag of a node at a frame, {kind, words}, or null. Nothing is told before its step. */
  function of(number, frame) {
    const node = nodes[number];
    const status = timeline.status(number, frame);
    if (status.state === "complete" && verdicts[number] && !state.hides(number)) {
      const kind = verdicts[number];
      return { kind, words: kind === "gradient" ? count(node.grad) : kind };
    }
    return status.value && odd(node.value) ? { kind: "value", words: count(node.value) } : null;
  }

  const count = ({ nan, inf }) =>
    [nan && `${data.count(nan)} NaN`, inf && `${data.count(inf)} Inf`].filter(Boolean).join(", ");

  /** The nodes of each kind that are known at a frame, the first to come about first. */
  function known(frame) {
    const found = { value: [], gradient: [], vanishing: [], exploding: [] };
    for (const node of nodes) {
      if (odd(node.value) && frame >= timeline.valueAt[node.number]) found.value.push(node.number);
    }
    for (const { number } of nodes) {
      const kind = verdicts[number];
      if (kind && timeline.completeAt(number) <= frame && !state.hides(number)) {
        found[kind].push(number);
      }
    }
    for (const kind of ["gradient", "vanishing", "exploding"]) {
      found[kind].sort((a, b) => timeline.completeAt(a) - timeline.completeAt(b));
    }
    return found;
  }

  const name = (number) => data.called(nodes[number]);

  function sentence(kind, list) {
    const [one] = list;
    const more = list.length > 1 ? ` (and ${data.count(list.length - 1)} more)` : "";
    if (kind === "value") return `${count(nodes[one].value)} in ${name(one)}${more}.`;
    if (kind === "gradient") {
      return `${count(nodes[one].grad)} in the gradient of ${name(one)}${more}.`;
    }
    const factor = kind === "vanishing" ? `under 1/${FACTOR} of` : `over ${FACTOR} times`;
    return (
      `max|g| of ${name(one)} is ${data.format(sizeOf[one], 3)}, ${factor} the ` +
      `${data.format(start, 3)} that the way back began with${more}.`
    );
  }

  const pennant = () => dom.svg("path", { class: "pennant", d: "M0 14V0L11 4 1.5 8V14Z" });

  function draw() {
    sayFirst();
    const place = dom.get("flags");
    const found = Object.entries(known(state.frame)).filter(([, list]) => list.length);
    place.hidden = !found.length;
    place.replaceChildren(
      ...found.map(([kind, list]) =>
        dom.make(
          "p",
          { class: `flag ${kind}` },
          dom.svg("svg", { width: 12, height: 14, "aria-hidden": "true" }, pennant()),
          dom.make("b", null, `${KINDS[kind]}: `),
          `${sentence(kind, list)} `,
          state.selected !== list[0] &&
            dom.button("Show", () => state.select(list[0]), { class: "jump" }),
        ),
      ),
    );
  }

  measure();
  return {
    ...{ of, first, draw, measure, pennant, odd },
    get top() {
      return top;
    },
    get sizeOf() {
      return sizeOf;
    },
  };
})();
