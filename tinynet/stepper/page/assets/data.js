// What the page was given: nodes, steps, tensors; and how numbers, indices and names are written.
const data = (() => {
  const all = JSON.parse(document.getElementById("data").textContent);
  const { nodes, steps, rules } = all;

  nodes.forEach((node, number) => {
    node.number = number;
    for (const key of ["name", "label", "path"]) node[key] = node[key] || "";
    node.inputs = node.inputs || [];
    node.shape = node.shape || [];
    node.elements = node.elements || [];
    node.isOp = node.kind === "op";
    if (!node.isOp) return;
    const [forward, backward, where, shapes, shapesBack, names] = rules[node.rule];
    node.text = { forward, backward, where, shapes, shapesBack, names };
  });

  /** 'c = Add', 'Conv2d', 'weight': for headings. */
  function title(node) {
    if (node.isOp) return node.label ? `${node.label} = ${node.name}` : node.name;
    return node.name || node.kind;
  }

  /** What the node is called in a sentence: the user's own name if there is one. */
  function called(node) {
    return (
      (node.isOp ? node.label : shortName(node)) ||
      (node.isOp ? `the result of ${node.name}` : node.kind)
    );
  }

  /** The last parts of a parameter's name: 'stem.0.weight' is 'weight' beside its op. */
  function shortName(node) {
    const name = node.isOp ? node.label || node.name : node.name || node.kind;
    return node.kind === "parameter" ? name.split(".").pop() : name;
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
    heading: all.title,
    title,
    called,
    shortName,
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
