// Backward: which outputs an input pixel touches, and what each sends back to it.
const touches = (() => {
  const { make } = dom;

  function draw(g, at, redraw) {
    const ran = timeline.ranAt.get(g.node.number);
    const known = ran !== undefined && state.frame >= ran;
    const gy = g.node.grad;
    const hits = reached(g, at);
    const o = at.o;
    const k = at.c - windows.firstChannel(g, o);
    const rows = hits.map(({ h, w, i, j }) => {
      const [slope, come] = [data.at(g.weight.value, [o, k, i, j]), data.at(gy, [at.n, o, h, w])];
      return [
        `${g.names.y}[${at.n}, ${o}, ${h}, ${w}]`,
        `${g.names.weight}[${o}, ${k}, ${i}, ${j}] = ${number(slope)}`,
        known ? number(come) : "not known yet",
        known && come !== undefined && slope !== undefined
          ? data.format(come * slope)
          : "not known",
      ];
    });
    const outputs = readers(g, at.c);
    const inputs = Array.from({ length: g.x.value.box[1] }, (_, c) => c);
    const box = gy ? gy.box : g.node.value.box;
    return [
      make(
        "p",
        null,
        "Each pixel of the input is seen by every window that covers it. Backward, " +
          "each of those outputs sends its gradient back through the weight by which it " +
          "saw the pixel.",
      ),
      make(
        "div",
        { class: "row" },
        inputs.length > 1 &&
          dom.choice("Input channel", inputs, at.c, (c) => {
            at.c = c;
            at.o = readers(g, c)[0];
            redraw();
          }),
        outputs.length > 1 &&
          dom.choice("Output channel", outputs, outputs.indexOf(o), (i) => {
            at.o = outputs[i];
            redraw();
          }),
        ["Up", "Left", "Right", "Down"].map((word, i) =>
          dom.button(["↑", "←", "→", "↓"][i], () => step(g, at, i, redraw), {
            "aria-label": `Pixel ${word.toLowerCase()}`,
            id: `pixel-${word.toLowerCase()}`,
          }),
        ),
      ),
      make(
        "p",
        { class: "counter", id: "touched", "data-count": hits.length },
        `${g.names.x}[${at.n}, ${at.c}, ${at.r}, ${at.q}] is seen by `,
        make("b", null, data.plural(hits.length, "output")),
        ` of each output channel that reads it`,
        g.outGroup > 1 ? `, ${data.count(hits.length * g.outGroup)} in all.` : ".",
      ),
      make(
        "div",
        { class: "stage" },
        windows.figure(
          `Input ${g.names.x}[${at.n}, ${at.c}]: click a pixel`,
          windows.plane({
            rows: g.x.value.box[2],
            cols: g.x.value.box[3],
            top: heatmap.largest(g.x.value),
            value: (r, q) => data.at(g.x.value, [at.n, at.c, r, q]),
            frames: [{ r: at.r, c: at.q, kind: "window" }],
            press: (r, q) => {
              Object.assign(at, { r, q });
              redraw();
            },
            label: "The input with the pixel marked",
          }),
        ),
        windows.figure(
          known
            ? `Gradient ${g.gradients.y}[${at.n}, ${o}] of the output`
            : `Output channel ${o}; its gradient is not known yet`,
          windows.plane({
            rows: box[2],
            cols: box[3],
            top: known ? heatmap.largest(gy) : 1,
            value: (h, w) => (known ? data.at(gy, [at.n, o, h, w]) : undefined),
            frames: hits
              .filter((t) => t.h < box[2] && t.w < box[3])
              .map((t) => ({ r: t.h, c: t.w, kind: "reach" })),
            label: "The outputs that touch the pixel, marked",
          }),
        ),
      ),
      rows.length
        ? make(
            "div",
            { class: "scroll" },
            dom.table(["output", "slope", g.gradients.y, `${g.gradients.y} · slope`], rows, {
              class: "terms",
            }),
          )
        : null,
      known
        ? total(g, at, hits, k)
        : make(
            "p",
            { class: "unknown" },
            "The numbers come with the backward step of this op. ",
            ran === undefined
              ? null
              : dom.button(
                  `Go to step ${ran}`,
                  () => {
                    state.go(ran);
                    redraw();
                  },
                  { class: "jump" },
                ),
          ),
    ];
  }

  const number = (x) => (x === undefined ? "not sampled" : data.format(x));

  /** The outputs (h, w) whose window covers pixel (r, q), with the tap by which it does. */
  function reached(g, { r, q }) {
    const list = [];
    for (const [i, j] of windows.taps(g)) {
      const h = (r + g.padding[0][0] - i * g.dilation[0]) / g.stride[0];
      const w = (q + g.padding[1][0] - j * g.dilation[1]) / g.stride[1];
      if (Number.isInteger(h) && Number.isInteger(w) && h >= 0 && w >= 0 && h < g.HO && w < g.WO)
        list.push({ h, w, i, j });
    }
    return list.sort((a, b) => a.h - b.h || a.w - b.w);
  }

  /** The sampled output channels that read an input channel. */
  function readers(g, c) {
    const list = [];
    for (let o = 0; o < Math.min(g.node.value.box[1], g.weight.value.box[0]); o++) {
      const first = windows.firstChannel(g, o);
      if (c >= first && c < first + Math.min(g.inGroup, g.weight.value.box[1])) list.push(o);
    }
    return list.length ? list : [0];
  }

  function total(g, at, hits, k) {
    const sum = hits.reduce(
      (s, { h, w, i, j }) =>
        s + data.at(g.node.grad, [at.n, at.o, h, w]) * data.at(g.weight.value, [at.o, k, i, j]),
      0,
    );
    const whole =
      timeline.arrivals[g.x.number].length === 1
        ? data.at(g.x.grad, [at.n, at.c, at.r, at.q])
        : undefined;
    const others =
      whole === undefined || g.outGroup === 1
        ? ""
        : ` With the other ${data.plural(g.outGroup - 1, "output channel")}: ${g.gradients.x}[` +
          `${at.n}, ${at.c}, ${at.r}, ${at.q}] = ${data.format(whole, 6)}.`;
    return make(
      "p",
      { class: "sum", id: "touched-sum", "data-value": sum },
      make(
        "b",
        null,
        `Through output channel ${at.o}: ` +
          `${Number.isNaN(sum) ? "not sampled" : data.format(sum, 6)}.`,
      ),
      others,
      g.x.kind === "constant"
        ? " (This gradient is not needed here: the input is a constant.)"
        : "",
    );
  }

  function step(g, at, way, redraw) {
    const [rows, cols] = g.x.value.box.slice(2);
    at.r = Math.max(0, Math.min(rows - 1, at.r + [-1, 0, 0, 1][way]));
    at.q = Math.max(0, Math.min(cols - 1, at.q + [0, -1, 1, 0][way]));
    redraw();
  }

  return { draw };
})();
