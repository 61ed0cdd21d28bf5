// im2col: the patches as the columns of a matrix, and the convolution as one matrix product.
const im2col = (() => {
  const { make } = dom;
  const ROWS = 36,
    COLUMNS = 49;

  function draw(g, at, redraw) {
    const [rows, cols] = windows.reach(g);
    const first = windows.firstChannel(g, at.o);
    const taps = windows.taps(g);
    const channels = Math.min(
      g.inGroup,
      g.x.value.box[1] - first,
      g.weight.value.box[1],
      Math.max(1, Math.floor(ROWS / taps.length)),
    );
    const places = rows * cols;
    const here = at.h * cols + at.w;
    const start = Math.max(0, Math.min(places - COLUMNS, here - Math.floor(COLUMNS / 2)));
    const shown = Math.min(COLUMNS, places);
    const lines = channels * taps.length;
    const entry = (row, col) => {
      const [i, j] = taps[row % taps.length];
      const place = start + col;
      return windows.read(
        g,
        at.n,
        first + Math.floor(row / taps.length),
        Math.floor(place / cols),
        place % cols,
        i,
        j,
      );
    };
    const weight = (o, row) =>
      data.at(g.weight.value, [o, Math.floor(row / taps.length), ...taps[row % taps.length]]);
    const outputs =
      g.groups > 1
        ? [at.o]
        : Array.from(
            { length: Math.min(g.node.value.box[1], g.weight.value.box[0], 12) },
            (_, o) => o,
          );
    const all = g.inGroup * taps.length;
    const press = (_, col) => {
      Object.assign(at, { h: Math.floor((start + col) / cols), w: (start + col) % cols });
      redraw();
    };
    return [
      make(
        "p",
        null,
        `im2col writes each patch of ${g.names.x} into a column of a matrix of ` +
          `${data.plural(all, "row")} ` +
          `(channels × taps${g.groups > 1 ? ", of one group" : ""}) and ` +
          `${data.plural(g.HO * g.WO * g.N, "column")} (positions × images). Then ` +
          `${g.names.y} is one matrix product, ${g.names.weight} times the patches` +
          (g.bias ? `, plus ${g.names.bias}.` : "."),
      ),
      g.groups > 1 &&
        make(
          "p",
          { class: "fine" },
          g.kind === "depthwise"
            ? "A depthwise convolution would be one such small product for each channel; " +
                "tinynet computes it without im2col. Here is channel " +
                `${first} alone.`
            : `With groups there is one such product for each of the ${g.groups}; here is ` +
                `that of output channel ${at.o}.`,
        ),
      g.kind === "pointwise" &&
        make(
          "p",
          { class: "fine" },
          "With a 1×1 kernel a patch is a single pixel: the matrix is " +
            `${g.names.x} itself, and nothing has to be copied.`,
        ),
      make(
        "div",
        { class: "row" },
        dom.button(
          "◀ Previous patch",
          () => {
            if (here) press(0, here - start - 1);
          },
          { id: "patch-before" },
        ),
        dom.button(
          "Next patch ▶",
          () => {
            if (here + 1 < places) press(0, here - start + 1);
          },
          { id: "patch-after" },
        ),
        make(
          "span",
          { id: "patch" },
          `Patch ${here} of ${data.count(g.HO * g.WO)}: output (${at.h}, ${at.w})`,
        ),
      ),
      make(
        "div",
        { class: "product" },
        windows.figure(
          `${g.names.weight}: ${data.plural(outputs.length, "output channel")} × ${lines} of ${all}`,
          windows.plane({
            rows: outputs.length,
            cols: lines,
            top: heatmap.largest(g.weight.value),
            most: 360,
            cell: 24,
            value: (o, row) => weight(outputs[o], row),
            label: "The weights as a matrix",
          }),
        ),
        windows.figure(
          `Patches of ${g.names.x}: rows 0 to ${lines - 1} of ${all}, columns ${start} to ` +
            `${start + shown - 1}; click a column`,
          windows.plane({
            rows: lines,
            cols: shown,
            top: heatmap.largest(g.x.value),
            most: 620,
            cell: 24,
            value: entry,
            press,
            frames: [{ r: 0, c: here - start, rows: lines, kind: "column" }],
            label: "The im2col matrix, the current patch's column marked",
          }),
        ),
        windows.figure(
          `${g.names.y}: the same positions`,
          windows.plane({
            rows: outputs.length,
            cols: shown,
            top: heatmap.largest(g.node.value),
            most: 620,
            cell: 24,
            value: (o, col) =>
              data.at(g.node.value, [
                at.n,
                outputs[o],
                Math.floor((start + col) / cols),
                (start + col) % cols,
              ]),
            frames: [{ r: 0, c: here - start, rows: outputs.length, kind: "column" }],
            press,
            label: "The product",
          }),
        ),
      ),
    ];
  }

  return { draw };
})();
