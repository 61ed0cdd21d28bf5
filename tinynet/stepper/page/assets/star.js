// The picture that a lesson is about: BatchNorm's three paths, a convolution's sliding kernel.
const star = (() => {
  const { make } = dom;
  const places = new Map(); // op number -> the output that is looked at: {o, h, w}

  state.keep(
    "window",
    () => [...places].map(([n, { o, h, w }]) => [n, o, h, w].join(".")).join("_"),
    (text) => {
      places.clear();
      for (const part of text.split("_")) {
        const [n, o, h, w] = part.split(".").map(Number);
        if (data.nodes[n]?.conv) places.set(n, { o, h, w });
      }
    },
  );

  /** [title, content()] of the node's star, null if it has none. */
  function of(node) {
    if (node.name === "BatchNorm") {
      return batchnorm.known(node) && ["Three paths", () => batchnorm.section(node)];
    }
    const shown = node.conv && nodesOf(node).every((one) => one?.value);
    return shown && data.size(node.value.box) ? ["Sliding kernel", () => kernel(node)] : null;
  }

  const nodesOf = (node) => [node, ...node.inputs.slice(0, 2).map((n) => data.nodes[n])];

  function kernel(node) {
    const g = windows.of(node);
    const [rows, cols] = windows.reach(g);
    const outputs = Math.min(node.value.box[1], g.weight.value.box[0]);
    const at = places.get(node.number) || { o: 0, h: 0, w: 0 };
    at.o = Math.min(at.o, outputs - 1);
    at.h = Math.min(at.h, rows - 1);
    at.w = Math.min(at.w, cols - 1);
    const c = windows.firstChannel(g, at.o);
    const [r, q] = windows.tap(g, at.h, at.w, 0, 0);
    const known = timeline.status(node.number, state.frame).value;
    const go = (o, h, w) => {
      places.set(node.number, { o, h, w });
      state.changed("element");
    };
    const move = (by) => {
      const all = outputs * rows * cols;
      const k = ((at.o * rows + at.h) * cols + at.w + by + all) % all;
      go(Math.floor(k / (rows * cols)), Math.floor(k / cols) % rows, k % cols);
    };
    const y = known ? data.format(data.at(node.value, [0, at.o, at.h, at.w])) : "?";
    const pad = paddingShown(g);
    const across = g.x.value.box[3] + pad[1][0] + pad[1][1] + node.value.box[3] + g.kernel[1];
    const unit = Math.floor((dom.get("panel").clientWidth - 70) / across);
    const most = { most: Infinity, cell: view.lecture ? legible(g, unit) : Math.min(34, unit) };
    return [
      make(
        "div",
        { class: "row" },
        dom.button("◀", () => move(-1), { "aria-label": "Slide back", id: "star-back" }),
        dom.button("▶", () => move(1), { "aria-label": "Slide on", id: "star-on" }),
        make(
          "b",
          { id: "star-value", role: "status" },
          `${node.symbol}[0, ${at.o}, ${at.h}, ${at.w}] = ${y}`,
        ),
        make(
          "span",
          { class: "fine detail" },
          `${data.plural(windows.cost(g).one, "product")} in ${data.plural(g.inGroup, "channel")}`,
        ),
      ),
      make(
        "div",
        { class: "stage slide" },
        windows.figure(
          `Input, channel ${c}`,
          windows.plane({
            ...most,
            rows: g.x.value.box[2],
            cols: g.x.value.box[3],
            pad,
            top: heatmap.largest(g.x.value),
            frames: [
              {
                r,
                c: q,
                rows: g.dilation[0] * (g.kernel[0] - 1) + 1,
                cols: g.dilation[1] * (g.kernel[1] - 1) + 1,
                kind: "window",
              },
            ],
            value: (i, j) => data.at(g.x.value, [0, c, i, j]),
            label: "The input, the kernel's window marked",
          }),
        ),
        windows.figure(
          `Output, ${at.o}`,
          windows.plane({
            ...most,
            rows: node.value.box[2],
            cols: node.value.box[3],
            top: heatmap.largest(node.value),
            frames: [{ r: at.h, c: at.w, kind: "window" }],
            value: (h, w) => (known ? data.at(node.value, [0, at.o, h, w]) : undefined),
            press: (h, w) => h < rows && w < cols && go(at.o, h, w),
            label: "The output, the current element marked; a click moves the kernel there",
          }),
        ),
        windows.figure(
          `Kernel`,
          windows.plane({
            ...most,
            rows: g.kernel[0],
            cols: g.kernel[1],
            top: heatmap.largest(g.weight.value),
            value: (i, j) => data.at(g.weight.value, [at.o, 0, i, j]),
            label: "The kernel",
          }),
        ),
      ),
    ];
  }

  /** The cell from `unit` on that has room for all numbers; a small one, with none, if they need
   * more than 44 pixels. */
  function legible(g, unit) {
    const numbers = [g.x, g.weight, g.node].flatMap((one) => one.value.v);
    for (let size = Math.max(24, unit); size <= 44; size++) {
      if (numerals.fits(numbers, size)) return size;
    }
    return Math.min(23, unit);
  }

  const paddingShown = (g) =>
    [0, 1].map((axis) => [
      g.padding[axis][0],
      g.x.value.box[axis + 2] === g.x.shape[axis + 2] ? g.padding[axis][1] : 0,
    ]);

  return { of };
})();
