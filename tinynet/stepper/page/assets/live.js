// Other numbers into the page: what the engine computes takes the place of what was recorded, in
// the same nodes and steps, so that every picture, table and sentence follows.
const live = (() => {
  const { nodes, steps, alive } = data;
  const TERMS = 6; // summands of an element that are shown
  const ROUNDING = 1e-3; // relative: of a difference against a derivative
  const ROUNDED = { float64: 1e-4, float32: 1e-3 }; // of the largest value, what may be lost
  const recorded = {
    nodes: nodes.map((node) => {
      const { value, grad, elements, clip, labels } = node;
      return { value, grad, elements, clip, labels };
    }),
    steps: steps.map(({ gifts, batchnorm }) => ({ gifts, batchnorm })),
  };
  let shown = null; // the point whose numbers the page shows, null for the recorded ones
  let numbers = null; // {point, values, gradients, gifts} of that point

  /** Why nothing can be changed, in a sentence; "" if all can. */
  const why = (() => {
    if (alive.why) return alive.why;
    const odd = engine.unknown(data) || differs();
    if (!odd) return "";
    return odd.isOp && !(odd.name in engine.ops)
      ? `the page cannot compute ${odd.name}.`
      : `${data.title(odd)} comes out otherwise here than it was recorded.`;
  })();

  /** The first node whose recorded value is not what the engine computes, or undefined. */
  function differs() {
    const values = engine.forward(data, engine.recorded(data));
    return nodes.find(({ value, dtype }, n) => {
      const own = inside(values[n], value.box);
      const top = own.reduce((most, x) => (Math.abs(x) > most ? Math.abs(x) : most), 0);
      return own.some((x, k) => {
        const was = Number(value.v[k]);
        if (!Number.isFinite(x) || !Number.isFinite(was)) return !Object.is(x, was);
        return Math.abs(x - was) > (ROUNDED[dtype] || 0.05) * top;
      });
    });
  }

  /** The elements of a tensor that a box at its corner holds, a list. */
  function inside({ shape, v }, box) {
    const list = [];
    v.forEach((x, k) => {
      if (tensors.index(shape, k).every((i, axis) => i < box[axis])) list.push(x);
    });
    return list;
  }

  /** A tensor as the page has them: what the box shows, and what is said of the whole. */
  function sample(tensor, box) {
    const finite = tensor.v.filter(Number.isFinite);
    const entry = { box, v: inside(tensor, box) };
    const nan = tensor.v.filter(Number.isNaN).length;
    if (finite.length < tensor.v.length) {
      entry.nan = nan;
      entry.inf = tensor.v.length - finite.length - nan;
    }
    if (entry.v.length < tensor.v.length && finite.length) {
      entry.min = finite.reduce((a, b) => Math.min(a, b));
      entry.max = finite.reduce((a, b) => Math.max(a, b));
    }
    return entry;
  }

  /** Show the numbers of a point; null: the recorded ones. */
  function show(point) {
    if (point === shown) return;
    shown = point;
    restore();
    numbers = point && put(point);
    flags.measure();
  }

  function restore() {
    nodes.forEach((node, n) => Object.assign(node, recorded.nodes[n]));
    steps.forEach((step, s) => Object.assign(step, recorded.steps[s]));
  }

  /** Of the recorded numbers the page was given a few digits, so that a sum of them would be off,
   * and no details where these were too many: both come from the engine. */
  function complete() {
    put(engine.recorded(data));
    recorded.nodes.forEach((entry, n) => {
      if (nodes[n].dtype in ROUNDED) {
        entry.value = nodes[n].value;
        if (entry.grad) entry.grad = nodes[n].grad;
      }
      entry.elements = entry.elements.map((e, r) => {
        const own = nodes[n].elements[r];
        if (!("fd" in e)) return own;
        return Object.defineProperty({ ...e }, "made", { get: () => own.made, enumerable: true });
      });
    });
    recorded.steps.forEach((entry, s) => {
      entry.gifts = entry.gifts.map((gift, i) => {
        const other = gift && steps[s].gifts[i].elements;
        const elements = gift && gift.elements.map((e, r) => ("terms" in e ? e : other[r]));
        return gift && { ...gift, elements };
      });
    });
    restore();
  }

  function put(point) {
    const values = engine.forward(data, point);
    const { gradients, gifts } = engine.backward(data, point, values);
    nodes.forEach((node, n) => {
      const { value, grad, elements, clip, labels } = recorded.nodes[n];
      node.value = sample(values[n], value.box);
      if (grad) node.grad = sample(gradients[n], grad.box);
      node.elements = elements.map(({ at }) => element(point, values, gradients, n, at));
      if (clip) node.clip = clipped(node, clip, values);
      if (labels) node.labels = targets(node, labels, point, values);
    });
    steps.forEach((step, s) => {
      const gy = gradients[step.node];
      const before = recorded.steps[s];
      step.gifts = before.gifts.map(
        (gift, i) => gift && gave(point, values, gy, step.node, i, gifts[s][i]),
      );
      if (before.batchnorm) step.batchnorm = paths(point, values, gy, step.node, before.batchnorm);
    });
    return { point, values, gradients, gifts };
  }

  const relative = (a, b) => (a === b ? 0 : Math.abs(a - b) / Math.max(Math.abs(a), Math.abs(b)));

  /** An element of a gradient; its finite difference is worked out when it is looked at. */
  function element(point, values, gradients, n, at) {
    const place = tensors.place(nodes[n].shape, at);
    const g = gradients[n].v[place];
    let two = null;
    const sides = () => (two = two || engine.slopes(data, point, values, n, place));
    return {
      at,
      g,
      get made() {
        return nodes[n].isOp ? made.of(point, values, nodes[n], at) : undefined;
      },
      get fd() {
        return (sides()[0] + sides()[1]) / 2;
      },
      get error() {
        return relative(g, this.fd);
      },
      get verdict() {
        if (this.error <= ROUNDING) return undefined;
        if (!Number.isFinite(g) || !Number.isFinite(this.fd)) return "nan";
        return relative(...sides()) > ROUNDING ? "kink" : "rounding";
      },
      get reason() {
        const [left, right] = sides().map((slope) => data.format(slope, 6));
        return {
          nan: "something here is NaN or infinite, so there is nothing to compare",
          kink:
            `slope ${left} to the left, ${right} to the right: a kink, ` +
            "where no derivative exists and the op chooses one",
          rounding: "the loss rounds, which hides so small a slope",
        }[this.verdict];
      },
    };
  }

  /** What a step sends to one input; the terms of an element when they are looked at. */
  function gave(point, values, gy, op, i, { gx, total }) {
    const target = nodes[op].inputs[i];
    const { grad, elements } = recorded.nodes[target];
    return {
      grad: sample(gx, grad.box),
      total: sample(total, grad.box),
      elements: elements.map(({ at }) => {
        const place = tensors.place(nodes[target].shape, at);
        let known = null;
        const work = () =>
          (known = known || engine.terms(data, point, values, gy, op, i, place, TERMS));
        return {
          g: gx.v[place],
          sum: total.v[place],
          get count() {
            return work().count;
          },
          get terms() {
            return work().terms;
          },
        };
      }),
    };
  }

  /** The rows of a cross-entropy that were recorded, [label or null, sum of q, [[k, p, q], ...]]. */
  function targets(node, before, point, values) {
    const x = values[node.inputs[0]];
    const o = engine.options(data, node.number, point);
    return before.map(([, , cells], r) => {
      const { p, q, label } = rows.target(x, o, r);
      const shown = cells.map(([k]) => k);
      if (label !== null && label >= 0 && label < q.length && !shown.includes(label))
        shown[shown.length - 1] = label;
      return [label, q.reduce((a, b) => a + b), shown.map((k) => [k, p[k], q[k]])];
    });
  }

  /** How many elements a clipping op holds at its floor, passes on, and holds at its ceiling. */
  function clipped(node, { low, high }, values) {
    const own = node.name === "Clip"; // its bounds themselves are live, those of ReLU are not
    const v = own ? values[node.inputs[0]].v : values[node.number].v;
    const count = (test) => v.filter(test).length;
    const below = low === null ? 0 : count((x) => x < low || (!own && x === low));
    const above = high === null ? 0 : count((x) => x > high || (!own && x === high));
    return { low, high, below, above, active: v.length - below - above - count(Number.isNaN) };
  }

  /** BatchNorm's three summands of gx, for the same elements and channels as were recorded. */
  function paths(point, values, gy, op, before) {
    const xs = nodes[op].inputs.map((i) => values[i]);
    const p = spatial.batchnormParts(gy, xs, alive.options[op]);
    const elements = recorded.nodes[nodes[op].inputs[0]].elements.map(({ at }) => {
      const [k, c] = [tensors.place(xs[0].shape, at), at[1]];
      const three = [gy.v[k], -p.meanGy[c], -p.xhat[k] * p.meanGyXhat[c]];
      return {
        gy: gy.v[k],
        xhat: p.xhat[k],
        paths: three.map((path) => p.scale[c] * path),
        scale: p.scale[c],
        weight: xs[1].v[c],
        std: p.std[c],
        mean_gy: p.meanGy[c],
        mean_gy_xhat: p.meanGyXhat[c],
      };
    });
    const lines = { mean: p.mean, std: p.std, scale: p.scale };
    Object.assign(lines, { mean_gy: p.meanGy, mean_gy_xhat: p.meanGyXhat });
    for (const name in lines) lines[name] = Array.from(lines[name], Number);
    return { training: before.training, count: before.count, elements, ...lines };
  }

  if (!why) complete();
  return { why, show, numbers: () => numbers };
})();
