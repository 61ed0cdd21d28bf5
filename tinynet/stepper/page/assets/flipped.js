// Backward as a picture, to x: the kernel turned by 180 degrees slides over the padded gy.
const flipped = (() => {
  const { make } = dom;

  /** Row (or column) of gy that tap i of the window for pixel r meets; between rows: a zero. */
  const meets = (g, axis, r, i) => (r + g.padding[axis][0] - i * g.dilation[axis]) / g.stride[axis];

  /** gy[n, o] as the turned kernel sees it: strided outputs apart, and a border of zeros. */
  function stretched(g, n, o) {
    const sizes = [g.H, g.W].map((size, axis) => size + g.dilation[axis] * (g.kernel[axis] - 1));
    const border = [0, 1].map(
      (axis) => g.dilation[axis] * (g.kernel[axis] - 1) - g.padding[axis][0],
    );
    const at = (row, col) => {
      const [h, w] = [(row - border[0]) / g.stride[0], (col - border[1]) / g.stride[1]];
      const real = Number.isInteger(h) && Number.isInteger(w) && h >= 0 && w >= 0;
      return real && h < g.HO && w < g.WO ? data.at(g.node.grad, [n, o, h, w]) : null;
    };
    return { rows: sizes[0], cols: sizes[1], at };
  }

  /** The products of gy[n, o] with the turned kernel at pixel (r, q) of channel c. */
  function products(g, n, o, c, r, q) {
    const k = c - windows.firstChannel(g, o);
    const list = [];
    for (const [i, j] of windows.taps(g).reverse()) {
      const [h, w] = [meets(g, 0, r, i), meets(g, 1, q, j)];
      const real = Number.isInteger(h) && Number.isInteger(w) && h >= 0 && w >= 0;
      const gy = real && h < g.HO && w < g.WO ? data.at(g.node.grad, [n, o, h, w]) : 0;
      list.push([gy, data.at(g.weight.value, [o, k, i, j])]);
    }
    return list;
  }

  const total = (list) => list.reduce((sum, [gy, weight]) => sum + gy * weight, 0);

  function draw(g, at, redraw) {
    const missing = windows.partly(g);
    if (missing) return missing;
    const early = windows.early(g, redraw, g.gradients.x);
    if (early) return early;
    const readers = Array.from({ length: g.O }, (_, o) => o).filter((o) => {
      const first = windows.firstChannel(g, o);
      return at.c >= first && at.c < first + g.inGroup;
    });
    if (!readers.includes(at.o)) at.o = readers[0];
    const sum = (r, q) => readers.reduce((s, o) => s + total(products(g, at.n, o, at.c, r, q)), 0);
    const gy = stretched(g, at.n, at.o);
    const k = at.c - windows.firstChannel(g, at.o);
    const [KH, KW] = g.kernel;
    const top = heatmap.largest(g.node.grad);
    const gx = Array.from({ length: g.H * g.W }, (_, p) => sum(Math.floor(p / g.W), p % g.W));
    const move = (way) => {
      const next = at.r * g.W + at.q + way;
      if (next < 0 || next >= g.H * g.W) return;
      Object.assign(at, { r: Math.floor(next / g.W), q: next % g.W });
      redraw();
    };
    const name = `${g.gradients.x}[${at.n}, ${at.c}, ${at.r}, ${at.q}]`;
    return [
      make(
        "p",
        null,
        `Backward to ${g.names.x} is a convolution too: turn the kernel by 180°, put a border of ` +
          `zeros around ${g.gradients.y}, and slide` +
          (g.stride.some((s) => s > 1) ? "; the stride puts zeros between the outputs" : "") +
          `. Each position gives one pixel of ${g.gradients.x}.`,
      ),
      make(
        "div",
        { class: "row" },
        g.C > 1 &&
          dom.choice("Input channel", range(g.C), at.c, (c) => {
            at.c = c;
            redraw();
          }),
        readers.length > 1 &&
          dom.choice("Output channel shown", readers, readers.indexOf(at.o), (i) => {
            at.o = readers[i];
            redraw();
          }),
        dom.button("◀ Slide back", () => move(-1), { id: "flip-back" }),
        dom.button("Slide on ▶", () => move(1), { id: "flip-on" }),
      ),
      make(
        "div",
        { class: "stage" },
        windows.figure(
          `${g.gradients.y}[${at.n}, ${at.o}] with its border of zeros`,
          windows.plane({
            rows: gy.rows,
            cols: gy.cols,
            top,
            value: (row, col) => gy.at(row, col) ?? 0,
            blank: (row, col) => gy.at(row, col) === null,
            frames: [
              {
                r: at.r,
                c: at.q,
                rows: g.dilation[0] * (KH - 1) + 1,
                cols: g.dilation[1] * (KW - 1) + 1,
                kind: "window",
              },
            ],
            label: "The gradient of the output, padded, with the window marked",
          }),
        ),
        windows.figure(
          `${g.names.weight}[${at.o}, ${k}] turned by 180°`,
          windows.plane({
            rows: KH,
            cols: KW,
            top: heatmap.largest(g.weight.value),
            value: (i, j) => data.at(g.weight.value, [at.o, k, KH - 1 - i, KW - 1 - j]),
            label: "The turned kernel",
            most: 38 * Math.max(4, KW),
          }),
        ),
        windows.figure(
          `${g.gradients.x}[${at.n}, ${at.c}], ${g.H}×${g.W}: click a pixel`,
          windows.plane({
            rows: g.H,
            cols: g.W,
            top: Math.max(...gx.map(Math.abs)),
            value: (r, q) => gx[r * g.W + q],
            frames: [{ r: at.r, c: at.q, kind: "window" }],
            press: (r, q) => {
              Object.assign(at, { r, q });
              redraw();
            },
            label: "The gradient of the input with the pixel marked",
          }),
        ),
      ),
      windows.sums(
        readers.map((o) => [`output channel ${o}`, products(g, at.n, o, at.c, at.r, at.q)]),
        `${g.gradients.y} · ${g.names.weight}`,
      ),
      make(
        "p",
        { class: "sum", id: "flip-sum", "data-value": sum(at.r, at.q) },
        make("b", null, `${name} ${windows.equals(sum(at.r, at.q))}`),
        readers.length > 1 ? ", the sum over the output channels that read this one" : "",
        g.x.kind === "constant" ? ". (Not needed here: the input is a constant.)" : "",
      ),
    ];
  }

  const range = (n) => Array.from({ length: n }, (_, i) => i);

  return { draw };
})();
