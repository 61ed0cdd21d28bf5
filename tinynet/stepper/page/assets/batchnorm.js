// BatchNorm's three gradient paths: directly, through the mean, through the variance; summed.
const batchnorm = (() => {
  const { make, svg } = dom;
  const { nodes, steps } = data;

  const PATHS = ["directly", "through the mean", "through the variance"];

  /** What the page was told of the op's backward: undefined if its values were not recorded. */
  const known = (op) => steps[timeline.frames[timeline.ranAt.get(op.number)]?.step]?.batchnorm;

  function section(op) {
    const ran = timeline.ranAt.get(op.number);
    const info = known(op);
    const x = nodes[op.inputs[0]];
    const rank = state.rank(x.number);
    const row = info.elements[rank];
    const shown = state.frame >= ran && !state.hides(x.number);
    const name = `${x.symbol}${data.index(x.elements[rank].at)}`;
    const total = row.paths.reduce((a, b) => a + Number(b), 0);
    const about = info.training
      ? `${name} moves ${op.symbol} directly, and it moves the mean and the variance of its ` +
        `channel (${data.plural(info.count, "value")}), and so every ${op.symbol} of the ` +
        `channel. ${x.gradient} is the sum of the three.`
      : "With fixed statistics (evaluation) only the direct path remains; the other two are 0.";
    return [
      diagram(op, x, row, total, shown),
      make("p", { class: "fine" }, about),
      shown
        ? numbers(op, x, row, total)
        : make(
            "p",
            { class: "unknown" },
            state.hides(x.number)
              ? "Asked in the quiz."
              : `The numbers are not known yet: BatchNorm runs backward at step ${ran}.`,
          ),
      shown && maps(op, info),
    ];
  }

  function diagram(op, x, row, total, known) {
    const text = (x, y, words, attributes) => svg("text", { x, y, ...attributes }, words);
    const words = view.lecture ? ["directly", "mean", "variance"] : PATHS;
    const lane = (i, d) => [
      svg("path", { d, class: `lane lane${i}`, "marker-end": "url(#lane-tip)" }),
      text(190, 27 + i * 62, words[i], { class: `name lane${i}`, "text-anchor": "middle" }),
      text(190, 60 + i * 62, known ? data.format(row.paths[i], 5) : "not known yet", {
        class: known ? "value" : "value unknown",
        "text-anchor": "middle",
      }),
    ];
    return svg(
      "svg",
      {
        class: "paths",
        viewBox: "0 8 380 192",
        role: "img",
        "aria-label": known
          ? `Directly ${data.format(row.paths[0])}, through the mean ` +
            `${data.format(row.paths[1])}, through the variance ` +
            `${data.format(row.paths[2])}, sum ${data.format(total)}`
          : `Three paths from ${op.symbol} back to ${x.symbol}; their numbers are not known yet`,
      },
      svg(
        "defs",
        null,
        svg(
          "marker",
          {
            id: "lane-tip",
            viewBox: "0 0 10 10",
            refX: 9,
            refY: 5,
            markerWidth: 6,
            markerHeight: 6,
            orient: "auto-start-reverse",
          },
          svg("path", { d: "M0 0 10 5 0 10Z" }),
        ),
      ),
      lane(0, "M74 92C110 38 130 38 160 38L220 38C250 38 270 38 306 92"),
      lane(1, "M74 104L306 104"),
      lane(2, "M74 116C110 166 130 166 160 166L220 166C250 166 270 166 306 116"),
      svg("rect", { x: 4, y: 78, width: 70, height: 52, rx: 8, class: "end" }),
      text(39, 99, op.gradient, { class: "name", "text-anchor": "middle" }),
      text(39, 119, known ? data.format(row.gy, 4) : "?", {
        class: "value",
        "text-anchor": "middle",
      }),
      svg("rect", { x: 306, y: 78, width: 70, height: 52, rx: 8, class: "end" }),
      text(341, 99, x.gradient, { class: "name", "text-anchor": "middle" }),
      text(341, 119, known ? data.format(total, 4) : "?", {
        class: "value",
        "text-anchor": "middle",
      }),
    );
  }

  function numbers(op, x, row, total) {
    const [w, f] = [data.format(row.scale), (v) => data.format(v)];
    const [weight, place] = [op.text.names[1], data.index(x.elements[state.rank(x.number)].at)];
    const rows = [
      [PATHS[0], `${w} · ${f(row.gy)}`, f(row.paths[0])],
      [PATHS[1], `−${w} · ${f(row.mean_gy)}`, f(row.paths[1])],
      [PATHS[2], `−${w} · ${f(row.xhat)} · ${f(row.mean_gy_xhat)}`, f(row.paths[2])],
    ];
    return [
      make(
        "p",
        { class: "fine" },
        `${weight}/std = ${f(row.weight)} / ${f(row.std)} = ${w};  x̂ = (${x.symbol} − mean)/std = ` +
          `${f(row.xhat)}`,
      ),
      make(
        "div",
        { class: "scroll" },
        dom.table(["path", "numbers", "gradient"], rows, { class: "terms" }),
      ),
      make(
        "p",
        { class: "sum", "data-value": total },
        make("b", null, `${x.gradient}${place} ${data.gives(op, 0)} ${data.format(total, 6)}`),
        make("span", { class: "fine" }, " (the three summed)"),
      ),
    ];
  }

  /** The same three for a whole plane, from the sampled x and gy. */
  function maps(op, info) {
    const x = nodes[op.inputs[0]];
    if (!x.value || !op.grad || op.clip) return null;
    const at = x.elements[state.rank(x.number)].at;
    const [n, c] =
      at[0] < x.value.box[0] &&
      at[1] < Math.min(x.value.box[1], info.mean.length) &&
      at[1] < op.grad.box[1]
        ? at
        : [0, 0];
    const [rows, cols] = x.value.box.slice(2);
    const part = (work) => {
      const v = [];
      for (let r = 0; r < rows; r++) {
        for (let k = 0; k < cols; k++) {
          const place = [n, c, r, k];
          const xhat = (data.at(x.value, place) - info.mean[c]) / info.std[c];
          v.push(work(data.at(op.grad, place), xhat));
        }
      }
      return { box: [rows, cols], v };
    };
    const scale = info.scale[c];
    const three = [
      part((gy) => scale * gy),
      part(() => -scale * info.mean_gy[c]),
      part((_, xhat) => -scale * xhat * info.mean_gy_xhat[c]),
    ];
    const sum = {
      box: [rows, cols],
      v: three[0].v.map((a, i) => a + three[1].v[i] + three[2].v[i]),
    };
    const names = ["directly", "mean", "variance", "sum"];
    const top = Math.max(...[...three, sum].map(heatmap.largest));
    return make(
      "div",
      null,
      make(
        "p",
        { class: "fine" },
        `Image ${n}, channel ${c}: the three and their sum, in one colour scale.`,
      ),
      make(
        "div",
        { class: "planes four" },
        [...three, sum].map((sample, i) => plain(sample, names[i], top)),
      ),
    );
  }

  function plain(sample, name, top) {
    const [rows, cols] = sample.box;
    const cells = sample.v.map((v, i) =>
      svg(
        "rect",
        {
          x: i % cols,
          y: Math.floor(i / cols),
          width: 1.02,
          height: 1.02,
          fill: heatmap.colour(v, top),
        },
        svg("title", null, `${name}: ${data.format(v)}`),
      ),
    );
    return make(
      "figure",
      null,
      svg(
        "svg",
        {
          viewBox: `0 0 ${cols} ${rows}`,
          width: 88,
          height: (88 * rows) / cols,
          role: "img",
          "aria-label": `Heat map: ${name}`,
        },
        cells,
      ),
      make("figcaption", null, name),
    );
  }

  return { known, section };
})();
