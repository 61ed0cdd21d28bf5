// The multiply-adds of MobileNetV1 at its real size, beside which a lesson's layer is a toy.
const mobilenet = (() => {
  const { make } = dom;
  // {image, stem, classes, blocks: [[stride, output channels], ...]}, which a lesson brings along
  const network = JSON.parse(dom.get("lesson").textContent)?.network;
  const half = network?.image / 2; // side of what the stem gives, whose stride is 2
  let chosen = 7;

  /** [{M, N, side}] of the separable blocks: channels in and out, side of the outputs. */
  const blocks = (() => {
    let [M, side] = [network?.stem, half];
    return (network?.blocks || []).map(([stride, N]) => {
      side /= stride;
      const block = { M, N, side };
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
      stem: 27 * network.stem * half * half,
      "fully connected": blocks.at(-1).N * network.classes,
    };
  }

  function section(redraw) {
    if (!network) return null;
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
      make("h3", null, `At the sizes of MobileNetV1 (width 1, a ${network.image}×${network.image} image)`),
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
          `pointwise ${M}·${N}·${side}·${side}. Backward takes the same again for the ` +
          "gradient of the input, and again for that of the weight.",
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

  return { parts, section };
})();
