// One element of an op's result in numbers, as examples.py has it: the sentences and the rules come
// from there, the numbers from this page's engine.
const made = (() => {
  const { nodes, sentences, format, count } = data;
  const MOST = 6; // summands that are shown
  const number = (x) => format(x, 6);
  const signed = (x) => (x < 0 ? `(${number(x)})` : number(x));

  /** A sentence with its places filled: texts as they are, numbers in six digits. */
  const say = (sentence, values) =>
    sentence.replace(/\{(\w+)(!?)\}/g, (_, name, brackets) => {
      const value = values[name];
      return typeof value === "string" ? value : (brackets ? signed : number)(value);
    });

  const named = (node, at) => node.symbol + data.index(at);
  const sum = (list) => list.reduce((total, x) => total + x, 0);
  const rest = (value, more) => say(sentences.rest, { rest: value, more: count(more) });

  /** The lines for element `at` of an op's result at a point, where all have these values. */
  function of(point, values, node, at) {
    const xs = node.inputs.map((n) => values[n]);
    const y = values[node.number];
    const k = tensors.place(y.shape, at);
    const own = { node, at, k, xs, y, point, o: engine.options(data, node.number, point) };
    const kinds = special[node.name];
    if (!kinds) return byRule(own) || bySum(own);
    const words = { yk: named(node, at), y: y.v[k] };
    node.inputs.forEach((n, i) => (words[`name${i}`] = nodes[n].symbol));
    const [list, more] = kinds(own, words);
    return list.map((kind) => say(sentences[kind], { ...words, ...more })).join("\n");
  }

  function byRule({ node, at, k, xs, y }) {
    const { symbols, numbers, letters } = node.text;
    if (!numbers) return null;
    const values = { y: y.v[k] };
    xs.forEach((x, i) => (values[letters[i]] = x.v[tensors.spread(x.shape, y.shape)[k]]));
    const parts = new Set([symbols, say(numbers, values), number(y.v[k])]);
    return `${named(node, at)} = ${[...parts].join(" = ")}`;
  }

  /** As a sum of slopes times elements of the first input, and a constant; if it is one. */
  function bySum({ node, at, k, xs, y, point }) {
    const [words, x] = [{ yk: named(node, at), y: number(y.v[k]) }, xs[0]];
    const one = tensors.zeros(y.shape);
    one.v[k] = 1;
    const slopes = engine.send(data, node.number, one, xs, y, point)[0].v;
    const constant = engine.apply(data, node.number, [tensors.zeros(x.shape), ...xs.slice(1)], point)
      .v[k];
    const products = slopes.map((slope, i) => slope * x.v[i]);
    const whole = sum(products) + constant;
    const places = Array.from(slopes.keys()).filter((i) => slopes[i] !== 0);
    const isSum = Math.abs(whole - y.v[k]) <= 1e-12 + 1e-9 * Math.abs(y.v[k]);
    if (!places.length || !(isSum || Object.is(whole, y.v[k]))) return `${words.yk} = ${words.y}`;
    places.sort((a, b) => Math.abs(products[b]) - Math.abs(products[a]));
    const shown = places.slice(0, MOST);
    const plain = places.length === 1 || shown.every((i) => slopes[i] === 1);
    const parts = shown.map((i) =>
      plain && slopes[i] === 1 ? signed(x.v[i]) : `${signed(slopes[i])} * ${signed(x.v[i])}`,
    );
    const where = shown.map((i) => named(nodes[node.inputs[0]], tensors.index(x.shape, i)));
    if (places.length === 1 && parts[0] === words.y && !constant)
      return say(sentences.moved, { ...words, xk: where[0] });
    const more = places.length - shown.length;
    if (more) parts.push(rest(whole - constant - sum(shown.map((i) => products[i])), more));
    if (constant) parts.push(signed(constant));
    words.where = where.join(", ") + (more ? " and others" : "");
    return say(sentences.sum, { ...words, parts: parts.join(" + ") });
  }

  function batchnorm({ node, at, k, xs, o }) {
    const { mean, std, xhat } = spatial.normalised(xs[0], o);
    const [c, x] = [at[1], xs[0].v[k]];
    const channel = { mean: Number(mean[c]), std: std[c], weight: xs[1].v[c], bias: xs[2].v[c] };
    const xk = named(nodes[node.inputs[0]], at);
    return [["BatchNorm"], { c: String(c), x, xk, xhat: xhat[k], ...channel }];
  }

  function softmax({ node, k, xs: [x], o }) {
    const places = rows.slots(x, o.dim);
    const row = x.v.filter((_, i) => places[i] === places[k]);
    const terms = Array.from(row.slice(0, 8), (value) => `exp(${number(value)})`);
    if (row.length > 8) terms.push(rest(sum(row.slice(8).map(Math.exp)), row.length - 8));
    return [[node.name], { x: x.v[k], exps: terms.join(" + ") }];
  }

  function crossEntropy({ at: [r], xs: [x], o }) {
    const { p, q, label } = rows.target(x, o, r);
    const used = Array.from(q.keys()).filter((m) => q[m] !== 0);
    const ps = Array.from(p.slice(0, 10), number).join(", ") + (p.length > 10 ? ", ..." : "");
    const words = { r: String(r), ps };
    const kinds = ["classes"];
    if (label !== null) {
      Object.assign(words, { label: String(label), p: p[label] });
      kinds.push(used.length ? "label" : "ignored");
    }
    if (label !== null && q[label] === 1 && sum(q) === 1) kinds.push("one-hot");
    else if (used.length || label === null) {
      const parts = used.slice(0, 6).map((m) => `${number(q[m])} * log(${number(p[m])})`);
      const left = used.slice(6);
      if (left.length) parts.push(rest(sum(left.map((m) => q[m] * Math.log(p[m]))), left.length));
      words.parts = parts.join(" + ");
      kinds.push("shares");
    }
    return [kinds, words];
  }

  /** Of a maximum or minimum over a window or an axis: the values that it is chosen from. */
  function largest({ node, k, xs: [x], y, o }) {
    const places = o.dim && rows.slots(x, o.dim);
    const from = places
      ? x.v.filter((_, i) => places[i] === k)
      : Float64Array.from(spatial.seen(x, y.shape, o, k), (i) => x.v[i]);
    const all = from.length > 9 ? `, ... (${count(from.length)} in all)` : "";
    const some = Array.from(from.slice(0, 9), number).join(", ") + all;
    return [["largest"], { word: node.name === "Min" ? "min" : "max", some }];
  }

  const special = {
    BatchNorm: batchnorm,
    Softmax: softmax,
    LogSoftmax: softmax,
    SoftmaxCrossEntropy: crossEntropy,
    MaxPool2d: largest,
    Max: largest,
    Min: largest,
  };
  return { of };
})();
