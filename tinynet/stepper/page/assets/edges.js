// The edges of the picture: every use of a node's value; lit where the current step passes.
const edges = (() => {
  const { svg } = dom;
  const { nodes } = data;

  /** All edges. What is folded away has none; links that look the same are drawn once. */
  function all(picture, frame, chipPlaces) {
    const boxes = new Map(picture.boxes.map((box) => [layout.id(box.item), box]));
    const drawn = new Map();
    const quiet = [],
      lit = [];
    for (const box of picture.boxes) {
      if (box.boxes) continue;
      const ops = box.item.items ? box.item.ops.map((n) => nodes[n]) : [box.item];
      for (const op of ops) {
        op.inputs.forEach((input, i) => {
          if (input === null || folding.isChip(nodes[input])) return;
          const from = folding.visible(input);
          if (from === box.item) return;
          const key = `${layout.id(from)}>${layout.id(box.item)}`;
          const use = { op, input, i, key, from: boxes.get(layout.id(from)), to: box };
          const same = drawn.get(key) || [];
          drawn.set(key, same);
          if (same.length && (from.items || box.item.items)) same[0].uses.push(use);
          else same.push({ ...use, uses: [use] });
        });
      }
      for (const chip of chipPlaces(box)) {
        const i = box.item.inputs.indexOf(chip.item.number);
        const y = chip.y + layout.CHIP_HEIGHT / 2;
        const [x1, x2] = [chip.x + chip.width, box.cx - box.half];
        const middle = box.top + box.height / 2;
        const end = Math.max(middle - 20, Math.min(middle + 20, y));
        const d = `M${x1} ${y}C${x1 + 11} ${y} ${x2 - 11} ${end} ${x2} ${end}`;
        (light(box.item, i, frame) ? lit : quiet).push(edge(d, box.item, i, frame, null));
      }
    }
    for (const same of drawn.values()) {
      same.forEach((use, k) => {
        const { d, at } = path(use, (k - (same.length - 1) / 2) * 34, picture.chains);
        const hot = use.uses.find((u) => light(u.op, u.i, frame));
        (hot ? lit : quiet).push(edge(d, (hot || use).op, (hot || use).i, frame, hot && at));
      });
    }
    return [...quiet, ...lit];
  }

  /** Whether the frame passes along the edge: 'forward' into its op, 'backward' out of it. */
  function light(op, i, frame) {
    if (op.number !== frame.node) return null;
    if (frame.phase === "forward") return "forward";
    return frame.phase === "backward" && frame.sent.includes(i) ? "backward" : null;
  }

  function edge(d, op, i, frame, at) {
    const way = light(op, i, frame);
    const line = svg("path", {
      d,
      class: `edge ${way ? `lit ${way}` : ""}`,
      "marker-end": way === "backward" ? null : `url(#${way ? "tip-now" : "tip"})`,
      "marker-start": way === "backward" ? "url(#tip-now)" : null,
    });
    if (way !== "backward" || !at) return line;
    const text = label(op, i, frame);
    return svg(
      "g",
      null,
      line,
      svg("text", { class: at.left ? "gift left" : "gift", x: at.x, y: at.y }, text),
    );
  }

  /** 'gb = 1' ('gb += 1' for one of several contributions), or 'gx' for a tensor. */
  function label(op, i, frame) {
    const target = nodes[op.inputs[i]];
    const name = op.text.gradients[i];
    if (target.shape.length || state.hides(target.number)) return name;
    const gift = data.steps[frame.step].gifts[i];
    return `${name} ${data.gives(op, i)} ${data.format(gift.elements[0].g)}`;
  }

  function path(use, shift, chains) {
    const { from, to } = use;
    const bottom = (box) => box.top + (box.half ? (box.height + layout.OP_HEIGHT) / 2 : box.height);
    const top = (box) => box.top + (box.half ? (box.height - layout.OP_HEIGHT) / 2 : 0);
    const middle = (box) => box.cx + (box.half ? 0 : (box.right - box.left) / 2);
    const points = [
      { x: middle(from) + shift, y: bottom(from) },
      ...bends(use, chains),
      { x: middle(to) + shift, y: top(to) - 1 },
    ];
    let d = `M${points[0].x} ${points[0].y}`;
    for (let k = 1; k < points.length; k++) {
      const [a, b] = [points[k - 1], points[k]];
      const half = (a.y + b.y) / 2;
      d += `C${a.x} ${half} ${b.x} ${half} ${b.x} ${b.y}`;
    }
    const [a, b] = points.slice(-2);
    return {
      d,
      at: { x: (a.x + b.x) / 2 + (shift < 0 ? -8 : 8), y: (a.y + b.y) / 2 + 4, left: shift < 0 },
    };
  }

  /** The bends of the link between the two parts of the innermost box that holds both ends. */
  function bends(use, chains) {
    const line = (item) => [item, ...folding.chainOf(item.items ? item : item.number)];
    const [up, down] = [line(use.from.item), line(use.to.item)];
    const common = up.find((g) => down.includes(g));
    const a = up[up.indexOf(common) - 1],
      b = down[down.indexOf(common) - 1];
    return (a && b && chains.get(`${layout.id(a)}>${layout.id(b)}`)) || [];
  }

  return { all };
})();
