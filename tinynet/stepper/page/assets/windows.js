// The geometry of a convolution, and planes of pixels to point at.
const windows = (() => {
  const { make, svg } = dom;

  /** The sizes of a convolution and its tensors. */
  function of(node) {
    const [x, weight, bias] = node.inputs.map((i) => data.nodes[i]);
    const { kernel, stride, padding, dilation, groups } = node.conv;
    const [N, O, HO, WO] = node.shape;
    const [names, gradients] = [node.text.names, node.text.gradients];
    const [, C, H, W] = x ? x.shape : [0, weight.shape[1] * groups, 0, 0];
    return {
      node,
      x,
      weight,
      bias,
      // what the graph calls them, and their gradients
      names: { x: names[0], weight: names[1], bias: names[2], y: node.symbol },
      gradients: { x: gradients[0], weight: gradients[1], y: node.gradient },
      kernel,
      stride,
      padding,
      dilation,
      groups,
      N,
      C,
      H,
      W,
      O,
      HO,
      WO,
      inGroup: C / groups,
      outGroup: O / groups,
      kind: folding.kind(node),
    };
  }

  /** Multiply-adds: for one output, for one image, for the whole batch. */
  function cost(g) {
    const one = g.inGroup * g.kernel[0] * g.kernel[1];
    const image = one * g.O * g.HO * g.WO;
    return { one, image, all: image * g.N };
  }

  /** The first of the input channels that output channel o reads. */
  const firstChannel = (g, o) => Math.floor(o / g.outGroup) * g.inGroup;

  /** Where tap (i, j) of the window at output (h, w) reads: [row, column], maybe in the padding. */
  const tap = (g, h, w, i, j) => [
    h * g.stride[0] + i * g.dilation[0] - g.padding[0][0],
    w * g.stride[1] + j * g.dilation[1] - g.padding[1][0],
  ];

  const inside = (g, r, q) => r >= 0 && r < g.H && q >= 0 && q < g.W;

  function taps(g) {
    const list = [];
    for (let i = 0; i < g.kernel[0]; i++) for (let j = 0; j < g.kernel[1]; j++) list.push([i, j]);
    return list;
  }

  /** The input at a tap: 0 in the padding, undefined if the page does not have it. */
  function read(g, n, c, h, w, i, j) {
    const [r, q] = tap(g, h, w, i, j);
    return inside(g, r, q) ? data.at(g.x.value, [n, c, r, q]) : 0;
  }

  /** Whether all that the window at (h, w) sees was sampled. */
  const seen = (g, h, w) => taps(g).every(([i, j]) => read(g, 0, 0, h, w, i, j) !== undefined);

  /** How many output rows and columns can be looked at. */
  function reach(g) {
    const y = g.node.value.box;
    let [rows, cols] = [Math.min(y[2], g.HO), Math.min(y[3], g.WO)];
    while (rows > 1 && !seen(g, rows - 1, 0)) rows--;
    while (cols > 1 && !seen(g, 0, cols - 1)) cols--;
    return [rows, cols];
  }

  /**
   * A plane of cells. rows, cols; value(r, c); pad: [[top, bottom], [left, right]] cells around it;
   * press(r, c): what a click does; blank(r, c): a zero that is only put in; frames: [{r, c, rows, cols, kind}] drawn over it.
   */
  function plane({
    rows,
    cols,
    value,
    pad = [
      [0, 0],
      [0, 0],
    ],
    press,
    blank = () => false,
    frames = [],
    top,
    label,
    most = 300,
    cell,
  }) {
    const [[t, b], [l, r]] = pad;
    const [height, width] = [rows + t + b, cols + l + r];
    const shown = [];
    for (let row = 0; row < rows; row++)
      for (let col = 0; col < cols; col++) shown.push(value(row, col) ?? 0);
    const unit =
      (!cell && legible(shown, width)) ||
      Math.max(8, Math.min(cell || 38, Math.floor(most / Math.max(width, 4))));
    const numbers = numerals.fits(shown, unit);
    const parts = [];
    for (let row = -t; row < rows + b; row++) {
      for (let col = -l; col < cols + r; col++) {
        const real = row >= 0 && row < rows && col >= 0 && col < cols;
        const [x, y] = [(col + l) * unit, (row + t) * unit];
        const v = real ? value(row, col) : 0;
        const known = v !== undefined && v !== null;
        const box = svg(
          "rect",
          {
            x,
            y,
            width: unit,
            height: unit,
            class: real && !blank(row, col) ? `cell${press ? " press" : ""}` : "pad",
            fill:
              real && !blank(row, col) ? (known ? heatmap.colour(v, top) : "var(--tint)") : null,
          },
          svg("title", null, real ? (known ? data.format(v) : "not known yet") : "padding: 0"),
        );
        if (real && press) box.addEventListener("click", () => press(row, col));
        parts.push(box);
        if (numbers) {
          const [cx, cy] = [x + unit / 2, y + unit / 2];
          parts.push(
            known
              ? numerals.label(v, real ? top : Infinity, cx, cy, unit)
              : svg("text", { x: cx, y: cy, class: "number" }, "?"),
          );
        }
      }
    }
    for (const f of frames) {
      parts.push(
        svg("rect", {
          x: (f.c + l) * unit + 1,
          y: (f.r + t) * unit + 1,
          class: f.kind,
          width: (f.cols || 1) * unit - 2,
          height: (f.rows || 1) * unit - 2,
        }),
      );
    }
    return svg(
      "svg",
      {
        class: "plane",
        width: width * unit,
        height: height * unit,
        role: "img",
        viewBox: `0 0 ${width * unit} ${height * unit}`,
        "aria-label": label,
      },
      parts,
    );
  }

  /** In lecture mode: the smallest cell in which all numbers can be read, if the dialog has room. */
  function legible(numbers, width) {
    const room = Math.min(52, (dom.get("closeup").clientWidth - 48) / width);
    for (let unit = 30; view.lecture && unit <= room; unit++)
      if (numerals.fits(numbers, unit)) return unit;
    return 0;
  }

  /** A sentence where the page has only a corner of the tensors, null where it has all. */
  function partly(g) {
    const sampled = [g.x.value, g.weight.value, g.node.grad].some(
      (sample, i) => sample && !data.whole(sample, [g.x, g.weight, g.node][i].shape),
    );
    if (!sampled) return null;
    return make(
      "p",
      { class: "unknown" },
      "These tensors are large and the page has a corner of them, which is not enough for the " +
        "sums. See the lessons conv, depthwise and pointwise.",
    );
  }

  /** What to show before gy is known, null afterwards. */
  function early(g, redraw, name) {
    const ran = timeline.ranAt.get(g.node.number);
    if (ran !== undefined && state.frame >= ran) return null;
    if (ran === undefined) return make("p", { class: "unknown" }, "No gradient reaches this op.");
    const go = () => {
      state.go(ran);
      redraw();
    };
    return make(
      "p",
      { class: "unknown" },
      `${name} is not known yet. `,
      dom.button(`Go to step ${ran}`, go, { class: "jump", id: "go-back" }),
    );
  }

  /** A table of sums of products: rows of [name, [[a, b], ...]]. */
  function sums(rows, head) {
    const bracket = (x) => (x < 0 ? `(${data.format(x, 3)})` : data.format(x, 3));
    const lines = rows.slice(0, 8).map(([name, list]) => {
      const words = list.slice(0, 25).map(([a, b]) => `${bracket(a)}·${bracket(b)}`);
      const sum = list.reduce((total, [a, b]) => total + a * b, 0);
      const text = words.join(" + ") + (list.length > 25 ? " + …" : "");
      return [name, make("code", null, text), data.format(sum)];
    });
    if (rows.length > 8) lines.push([`${rows.length - 8} more`, "", ""]);
    return make(
      "div",
      { class: "scroll" },
      dom.table(["", head, "sum"], lines, { class: "terms products" }),
    );
  }

  /** '= 0.25'; of numbers with few digits, which a sum makes fewer, '≈ 0.25'. */
  const equals = (sum) => (live.why ? `≈ ${data.format(sum, 3)}` : `= ${data.format(sum, 6)}`);

  const figure = (caption, ...content) =>
    make("figure", null, make("figcaption", null, caption), content);

  return {
    of,
    cost,
    firstChannel,
    tap,
    inside,
    taps,
    read,
    seen,
    reach,
    plane,
    partly,
    early,
    sums,
    equals,
    figure,
  };
})();
