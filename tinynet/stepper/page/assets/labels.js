// A cross-entropy: the labels, the probabilities, and the gradient as softmax minus one-hot.
const labels = (() => {
  const { make } = dom;

  function section(node) {
    const logits = data.nodes[node.inputs[0]];
    const ran = timeline.ranAt.get(node.number);
    const known = ran !== undefined && state.frame >= ran && !state.hides(logits.number);
    const [rows, classes] = [data.size(node.shape), logits.shape[1]];
    const valued = timeline.status(node.number, state.frame).value;
    if (!valued) return make("p", { class: "unknown" }, "Not known yet.");
    const [some, few] = [node.labels.length, node.labels[0] ? node.labels[0][2].length : classes];
    const left =
      some < rows || few < classes
        ? `Of ${data.plural(rows, "row")} the first ${data.count(some)} are shown, and of ` +
          `${data.count(classes)} classes ${few}.`
        : "";
    return [
      make(
        "p",
        { class: "fine" },
        `p = softmax(${logits.symbol}), row by row; the target is 1 at the label. ` +
          `${logits.gradient} = (p − target) · ${node.gradient}.`,
      ),
      node.labels.map((row, r) => one(node, logits, row, r, known)),
      left && make("p", { class: "fine" }, left),
    ];
  }

  function one(node, logits, [label, total, cells], r, known) {
    const ignored = label !== null && total === 0;
    const f = (x) => data.format(x, 4);
    const come = node.grad ? data.at(node.grad, [r]) : undefined;
    const rows = cells.map(([k, part, q]) => {
      const sent = known && come !== undefined ? (part * total - q) * come : undefined;
      return [
        k === label ? make("b", null, `${k} ← label`) : String(k),
        f(part),
        f(q),
        total === 1 || ignored ? f(part * total - q) : `${f(part)} · ${f(total)} − ${f(q)}`,
        sent === undefined ? "not known yet" : f(sent),
      ];
    });
    const minus = total === 1 || ignored ? "p − target" : "p · (sum of target) − target";
    const about = ignored ? " is ignored: its loss is 0" : "";
    return make(
      "div",
      { class: "scroll" },
      dom.table(
        [`class, row ${r}${about}`, "p", "target", minus, `${logits.gradient}[${r}]`],
        rows,
        { class: "terms labels" },
      ),
    );
  }

  return { section };
})();
