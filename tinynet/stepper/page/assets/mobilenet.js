// The multiply-adds of MobileNetV1 at its real size, beside which a lesson's layer is a toy.
const mobilenet = (() => {
  const { make } = dom;
  const CLASSES = 1000;
  // Howard et al., arXiv 1704.04861, table 1: output channels and stride of each separable block,
  // after a stem of 32 channels and stride 2 on a 224x224 image.
  // prettier-ignore
  const BLOCKS = [
    ...[[64, 1], [128, 2], [128, 1], [256, 2], [256, 1], [512, 2]],
    ...[[512, 1], [512, 1], [512, 1], [512, 1], [512, 1], [1024, 2], [1024, 1]],
  ];
  let chosen = 7;

  /** [{M, N, side, stride}] of the separable blocks: channels in and out, side of the outputs. */
  const blocks = (() => {
    let [M, side] = [32, 112];
    return BLOCKS.map(([N, stride]) => {
      side /= stride;
      const block = { M, N, side, stride };
      M = N;
      return block;
    });
  })();

  const depthwise = ({ M, side }) => 9 * M * side * side;
  const pointwise = ({ M, N, side }) => M * N * side * side;

  /** {name: multiply-adds} of the parts of the network. */
  function parts() {
    const sum = (cost) => blocks.reduce((total, block) => total + cost(block), 0);
    return {
      pointwise: sum(pointwise),
      depthwise: sum(depthwise),
      stem: 27 * 32 * 112 * 112,
      "fully connected": blocks.at(-1).N * CLASSES,
    };
  }

  function section(redraw) {
    const block = blocks[chosen];
    const kinds = [
      ["standard", 9 * pointwise(block)],
      ["depthwise", depthwise(block)],
      ["pointwise", pointwise(block)],
    ];
    const all = Object.values(parts()).reduce((a, b) => a + b);
    const share = (part) => `${((100 * part) / all).toFixed(1)} %`;
    const { M, N, side } = block;
    return [
      make("h3", null, "At the sizes of MobileNetV1 (width 1, a 224×224 image)"),
      dom.choice(
        "Block",
        blocks.map((b, i) => `${i}: ${b.M} to ${b.N} channels, ${b.side}×${b.side}`),
        chosen,
        (i) => {
          chosen = i;
          redraw();
        },
        { id: "real-block" },
      ),
      make(
        "div",
        { class: "real" },
        kinds.map(([kind, adds]) => [
          make("span", null, kind),
          make(
            "span",
            { class: "bars", "aria-hidden": "true" },
            make("i", { style: `width:${(100 * adds) / kinds[0][1]}%` }),
          ),
          make("b", { "data-real": adds }, data.count(adds)),
        ]),
      ),
      make(
        "p",
        { class: "fine" },
        `Standard 3·3·${M}·${N}·${side}·${side}, depthwise 3·3·${M}·${side}·${side}, ` +
          `pointwise ${M}·${N}·${side}·${side}. Backward takes the same again for gx, and again ` +
          "for gweight.",
      ),
      make(
        "p",
        { class: "counter", id: "real-shares" },
        "Of all multiply-adds of the network, ",
        make("b", null, data.count(all)),
        ", the pointwise convolutions take ",
        make("b", null, share(parts().pointwise)),
        `, the depthwise ${share(parts().depthwise)}, the stem ${share(parts().stem)}, the ` +
          `fully connected layer ${share(parts()["fully connected"])}.`,
      ),
    ];
  }

  return { blocks, parts, section };
})();
