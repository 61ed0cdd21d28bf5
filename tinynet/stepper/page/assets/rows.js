// Ops along an axis: matrix products, reductions, softmaxes and the cross-entropy.
const rows = (() => {
  const { size, zeros, spread, sumAt, joined } = tensors;

  /** Calls visit(place in y, in a, in b) for each product of a (..., M, K) @ b (..., K, N). */
  function products(a, b, visit) {
    const A = a.shape.length === 1 ? [1, ...a.shape] : a.shape;
    const B = b.shape.length === 1 ? [...b.shape, 1] : b.shape;
    const [M, K, N] = [A.at(-2), A.at(-1), B.at(-1)];
    const lead = joined(A.slice(0, -2), B.slice(0, -2));
    const [pa, pb] = [A, B].map((shape) => spread(shape.slice(0, -2), lead));
    for (let l = 0; l < size(lead); l++)
      for (let m = 0; m < M; m++)
        for (let n = 0; n < N; n++)
          for (let k = 0; k < K; k++)
            visit((l * M + m) * N + n, (pa[l] * M + m) * K + k, (pb[l] * K + k) * N + n);
  }

  const MatMul = {
    forward([a, b], o, shape) {
      const y = zeros(shape);
      products(a, b, (i, j, k) => (y.v[i] += a.v[j] * b.v[k]));
      return y;
    },
    backward(gy, [a, b]) {
      const [ga, gb] = [zeros(a.shape), zeros(b.shape)];
      products(a, b, (i, j, k) => {
        ga.v[j] += gy.v[i] * b.v[k];
        gb.v[k] += gy.v[i] * a.v[j];
      });
      return [ga, gb];
    },
  };

  /** Calls visit(place in y, in x, in weight, output) for each product of a linear layer. */
  function linear(x, weight, visit) {
    const [O, I] = weight.shape;
    const R = size(x.shape.slice(0, -1));
    for (let r = 0; r < R; r++)
      for (let o = 0; o < O; o++)
        for (let i = 0; i < I; i++) visit(r * O + o, r * I + i, o * I + i);
  }

  const Linear = {
    forward([x, weight, bias], o, shape) {
      const y = zeros(shape);
      linear(x, weight, (i, j, k) => (y.v[i] += x.v[j] * weight.v[k]));
      if (bias) for (let i = 0; i < y.v.length; i++) y.v[i] += bias.v[i % bias.v.length];
      return y;
    },
    backward(gy, [x, weight, bias]) {
      const [gx, gw] = [zeros(x.shape), zeros(weight.shape)];
      linear(x, weight, (i, j, k) => {
        gx.v[j] += gy.v[i] * weight.v[k];
        gw.v[k] += gy.v[i] * x.v[j];
      });
      const gb = bias && sumAt(gy, spread(bias.shape, gy.shape), bias.shape);
      return [gx, gw, gb].slice(0, bias ? 3 : 2);
    },
  };

  const kept = (shape, dim) => shape.map((n, i) => (dim.includes(i) ? 1 : n));
  /** For each element of x, the place of the y that it goes into. */
  const slots = (x, dim) => spread(kept(x.shape, dim), x.shape);
  const times = (shape, dim) => dim.reduce((n, axis) => n * shape[axis], 1);

  const sum = (count) => ({
    forward([x], { dim }, shape) {
      const y = sumAt(x, slots(x, dim), shape);
      y.v.forEach((value, k) => (y.v[k] = value / count(x.shape, dim)));
      return y;
    },
    backward(gy, [x], y, { dim }) {
      const to = slots(x, dim);
      return [{ shape: x.shape, v: x.v.map((_, k) => gy.v[to[k]] / count(x.shape, dim)) }];
    },
  });

  /** pick: Math.max or Math.min; a NaN wins, and all that attain y share gy. */
  const extreme = (pick, start) => ({
    forward([x], { dim }, shape) {
      const [y, to] = [zeros(shape), slots(x, dim)];
      y.v.fill(start);
      x.v.forEach((value, k) => (y.v[to[k]] = pick(y.v[to[k]], value)));
      return y;
    },
    backward(gy, [x], y, { dim }) {
      const to = slots(x, dim);
      const attains = x.v.map((value, k) => value === y.v[to[k]] || Number.isNaN(value));
      const m = sumAt({ v: attains }, to, y.shape);
      return [{ shape: x.shape, v: attains.map((a, k) => (a ? gy.v[to[k]] / m.v[to[k]] : 0)) }];
    },
  });

  /** x less its maximum, and the sum of exp of that, along one axis. */
  function shifted(x, dim) {
    const [to, shape] = [slots(x, [dim]), kept(x.shape, [dim])];
    const top = zeros(shape);
    top.v.fill(-Infinity);
    x.v.forEach((value, k) => (top.v[to[k]] = Math.max(top.v[to[k]], value)));
    const less = { shape: x.shape, v: x.v.map((value, k) => value - top.v[to[k]]) };
    const sums = sumAt({ v: less.v.map(Math.exp) }, to, shape);
    return { to, shape, less, sums };
  }

  function logSoftmax(x, dim) {
    const { to, less, sums } = shifted(x, dim);
    return { shape: x.shape, v: less.v.map((value, k) => value - Math.log(sums.v[to[k]])) };
  }

  const Softmax = {
    forward([x], { dim }) {
      const { to, less, sums } = shifted(x, dim[0]);
      return { shape: x.shape, v: less.v.map((value, k) => Math.exp(value) / sums.v[to[k]]) };
    },
    backward(gy, [x], y, { dim }) {
      const to = slots(x, dim);
      const mixed = sumAt({ v: gy.v.map((g, k) => g * y.v[k]) }, to, kept(x.shape, dim));
      return [{ shape: x.shape, v: y.v.map((p, k) => p * (gy.v[k] - mixed.v[to[k]])) }];
    },
  };

  const LogSoftmax = {
    forward: ([x], { dim }) => logSoftmax(x, dim[0]),
    backward(gy, [x], y, { dim }) {
      const to = slots(x, dim);
      const sums = sumAt(gy, to, kept(x.shape, dim));
      return [{ shape: x.shape, v: gy.v.map((g, k) => g - Math.exp(y.v[k]) * sums.v[to[k]]) }];
    },
  };

  /** The target as a distribution q for each row: labels or a distribution, smoothed, weighted. */
  function distribution(x, { target, smoothing, ignored, weight }) {
    const K = x.shape[1];
    return x.v.map((_, i) => {
      const [r, k] = [Math.floor(i / K), i % K];
      const label = target.shape.length === 1 ? target.v[r] : null;
      if (label === ignored) return 0;
      const q = label === null ? target.v[i] : label === k ? 1 : 0;
      return ((1 - smoothing) * q + smoothing / K) * (weight ? Number(weight[k]) : 1);
    });
  }

  const SoftmaxCrossEntropy = {
    forward([x], o, shape) {
      const [p, q, K] = [logSoftmax(x, 1), distribution(x, o), x.shape[1]];
      const y = zeros(shape);
      q.forEach((part, i) => part !== 0 && (y.v[Math.floor(i / K)] -= part * p.v[i]));
      return y;
    },
    backward(gy, [x], y, o) {
      const [p, q, K] = [logSoftmax(x, 1), distribution(x, o), x.shape[1]];
      const total = zeros(y.shape);
      q.forEach((part, i) => (total.v[Math.floor(i / K)] += part));
      const gx = q.map((part, i) => {
        const r = Math.floor(i / K);
        const g = total.v[r] === 0 ? 0 : gy.v[r]; // of a mean over no rows gy is infinite
        return (Math.exp(p.v[i]) * total.v[r] - part) * g;
      });
      return [{ shape: x.shape, v: gx }];
    },
  };

  /** Row r of a cross-entropy: its softmax p, its target q, its label or null for shares. */
  function target(x, o, r) {
    const K = x.shape[1];
    const row = (v) => v.slice(r * K, (r + 1) * K);
    const label = o.target.shape.length === 1 ? o.target.v[r] : null;
    return { p: row(logSoftmax(x, 1).v).map(Math.exp), q: row(distribution(x, o)), label };
  }

  const ops = {
    MatMul,
    Linear,
    Sum: sum(() => 1),
    Mean: sum(times),
    Max: extreme(Math.max, -Infinity),
    Min: extreme(Math.min, Infinity),
    Softmax,
    LogSoftmax,
    SoftmaxCrossEntropy,
  };
  return { ops, slots, target };
})();
