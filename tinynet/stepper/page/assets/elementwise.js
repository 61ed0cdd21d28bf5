// Ops that work element by element, and those that only move elements. An op has
// forward(xs, options, shape of y) and backward(gy, xs, y, options), which gives the gxs.
const elementwise = (() => {
  const { zeros, spread, sumAt } = tensors;

  /** y = f(x), gx = back(gy, x, y) at each element. */
  const one = (f, back) => ({
    forward: ([x], o) => ({ shape: x.shape, v: x.v.map((value) => f(value, o)) }),
    backward: (gy, [x], y, o) => [
      { shape: x.shape, v: x.v.map((value, k) => back(gy.v[k], value, y.v[k], o)) },
    ],
  });

  /** y = f(a, b), with broadcasting; what goes to a repeated element is summed. */
  const two = (f, ...backs) => ({
    forward([a, b], o, shape) {
      const [pa, pb] = [spread(a.shape, shape), spread(b.shape, shape)];
      return { shape, v: zeros(shape).v.map((_, k) => f(a.v[pa[k]], b.v[pb[k]])) };
    },
    backward(gy, [a, b], y) {
      const places = [spread(a.shape, y.shape), spread(b.shape, y.shape)];
      return backs.map((back, i) => {
        const part = gy.v.map((g, k) => back(g, a.v[places[0][k]], b.v[places[1][k]], y.v[k]));
        return sumAt({ v: part }, places[i], [a, b][i].shape);
      });
    },
  });

  /** As C has it: 1 to any power is 1, and so is -1 to an infinite one. */
  const power = (a, b) => (a === 1 || (a === -1 && Math.abs(b) === Infinity) ? 1 : Math.pow(a, b));

  function remainder(a, b) {
    const rest = a % b;
    return rest !== 0 && rest < 0 !== b < 0 ? rest + b : rest;
  }

  const tied = (wins) => (gy, a, b) => (wins(a, b) ? gy : wins(b, a) ? 0 : gy / 2);
  const [over, under] = [(a, b) => a > b, (a, b) => a < b];
  const second = (back) => (gy, a, b) => back(gy, b, a);
  const low = (o) => o.low ?? -Infinity;
  const high = (o) => o.high ?? Infinity;
  const same = one(
    (x) => x,
    (gy) => gy,
  );
  const root = (slope) => one(Math.sqrt, slope);

  function halvesToEven(x) {
    const below = Math.floor(x);
    if (x - below !== 0.5) return Math.round(x);
    return below % 2 === 0 ? below : below + 1;
  }

  /** How much of N(0, 1) lies below x; the series of `erf` in ops/activation.py. */
  function below(x) {
    const z = Math.min(Math.max(x / Math.SQRT2, -6), 6);
    let [term, total] = [z, z];
    for (let n = 1; n < 180; n++) total += term *= (2 * z * z) / (2 * n + 1);
    return (1 + (2 / Math.sqrt(Math.PI)) * Math.exp(-z * z) * total) / 2;
  }

  const beyond = (x, o) => o.beta * x > Number(o.threshold);
  const logarithm = (x) => Math.max(Math.log(x), -100);
  const ofRest = (x) => Math.max(Math.log1p(-x), -100);

  /** y takes elements of the inputs, laid one behind the other; -1 in `from` means `value`. */
  const move = {
    forward(xs, o, shape) {
      const all = xs.length === 1 ? xs[0].v : xs.flatMap((x) => [...x.v]);
      const v = o.from
        ? Float64Array.from(o.from, (k) => (k < 0 ? Number(o.value) : all[k]))
        : Float64Array.from(all);
      return { shape, v };
    },
    backward(gy, xs, y, o) {
      let start = 0;
      const ends = xs.map((x) => (start += x.v.length));
      const all = new Float64Array(start);
      gy.v.forEach((g, k) => {
        const to = o.from ? o.from[k] : k;
        if (to >= 0) all[to] += g;
      });
      return xs.map((x, i) => ({ shape: x.shape, v: all.slice(ends[i] - x.v.length, ends[i]) }));
    },
  };

  return {
    Add: two(
      (a, b) => a + b,
      (gy) => gy,
      (gy) => gy,
    ),
    Subtract: two(
      (a, b) => a - b,
      (gy) => gy,
      (gy) => -gy,
    ),
    Multiply: two(
      (a, b) => a * b,
      (gy, a, b) => gy * b,
      (gy, a) => gy * a,
    ),
    Divide: two(
      (a, b) => a / b,
      (gy, a, b) => gy / b,
      (gy, a, b) => ((-gy / b) * a) / b,
    ),
    Remainder: two(
      remainder,
      (gy) => gy,
      (gy, a, b) => -gy * Math.floor(a / b),
    ),
    Power: two(
      power,
      (gy, a, b) => (b === 0 ? 0 : gy * b * power(a, b - 1)),
      (gy, a, b, y) => (a === 0 && b >= 0 ? 0 : gy * y * Math.log(a)),
    ),
    Maximum: two(Math.max, tied(over), second(tied(over))),
    Minimum: two(Math.min, tied(under), second(tied(under))),
    Negate: one(
      (x) => -x,
      (gy) => -gy,
    ),
    Exp: one(Math.exp, (gy, x, y) => gy * y),
    Log: one(Math.log, (gy, x) => gy / x),
    Sqrt: root((gy, x, y) => gy / (2 * y)),
    Deviation: root((gy, x, y) => (y === 0 ? 0 : gy / (2 * y))),
    Sigmoid: one(
      (x) => (x < 0 ? Math.exp(x) : 1) / (1 + Math.exp(-Math.abs(x))),
      (gy, x, y) => gy * y * (1 - y),
    ),
    Tanh: one(Math.tanh, (gy, x, y) => gy * (1 - y * y)),
    Abs: one(Math.abs, (gy, x) => gy * Math.sign(x)),
    Clip: one(
      (x, o) => Math.min(Math.max(x, low(o)), high(o)),
      (gy, x, y, o) => (low(o) <= x && x <= high(o) ? gy : 0),
    ),
    ReLU: one(
      (x) => Math.max(x, 0),
      (gy, x) => (x > 0 ? gy : 0),
    ),
    ReLU6: one(
      (x) => Math.min(Math.max(x, 0), 6),
      (gy, x) => (x > 0 && x < 6 ? gy : 0),
    ),
    Round: one(halvesToEven, () => 0),
    LeakyReLU: one(
      (x, o) => (x > 0 ? x : o.slope * x),
      (gy, x, y, o) => (x > 0 ? gy : o.slope * gy),
    ),
    ELU: one(
      (x, o) => (x > 0 ? x : o.alpha * Math.expm1(x)),
      (gy, x, y, o) => (x > 0 ? gy : gy * (y + Number(o.alpha))),
    ),
    Softplus: one(
      (x, o) =>
        beyond(x, o)
          ? x
          : (Math.max(o.beta * x, 0) + Math.log1p(Math.exp(-Math.abs(o.beta * x)))) / o.beta,
      (gy, x, y, o) => (beyond(x, o) ? gy : gy / (1 + Math.exp(-o.beta * x))),
    ),
    GELU: one(
      (x) => x * below(x),
      (gy, x) => gy * (below(x) + (x * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI)),
    ),
    BinaryCrossEntropy: two(
      (x, t) => -(t * logarithm(x) + (1 - t) * ofRest(x)),
      (gy, x, t) => (gy * (x - t)) / Math.max(x * (1 - x), 1e-12),
      (gy, x) => gy * (Math.log1p(-x) - Math.log(x)),
    ),
    Cast: same, // in float64 throughout: rounding has no derivative
    Transfer: same,
    Reshape: move,
    Permute: move,
    Expand: move,
    Index: move,
    Gather: move,
    Concatenate: move,
    Pad: move,
    Write: move,
    Where: move,
  };
})();
