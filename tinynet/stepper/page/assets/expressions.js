// The expressions of a lesson's text, computed from the numbers that follow from changed values.
// Each is a tree made by lessons/following.py. A value is a number (true is 1), a tensor
// {shape, v}, or a list: a shape, say.
const expressions = (() => {
  const { index, joined, place, spread, zeros } = tensors;
  const WORDS = "no one two three four five six seven eight nine ten".split(" ");
  const isTensor = (x) => x?.v !== undefined;
  const tensor = (x) => (isTensor(x) ? x : { shape: [], v: [x] });
  const plain = (x) => (isTensor(x) && !x.shape.length ? x.v[0] : x); // no axes: a number
  const close = (a, b) => a === b || Math.abs(a - b) <= 1e-9 * Math.max(Math.abs(a), Math.abs(b));
  const word = (n) => WORDS[n] ?? data.count(n);

  const between = {
    "+": (a, b) => a + b,
    "-": (a, b) => a - b,
    "*": (a, b) => a * b,
    "/": (a, b) => a / b,
    "//": (a, b) => Math.floor(a / b),
    "**": (a, b) => a ** b,
    "<": (a, b) => Number(a < b),
    "<=": (a, b) => Number(a <= b),
    ">": (a, b) => Number(a > b),
    ">=": (a, b) => Number(a >= b),
    "==": (a, b) => Number(close(a, b)),
    "!=": (a, b) => Number(!close(a, b)),
    and: (a, b) => Number(a && b),
  };

  const each = (x, f) => plain({ shape: tensor(x).shape, v: tensor(x).v.map(f) });

  function pairs(f, a, b) {
    if (Array.isArray(a)) return Number(a.length === b.length && a.every((x, i) => x === b[i]));
    const [p, q] = [tensor(a), tensor(b)];
    const y = zeros(joined(p.shape, q.shape));
    const [from, other] = [p, q].map((x) => spread(x.shape, y.shape));
    return plain({ shape: y.shape, v: y.v.map((_, k) => f(p.v[from[k]], q.v[other[k]])) });
  }

  /** Along some axes (all, if none are named) a list of elements to one number. */
  function along(x, axes, f) {
    const gone = axes === undefined ? x.shape.map((_, i) => i) : [axes].flat();
    const kept = x.shape.map((_, i) => i).filter((i) => !gone.includes(i));
    const shape = kept.map((i) => x.shape[i]);
    const lists = Array.from(zeros(shape).v, () => []);
    x.v.forEach((value, k) => {
      const at = index(x.shape, k);
      lists[place(shape, kept.map((i) => at[i]))].push(value);
    });
    return plain({ shape, v: lists.map(f) });
  }

  const sum = (list) => list.reduce((a, b) => a + b, 0);
  const mean = (list) => sum(list) / list.length;
  const var_ = (list) => mean(list.map((x) => (x - mean(list)) ** 2));

  function softmax(x) {
    const exps = along(x, [], ([a]) => Math.exp(a));
    return pairs(between["/"], exps, { shape: [x.shape[0], 1], v: along(exps, 1, sum).v });
  }

  const functions = {
    abs: (x) => each(x, Math.abs),
    exp: (x) => each(x, Math.exp),
    log: (x) => each(x, Math.log),
    all: (x) => Number(tensor(x).v.every(Boolean)),
    any: (x) => Number(tensor(x).v.some(Boolean)),
    len: (x) => (isTensor(x) ? x.shape[0] : x.length),
    sum: (x, axes) => along(x, axes, sum),
    mean: (x, axes) => along(x, axes, mean),
    var: (x, axes) => along(x, axes, var_),
    max: (x, axes) => along(x, axes, (list) => list.reduce((a, b) => Math.max(a, b))),
    word,
    Word: (n) => word(n).replace(/^./, (letter) => letter.toUpperCase()),
    softmax,
    one_hot: ({ shape: [rows], v }, classes) => ({
      shape: [rows, classes],
      v: Float64Array.from({ length: rows * classes }, (_, k) =>
        Number(v[Math.floor(k / classes)] === k % classes),
      ),
    }),
    total(x) {
      const all = tensor(x).v;
      const result = sum(all);
      const top = all.reduce((most, one) => Math.max(most, Math.abs(one)), 0);
      return Math.abs(result) < 1e-12 * top ? 0 : result;
    },
  };

  const attributes = {
    shape: (x) => x.shape,
    size: (x) => tensors.size(x.shape),
    flat: (x) => ({ shape: [x.v.length], v: x.v }),
    T: (x) => transposed(x),
  };

  function transposed({ shape: [rows, columns], v }) {
    return { shape: [columns, rows], v: v.map((_, k) => v[(k % rows) * columns + Math.floor(k / rows)]) };
  }

  function product(a, b) {
    const y = zeros([a.shape[0], b.shape[1]]);
    const [inner, wide] = b.shape;
    y.v.forEach((_, k) => {
      const [r, c] = index(y.shape, k);
      for (let i = 0; i < inner; i++) y.v[k] += a.v[r * inner + i] * b.v[i * wide + c];
    });
    return y;
  }

  /** x[place, ...]: each a number or a list of the places that a slice takes. */
  function part(x, places) {
    if (Array.isArray(x)) return pick(x, places[0](x.length));
    const chosen = x.shape.map((n, axis) => (places[axis] ? places[axis](n) : all(n)));
    const shape = chosen.filter(Array.isArray).map((list) => list.length);
    const v = zeros(shape).v.map((_, k) => {
      const at = index(shape, k);
      return x.v[place(x.shape, chosen.map((one) => (Array.isArray(one) ? one[at.shift()] : one)))];
    });
    return plain({ shape, v });
  }

  const all = (n) => Array.from({ length: n }, (_, i) => i);
  const pick = (list, at) => (Array.isArray(at) ? at.map((i) => list[i]) : list[at]);

  /** What a place of a subscript is on an axis of n elements. */
  const placed = (tree, numbers) => (n) => {
    if (tree[0] !== "slice") {
      const i = of(tree, numbers);
      return i < 0 ? i + n : i;
    }
    const [low, high, step] = tree.slice(1).map((one) => one && of(one, numbers));
    const list = all(n).slice(low ?? 0, high ?? n);
    return step === -1 ? list.reverse() : list;
  };

  /** The value of a tree. numbers: {values, gradients, gifts, point} as the engine gives them. */
  function of(tree, numbers) {
    if (!Array.isArray(tree)) return tree;
    const [kind, ...rest] = tree;
    const own = {
      value: (n) => plain(numbers.values[n]),
      grad: (n) => plain(numbers.gradients[n]),
      sent: (step, i) => plain(numbers.gifts[step][i].gx),
      labels: (n) => numbers.point[n],
      fd: (n, ...at) => difference(numbers, n, at),
      attr: (x, name) => attributes[name](tensor(of(x, numbers))),
      at: (x, ...places) => part(of(x, numbers), places.map((one) => placed(one, numbers))),
      list: (...parts) => parts.map((one) => of(one, numbers)),
      call: (name, ...given) => functions[name](...given.map((one) => of(one, numbers))),
      neg: (x) => each(of(x, numbers), (a) => -a),
      "@": (a, b) => product(of(a, numbers), of(b, numbers)),
    };
    if (kind in own) return own[kind](...rest);
    return rest.map((one) => of(one, numbers)).reduce((a, b) => pairs(between[kind], a, b));
  }

  function difference({ values, point }, n, at) {
    const sides = engine.slopes(data, point, values, n, place(values[n].shape, at));
    return Number(((sides[0] + sides[1]) / 2).toFixed(6));
  }

  /** A number, a shape or a small array as a sentence has it, as words.py does. */
  function said(x) {
    if (typeof x === "string") return x;
    if (Array.isArray(x)) return `(${x.map(said).join(", ")}${x.length === 1 ? "," : ""})`;
    if (isTensor(x)) return `[${all(x.shape[0]).map((i) => said(part(x, [() => i]))).join(", ")}]`;
    if (Number.isInteger(x) && Math.abs(x) < 1e6) return String(x);
    return data.format(x, Math.abs(x) < 1e-4 ? 6 : 4); // format shows two digits less of these
  }

  /** A text of parts: words, and pairs of a tree and whether a minus needs brackets. */
  function text(parts, numbers) {
    const filled = parts.map((one) => {
      if (typeof one === "string") return one;
      const words = said(of(one[0], numbers));
      return one[1] && words.startsWith("-") ? `(${words})` : words;
    });
    return filled.join("");
  }

  return { of, text };
})();
