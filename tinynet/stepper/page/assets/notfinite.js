// NaN and infinity: where the first of them is made is said at the top, and marked in the graph.
(() => {
  const { make, get } = dom;
  const [value, step] = data.firstBad;
  const ranAt = step === null ? null : timeline.ranAt.get(data.steps[step].node);
  const marked = new Set();
  if (value !== null) marked.add(value);
  if (step !== null) marked.add(data.steps[step].node);

  function say() {
    if (value === null && step === null) return;
    const jump = (frame) => dom.button(`step ${frame}`, () => state.go(frame), { class: "jump" });
    const place = (node) => `${data.title(node)}${node.path ? ` in ${node.path}` : ""}`;
    const notice = get("notice");
    notice.hidden = false;
    notice.append(
      make(
        "span",
        { id: "first-bad" },
        value === null
          ? ""
          : [
              `NaN or infinity in the values: first ${data.nodes[value].isOp ? "made" : "given"} ` +
                `in ${place(data.nodes[value])}, `,
              jump(timeline.valueAt[value]),
              ". ",
            ],
        step === null
          ? ""
          : [
              "In the gradients: first made by the backward of ",
              `${place(data.nodes[data.steps[step].node])}, `,
              jump(ranAt),
              ".",
            ],
      ),
    );
  }

  /** Mark the cards: the listener of main.js, which draws the graph, was there before. */
  function mark() {
    for (const number of marked) {
      const card = document.querySelector(`[data-id="n${number}"]`);
      if (!card || card.querySelector(".first-bad")) continue;
      const right = card.querySelector(".body").width.baseVal.value - 10; // beside the shape
      const words = number === value ? "first NaN or infinity" : "first of a gradient";
      card.append(
        dom.svg(
          "text",
          { class: "first-bad", x: right, y: 39, "text-anchor": "end" },
          "⚠ NaN, ∞",
          dom.svg("title", null, words),
        ),
      );
    }
  }

  if (marked.size) state.listen(mark);
  say();
  mark();
})();
