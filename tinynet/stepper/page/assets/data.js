// What the page was given: nodes, steps, tensors; and how numbers, indices and names are written.
const data = (() => {
  const all = JSON.parse(document.getElementById("data").textContent);
  const { nodes, steps, rules } = all;

  nodes.forEach((node, number) => {
    node.number = number;
    for (const key of ["name", "label", "path"]) node[key] = node[key] || "";
    node.dtype = node.dtype || all.dtype;
    node.inputs = node.inputs || [];
    node.shape = node.shape || [];
    node.elements = node.elements || [];
    node.isOp = node.kind === "op";
    node.symbol = node.symbol || node.label || `t${number}`;
    node.gradient = node.gradient || `g${node.symbol}`;
  });

  // How often a gradient comes to a node; the loss has one from the start.
  const contributions = nodes.map((node) => (node.number === all.loss ? 1 : 0));
  for (const { node, gifts } of steps) {
    gifts.forEach((gift, i) => gift && contributions[nodes[node].inputs[i]]++);
  }

  nodes.forEach((node) => {
    if (!node.isOp) return;
    const rule = rules[node.rule];
    const names = rule[5].map((name, i) => ofInput(node, i, "symbol", name));
    const [forward, backward, where, shapes, shapesBack] = rule
      .slice(0, 5)
      .map((text) => text.replace(/\{([a-z]*)(\d*)\}/g, (_, what, i) => word(node, what, i, names)));
    const symbols = rule[6].replace(/\{(\d+)\}/g, (_, i) => names[i]);
    node.text = { forward, backward, where, shapes, shapesBack, names };
    Object.assign(node.text, { symbols, letters: rule[5], numbers: rule[7] });
    node.text.gradients = names.map((name, i) => ofInput(node, i, "gradient", `g${name}`));
  });

  function ofInput(node, i, key, otherwise) {
    const input = nodes[node.inputs[i]];
    return input ? input[key] : otherwise;
  }

  /** What stands for a place in a rule: {y}, {gy}, {0}, {g0}, {is0}, {use0} (see formula.py). */
  function word(node, what, i, names) {
    if (what === "y") return node.symbol;
    if (what === "gy") return node.gradient;
    if (what === "") return names[i];
    if (what === "g") return ofInput(node, i, "gradient", `g${names[i]}`);
    if (what === "is") return gives(node, i);
    return use(node, i);
  }

  /** '+=' for one of several contributions to an input's gradient, else '='. */
  function gives(node, i) {
    return contributions[node.inputs[i]] > 1 ? "+=" : "=";
  }

  /** ' (2nd use of b)' for one of several places where an op has the same input, else ''. */
  function use(node, i) {
    const same = node.inputs.map((n, k) => (n === node.inputs[i] ? k : -1)).filter((k) => k >= 0);
    if (same.length < 2) return "";
    return ` (${ordinal(same.indexOf(Number(i)) + 1)} use of ${nodes[node.inputs[i]].symbol})`;
  }

  function ordinal(n) {
    return `${n}${{ 1: "st", 2: "nd", 3: "rd" }[n] || "th"}`;
  }

  /** 'c = Add', 't4 = Conv2d', 'weight': for headings. */
  function title(node) {
    return node.isOp ? `${node.symbol} = ${node.name}` : node.name || node.symbol;
  }

  /** What the node is called in a sentence. */
  const called = (node) => node.symbol;

  /** What a leaf's chip says: 'weight'; 'constant' for a number, which is shown beside it. */
  function shortName(node) {
    const isNumber = !node.isOp && !node.name && !node.shape.length && node.kind === "constant";
    return isNumber ? node.kind : node.symbol;
  }

  function format(x, digits = 5) {
    if (x === null || x === undefined) return "not known";
    x = Number(x);
    if (Number.isNaN(x)) return "NaN";
    if (!Number.isFinite(x)) return x > 0 ? "∞" : "-∞";
    if (x === 0) return "0";
    const size = Math.abs(x);
    if (size >= 1e7 || size < 1e-4) return x.toExponential(digits - 2).replace(/\.?0+e/, "e");
    return String(Number(x.toPrecision(digits)));
  }

  const count = (n) => Math.round(n).toLocaleString("en-US");
  const plural = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;
  const shape = (sizes) => (sizes.length ? `(${sizes.join(", ")})` : "scalar");
  const index = (at) => (at.length ? `[${at.join(", ")}]` : "");
  const size = (sizes) => sizes.reduce((product, n) => product * n, 1);

  /** The value of a sampled tensor at an index, undefined outside of what was sampled. */
  function at(sample, place) {
    if (!sample) return undefined;
    let flat = 0;
    for (let i = 0; i < place.length; i++) {
      if (place[i] < 0 || place[i] >= sample.box[i]) return undefined;
      flat = flat * sample.box[i] + place[i];
    }
    return Number(sample.v[flat]);
  }

  function whole(sample, sizes) {
    return sample.box.every((n, i) => n === sizes[i]);
  }

  /** Says which part of a large tensor is shown; '' if all of it is. */
  function sampled(sample, sizes) {
    if (whole(sample, sizes)) return "";
    const names =
      sizes.length === 4
        ? ["axis 0", "axis 1", "rows", "columns"]
        : sizes.length === 2
          ? ["rows", "columns"]
          : sizes.map((_, i) => `axis ${i}`);
    const parts = sample.box.map((n, i) =>
      n === sizes[i]
        ? null
        : n === 1
          ? `${names[i]}: 0 of ${sizes[i]}`
          : `${names[i]}: 0 to ${n - 1} of ${sizes[i]}`,
    );
    return (
      `A corner of this tensor is shown (${parts.filter(Boolean).join("; ")}): ` +
      `${plural(sample.v.length, "value")} of ${count(size(sizes))}.`
    );
  }

  return {
    nodes,
    steps,
    loss: all.loss,
    recorded: all.recorded,
    alive: all.alive,
    sentences: all.sentences,
    heading: all.title,
    title,
    called,
    shortName,
    gives,
    use,
    format,
    count,
    plural,
    shape,
    index,
    size,
    at,
    whole,
    sampled,
  };
})();
