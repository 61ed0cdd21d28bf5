// The kernel sliding over the input: one output at a time, its products and the multiply-adds.
const slide = (() => {
  const { make } = dom;

  /** at: {n, o, c, h, w}, changed in place; redraw(). */
  function draw(g, at, redraw) {
    const [rows, cols] = windows.reach(g);
    const first = windows.firstChannel(g, at.o);
    const channels = Array.from(
      { length: Math.min(g.inGroup, g.x.value.box[1] - first, g.weight.value.box[1]) },
      (_, k) => first + k,
    );
    if (!channels.includes(at.c)) at.c = first;
    const cost = windows.cost(g);
    const done = (at.o * g.HO * g.WO + at.h * g.WO + at.w + 1) * cost.one;
    const k = at.c - first;
    const weight = (i, j, local = k) => data.at(g.weight.value, [at.o, local, i, j]);
    const [r0, q0] = windows.tap(g, at.h, at.w, 0, 0);
    const window = {
      r: r0,
      c: q0,
      rows: g.dilation[0] * (g.kernel[0] - 1) + 1,
      cols: g.dilation[1] * (g.kernel[1] - 1) + 1,
      kind: "window",
    };
    const top = heatmap.largest(g.x.value);
    const pad = [
      [g.padding[0][0], g.x.value.box[2] === g.H ? g.padding[0][1] : 0],
      [g.padding[1][0], g.x.value.box[3] === g.W ? g.padding[1][1] : 0],
    ];
    const move = (step) => {
      const flat = at.h * cols + at.w + step;
      const all = rows * cols;
      const o = at.o + Math.floor(flat / all);
      if (o < 0 || o >= shownOutputs(g)) return;
      Object.assign(at, {
        o,
        h: Math.floor((((flat % all) + all) % all) / cols),
        w: (((flat % all) + all) % all) % cols,
      });
      redraw();
    };
    return [
      make(
        "div",
        { class: "row" },
        shownOutputs(g) > 1 &&
          dom.choice(
            "Output channel",
            Array.from({ length: shownOutputs(g) }, (_, i) => i),
            at.o,
            (o) => {
              at.o = o;
              redraw();
            },
          ),
        channels.length > 1 &&
          dom.choice("Input channel", channels, channels.indexOf(at.c), (i) => {
            at.c = channels[i];
            redraw();
          }),
        dom.button("◀ Slide back", () => move(-1), { id: "slide-back" }),
        dom.button("Slide on ▶", () => move(1), { id: "slide-on" }),
      ),
      make(
        "p",
        {
          class: "counter",
          id: "multiply-adds",
          role: "status",
          "aria-live": "polite",
          "data-done": done,
          "data-all": cost.all,
        },
        `One output takes ${multiply(g)} = `,
        make("b", null, data.plural(cost.one, "multiply-add")),
        `. So far: `,
        make("b", null, data.count(done)),
        ` of ${data.count(cost.image)} for one image`,
        g.N > 1 ? `, ${data.count(cost.all)} for the batch of ${g.N}.` : ".",
      ),
      make(
        "div",
        { class: "stage" },
        windows.figure(
          `Input ${g.names.x}[${at.n}, ${at.c}], ${g.H}×${g.W}${hasPadding(g) ? " with its padding" : ""}`,
          windows.plane({
            rows: g.x.value.box[2],
            cols: g.x.value.box[3],
            pad,
            top,
            frames: [window],
            value: (r, q) => data.at(g.x.value, [at.n, at.c, r, q]),
            label: "The input with the window marked",
          }),
        ),
        windows.figure(
          `Kernel ${g.names.weight}[${at.o}, ${k}]`,
          windows.plane({
            rows: g.kernel[0],
            cols: g.kernel[1],
            top: heatmap.largest(g.weight.value),
            value: (i, j) => weight(i, j),
            label: "The kernel",
            most: 38 * Math.max(4, g.kernel[1]),
          }),
        ),
        windows.figure(
          `Output ${g.names.y}[${at.n}, ${at.o}], ${g.HO}×${g.WO}: click a cell`,
          windows.plane({
            rows: g.node.value.box[2],
            cols: g.node.value.box[3],
            top: heatmap.largest(g.node.value),
            frames: [{ r: at.h, c: at.w, kind: "window" }],
            label: "The output with the current cell marked",
            value: (h, w) => data.at(g.node.value, [at.n, at.o, h, w]),
            press: (h, w) => {
              if (h < rows && w < cols) {
                Object.assign(at, { h, w });
                redraw();
              }
            },
          }),
        ),
      ),
      sums(g, at, channels, first, weight),
      sampledNote(g, rows, cols),
    ];
  }

  const shownOutputs = (g) => Math.min(g.O, g.node.value.box[1], g.weight.value.box[0]);
  const hasPadding = (g) => g.padding.flat().some(Boolean);
  const multiply = (g) =>
    `${g.kernel[0]}×${g.kernel[1]} taps × ${data.plural(g.inGroup, "channel")}`;

  /** The products channel by channel, and what they come to. */
  function sums(g, at, channels, first, weight) {
    const rows = [];
    let total = 0;
    for (const c of channels.slice(0, 8)) {
      const terms = windows
        .taps(g)
        .map(([i, j]) => windows.read(g, at.n, c, at.h, at.w, i, j) * weight(i, j, c - first));
      const sum = terms.reduce((a, b) => a + b, 0);
      total += sum;
      const words = windows
        .taps(g)
        .slice(0, 9)
        .map(
          ([i, j]) =>
            `${bracket(windows.read(g, at.n, c, at.h, at.w, i, j))}·` +
            bracket(weight(i, j, c - first)),
        );
      rows.push([
        `channel ${c}`,
        make("code", null, words.join(" + ") + (terms.length > 9 ? " + …" : "")),
        data.format(sum),
      ]);
    }
    const y = data.at(g.node.value, [at.n, at.o, at.h, at.w]);
    const bias = g.bias ? data.at(g.bias.value, [at.o]) : 0;
    const others = g.inGroup - rows.length;
    if (others > 0) rows.push([`${data.count(others)} more`, "", data.format(y - total - bias)]);
    if (g.bias) rows.push([g.names.bias, "", data.format(bias)]);
    return [
      make(
        "div",
        { class: "scroll" },
        dom.table(["", `${g.names.x} · ${g.names.weight}`, "sum"], rows, { class: "terms products" }),
      ),
      make(
        "p",
        { class: "sum" },
        make("b", null, `${g.names.y}[${at.n}, ${at.o}, ${at.h}, ${at.w}] = ${data.format(y, 6)}`),
      ),
    ];
  }

  const bracket = (x) => (x < 0 ? `(${data.format(x, 3)})` : data.format(x, 3));

  function sampledNote(g, rows, cols) {
    const parts = [
      [g.x, "the input"],
      [g.weight, "the weight"],
      [g.node, "the output"],
    ]
      .filter(([node]) => !data.whole(node.value, node.shape))
      .map(([, name]) => name);
    if (!parts.length) return null;
    return make(
      "p",
      { class: "fine" },
      `Large tensors are sampled: of ${parts.join(", ")} a corner is shown, so the ` +
        `window slides over the first ${rows}×${cols} outputs of ` +
        `${data.plural(shownOutputs(g), "channel")} here; the counts are those of the ` +
        "whole layer.",
    );
  }

  return { draw };
})();
