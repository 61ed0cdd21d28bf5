// Backward as a picture, to the weight: gy slides over x like a kernel, a position for each tap.
const correlate = (() => {
  const { make } = dom;

  function draw(g, at, redraw) {
    const missing = windows.partly(g);
    if (missing) return missing;
    const early = windows.early(g, redraw, g.gradients.weight);
    if (early) return early;
    const first = windows.firstChannel(g, at.o);
    if (at.c < first || at.c >= first + g.inGroup) at.c = first;
    const [i, j] = [Math.min(at.i, g.kernel[0] - 1), Math.min(at.j, g.kernel[1] - 1)];
    const products = (n, a, b) => {
      const list = [];
      for (let h = 0; h < g.HO; h++)
        for (let w = 0; w < g.WO; w++)
          list.push([data.at(g.node.grad, [n, at.o, h, w]), windows.read(g, n, at.c, h, w, a, b)]);
      return list;
    };
    const images = Array.from({ length: g.N }, (_, n) => n);
    const sum = (a, b) =>
      images.reduce((s, n) => products(n, a, b).reduce((part, [gy, x]) => part + gy * x, s), 0);
    const gw = windows.taps(g).map(([a, b]) => sum(a, b));
    const k = at.c - first;
    const move = (way) => {
      const next = i * g.kernel[1] + j + way;
      if (next < 0 || next >= gw.length) return;
      Object.assign(at, { i: Math.floor(next / g.kernel[1]), j: next % g.kernel[1] });
      redraw();
    };
    const choice = (label, n, chosen, key) =>
      n > 1 &&
      dom.choice(
        label,
        Array.from({ length: n }, (_, v) => v),
        chosen,
        (v) => {
          at[key] = v;
          redraw();
        },
      );
    const name = `${g.gradients.weight}[${at.o}, ${k}, ${i}, ${j}]`;
    return [
      make(
        "p",
        null,
        `Backward to ${g.names.weight}, ${g.gradients.y} is the kernel: it lies over ` +
          `${g.names.x} as the outputs lay over it, ` +
          "and its products are added up. Each position gives one weight's gradient" +
          (g.N > 1 ? `; the ${g.N} images are summed.` : "."),
      ),
      make(
        "div",
        { class: "row" },
        choice("Image", g.N, at.n, "n"),
        choice("Output channel", g.O, at.o, "o"),
        g.inGroup > 1 &&
          dom.choice(
            "Input channel",
            Array.from({ length: g.inGroup }, (_, v) => first + v),
            k,
            (v) => {
              at.c = first + v;
              redraw();
            },
          ),
        dom.button("◀ Slide back", () => move(-1), { id: "correlate-back" }),
        dom.button("Slide on ▶", () => move(1), { id: "correlate-on" }),
      ),
      make(
        "div",
        { class: "stage" },
        windows.figure(
          `${g.names.x}[${at.n}, ${at.c}], ${g.H}×${g.W} with its padding`,
          windows.plane({
            rows: g.H,
            cols: g.W,
            pad: g.padding,
            top: heatmap.largest(g.x.value),
            value: (r, q) => data.at(g.x.value, [at.n, at.c, r, q]),
            frames: [
              {
                r: i * g.dilation[0] - g.padding[0][0],
                c: j * g.dilation[1] - g.padding[1][0],
                rows: (g.HO - 1) * g.stride[0] + 1,
                cols: (g.WO - 1) * g.stride[1] + 1,
                kind: "window",
              },
            ],
            label: `${g.names.x}, padded, with what ${g.gradients.y} lies over marked`,
          }),
        ),
        windows.figure(
          `${g.gradients.y}[${at.n}, ${at.o}], ${g.HO}×${g.WO}`,
          windows.plane({
            rows: g.HO,
            cols: g.WO,
            top: heatmap.largest(g.node.grad),
            value: (h, w) => data.at(g.node.grad, [at.n, at.o, h, w]),
            label: "The gradient of the output, which is the kernel here",
          }),
        ),
        windows.figure(
          `${g.gradients.weight}[${at.o}, ${k}]: click a weight`,
          windows.plane({
            rows: g.kernel[0],
            cols: g.kernel[1],
            top: Math.max(...gw.map(Math.abs)),
            value: (a, b) => gw[a * g.kernel[1] + b],
            frames: [{ r: i, c: j, kind: "window" }],
            press: (a, b) => {
              Object.assign(at, { i: a, j: b });
              redraw();
            },
            label: "The gradient of the kernel with the weight marked",
            most: 38 * Math.max(4, g.kernel[1]),
          }),
        ),
      ),
      windows.sums(
        images.map((n) => [`image ${n}`, products(n, i, j)]),
        `${g.gradients.y} · ${g.names.x}`,
      ),
      make(
        "p",
        { class: "sum", id: "correlate-sum", "data-value": sum(i, j) },
        make("b", null, `${name} ${windows.equals(sum(i, j))}`),
      ),
    ];
  }

  return { draw };
})();
