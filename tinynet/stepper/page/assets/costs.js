// Standard, depthwise and pointwise convolution side by side, with their costs at these sizes.
const costs = (() => {
  const { make, svg } = dom;

  /** The sizes to compare at: this layer's, a 3x3 kernel if its own is 1x1. For a depthwise layer
   * the outputs are those of the pointwise convolution that follows, if one does. */
  function sizes(g) {
    const pointwise = g.kind === "pointwise";
    const [KH, KW] = pointwise ? [3, 3] : g.kernel;
    const next = g.kind === "depthwise" ? following(g.node) : null;
    return { KH, KW, M: g.C, N: next ? next.shape[1] : g.O, places: g.HO * g.WO, pointwise, next };
  }

  function following(node) {
    for (let n = node.number, k = 0; k < 4; k++) {
      const user = data.nodes[folding.consumers[n][0]];
      if (!user) return null;
      if (user.conv) return folding.kind(user) === "pointwise" ? user : null;
      n = user.number;
    }
    return null;
  }

  function draw(g, at, redraw) {
    const { KH, KW, M, N, places, pointwise, next } = sizes(g);
    const K = `${KH}·${KW}`;
    const area = `${g.HO}·${g.WO}`;
    const kinds = [
      {
        kind: "standard",
        words: "Every output channel looks at all input channels.",
        formula: `${K} · ${M} · ${N} · ${area}`,
        adds: KH * KW * M * N * places,
        weights: KH * KW * M * N,
      },
      {
        kind: "depthwise",
        words: "Every channel is filtered by itself.",
        formula: `${K} · ${M} · ${area}`,
        adds: KH * KW * M * places,
        weights: KH * KW * M,
      },
      {
        kind: "pointwise",
        words: "Every pixel's channels are mixed; no neighbours.",
        formula: `${M} · ${N} · ${area}`,
        adds: M * N * places,
        weights: M * N,
      },
    ];
    const top = kinds[0].adds;
    const both = kinds[1].adds + kinds[2].adds;
    const about =
      `${M} input channels, ${N} output ` +
      `channels${next ? " (those of the pointwise convolution that follows)" : ""}, ` +
      `${g.HO}×${g.WO} outputs` +
      (pointwise
        ? "; this layer's own kernel is 1×1, the other two are shown with 3×3."
        : `, a ${KH}×${KW} kernel.`);
    return [
      make("p", null, `For one image at this layer's sizes: ${about}`),
      make(
        "div",
        { class: "cards" },
        kinds.map((k) =>
          make(
            "section",
            { class: `cost${k.kind === g.kind ? " this" : ""}`, "data-adds": k.adds },
            make("h3", null, k.kind + (k.kind === g.kind ? " (this layer)" : "")),
            drawing(k.kind),
            make("p", { class: "fine" }, k.words),
            make("p", { class: "big" }, data.count(k.adds)),
            make("p", { class: "fine" }, `multiply-adds = ${k.formula}`),
            make(
              "span",
              { class: "bars", "aria-hidden": "true" },
              make("i", { style: `width:${Math.max(0.5, (100 * k.adds) / top)}%` }),
            ),
            make("p", { class: "fine" }, `${data.plural(k.weights, "weight")}`),
          ),
        ),
      ),
      make(
        "p",
        { class: "counter" },
        "Depthwise then pointwise: ",
        make("b", null, data.count(both)),
        ` multiply-adds, ${data.format((100 * both) / top, 3)} % of the standard ` +
          `convolution (1/${N} + 1/(${K}) = ${data.format(1 / N + 1 / (KH * KW), 3)}).`,
      ),
      make(
        "p",
        { class: "fine" },
        "The padding is counted as if it were part of the image, as in the " +
          "MobileNet paper (arXiv 1704.04861, section 3.1).",
      ),
      mobilenet.section(redraw),
    ];
  }

  /** Input channels at the left, output channels at the right, and which pixels feed one output. */
  function drawing(kind) {
    const slab = (x, y, cls) =>
      svg("path", { class: `slab ${cls}`, d: `M${x} ${y}l26 -12v44l-26 12z` });
    const ys = [10, 26, 42];
    const inputs = [0, 1, 2],
      used = kind === "depthwise" ? [1] : inputs;
    const target = kind === "depthwise" ? 1 : 2;
    const spot = (x, y) =>
      kind === "pointwise"
        ? svg("path", { class: "slab hot", d: `M${x + 11} ${y + 16}l5 -2.3v7l-5 2.3z` })
        : svg("path", { class: "slab hot", d: `M${x + 6} ${y + 11}l14 -6.5v20l-14 6.5z` });
    return svg(
      "svg",
      { viewBox: "0 0 220 100", "aria-hidden": "true" },
      inputs.map((i) => slab(14 + i * 24, ys[0] + 14 + i * 4, "")),
      used.map((i) => spot(14 + i * 24, ys[0] + 14 + i * 4)),
      inputs.map((i) => slab(136 + i * 24, ys[0] + 14 + i * 4, "out")),
      used.map((i) =>
        svg("line", {
          class: "wire",
          x1: 27 + i * 24,
          y1: 38 + i * 4,
          x2: 148 + target * 24,
          y2: 38 + target * 4,
        }),
      ),
      svg("path", {
        class: "slab hot",
        d: "M0 0l5 -2.3v7l-5 2.3z",
        transform: `translate(${146 + target * 24} ${35 + target * 4})`,
      }),
    );
  }

  return { draw };
})();
