// The page's own engine: a recorded graph computed anew, forward and backward, in float64.
//
// A point is what can be changed: point[number] is a leaf's tensor, or the labels of an op.
// values[number] is the tensor of each node at a point.
const engine = (() => {
  const ops = { ...elementwise, ...rows.ops, ...spatial.ops };
  const { of, zeros, plus, index } = tensors;

  /** graph: what the page was given. Gives null where an op is not known. */
  function unknown(graph) {
    return graph.nodes.find((node) => node.kind === "op" && !(node.name in ops)) || null;
  }

  /** The point that was recorded. */
  function recorded({ nodes, alive }) {
    const point = [];
    for (const [n, v] of Object.entries(alive.leaves)) point[n] = of(nodes[n].shape || [], v);
    for (const [n, labels] of Object.entries(alive.labels)) point[n] = of(labels.shape, labels.v);
    return point;
  }

  const options = (graph, n, point) =>
    point[n] ? { ...graph.alive.options[n], target: point[n] } : graph.alive.options[n];

  /** The result of one op for some inputs. */
  const apply = (graph, n, xs, point) =>
    ops[graph.nodes[n].name].forward(xs, options(graph, n, point), graph.nodes[n].shape || []);

  /** The gradients that one op sends to its inputs. */
  const send = (graph, n, gy, xs, y, point) =>
    ops[graph.nodes[n].name].backward(gy, xs, y, options(graph, n, point));

  const inputs = (graph, values, n) => graph.nodes[n].inputs.map((i) => values[i]);

  /** All values at a point. */
  function forward(graph, point) {
    const values = [];
    graph.nodes.forEach((node, n) => {
      values[n] = node.kind === "op" ? apply(graph, n, inputs(graph, values, n), point) : point[n];
    });
    return values;
  }

  const seed = (graph) => of(graph.nodes[graph.loss].shape || [], graph.alive.seed);
  const weighted = (graph, loss) => {
    const start = seed(graph);
    return loss.v.reduce((sum, x, k) => sum + x * start.v[k], 0);
  };

  /** The walk back: gradients[number], and for each step what it sends to each input, with the
   * sum of what has arrived there: gifts[step][input] = {gx, total, gy}. */
  function backward(graph, point, values) {
    const gradients = [];
    gradients[graph.loss] = seed(graph);
    const gifts = graph.steps.map((step) => {
      const xs = inputs(graph, values, step.node);
      const gxs = send(graph, step.node, gradients[step.node], xs, values[step.node], point);
      return step.gifts.map((gift, i) => {
        if (!gift) return null;
        const target = graph.nodes[step.node].inputs[i];
        const before = gradients[target];
        gradients[target] = before ? plus(before, gxs[i]) : gxs[i];
        return { gx: gxs[i], total: gradients[target] };
      });
    });
    return { gradients, gifts };
  }

  /** The loss (times its own gradient) if one element of a node had another value. */
  function lossIf(graph, point, values, number, place, value) {
    const moved = [];
    moved[number] = tensors.copy(values[number]);
    moved[number].v[place] = value;
    for (let n = number + 1; n < graph.nodes.length; n++) {
      const node = graph.nodes[n];
      if (node.kind !== "op" || !node.inputs.some((i) => moved[i])) continue;
      const xs = node.inputs.map((i) => moved[i] || values[i]);
      moved[n] = apply(graph, n, xs, point);
    }
    return weighted(graph, moved[graph.loss] || values[graph.loss]);
  }

  /** The slopes of the loss to the left and to the right of one element. */
  function slopes(graph, point, values, number, place) {
    const x = values[number].v[place];
    const eps = 1e-7 * Math.max(1, Math.abs(x));
    const here = weighted(graph, values[graph.loss]);
    return [-eps, eps].map(
      (move) => (lossIf(graph, point, values, number, place, x + move) - here) / move,
    );
  }

  /** The chain rule at one element of an op's input: {count, terms: [[index, gy, slope], ...]}:
   * how many elements of y it reaches, and of the largest summands gy and dy/dx. */
  function terms(graph, point, values, gy, n, i, place, most) {
    const xs = inputs(graph, values, n).map(tensors.copy); // apart, if one comes in twice
    const x = xs[i].v[place];
    const eps = 1e-4 * Math.max(1, Math.abs(x));
    const [above, below] = [eps, -eps].map((move) => {
      xs[i].v[place] = x + move;
      return apply(graph, n, xs, point).v;
    });
    xs[i].v[place] = x;
    const reached = [];
    above.forEach((y, k) => {
      const slope = (y - below[k]) / (2 * eps);
      if (Math.abs(slope) > 1e-9) reached.push([k, Math.abs(slope * gy.v[k])]);
    });
    reached.sort((a, b) => b[1] - a[1]);
    const list = reached.slice(0, most).map(([k]) => {
      const one = zeros(gy.shape);
      one.v[k] = 1;
      const slope = send(graph, n, one, xs, values[n], point)[i].v[place];
      return [index(gy.shape, k), gy.v[k], slope];
    });
    return { count: reached.length, terms: list };
  }

  /** A point a step of gradient descent further: x - rate gx for each of the leaves named. */
  function descended(point, gradients, leaves, rate) {
    const next = [...point];
    for (const n of leaves) {
      const { shape, v } = point[n];
      next[n] = { shape, v: v.map((x, k) => x - rate * gradients[n].v[k]) };
    }
    return next;
  }

  const numbers = { forward, backward, slopes, terms, descended, weighted };
  return { ops, unknown, recorded, options, apply, send, ...numbers };
})();
