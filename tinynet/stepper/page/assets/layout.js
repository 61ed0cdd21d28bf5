// Where everything stands: layers from top to bottom, each open group a box with its own layers.
// (After Sugiyama, Tagawa, Toda, "Methods for visual understanding of hierarchical system
// structures", 1981: layers, an order in each that avoids crossings, then coordinates.)
const layout = (() => {
  const GAP_X = 28,
    GAP_Y = 46,
    CHIP_GAP = 18,
    PAD = 16,
    HEAD = 34;
  const OP_HEIGHT = 62,
    CHIP_HEIGHT = 44,
    GROUP_HEIGHT = 66;
  const wide = (text, per) => Math.ceil(text.length * per);

  function opWidth(node) {
    const text = Math.max(wide(data.title(node), 9), wide(data.shape(node.shape), 6.8) + 20);
    return Math.min(280, Math.max(162, text + 44));
  }

  function chipWidth(node) {
    const text =
      `${data.shortName(node)} ` +
      (node.shape.length ? data.shape(node.shape) : `= ${data.format(node.value?.v[0])}`);
    return Math.min(230, Math.max(138, wide(text, 7.9) + 36));
  }

  /** The box of an item around its anchor: `left` and `right` of it, and its height. */
  function measure(item) {
    if (item.items) {
      if (item.open) return layers(item);
      const text = Math.max(wide(item.title, 9) + 30, wide(item.subtitle, 6.4));
      const half = Math.min(280, Math.max(196, text + 40)) / 2;
      return { item, left: half, right: half, height: GROUP_HEIGHT };
    }
    const half = opWidth(item) / 2;
    const chips = folding.chips[item.number].map((chip) => ({
      item: chip,
      width: chipWidth(chip),
    }));
    const chipsWidth = Math.max(0, ...chips.map((chip) => chip.width));
    const chipsHeight = chips.length * (CHIP_HEIGHT + 8) - 8;
    return {
      item,
      left: half + (chips.length ? chipsWidth + CHIP_GAP : 0),
      right: half,
      chips,
      half,
      height: Math.max(OP_HEIGHT, chipsHeight),
    };
  }

  /** The boxes of a group's items, placed relative to the group. */
  function layers(group) {
    const boxes = group.items.map(measure);
    const boxOf = new Map(boxes.map((box) => [box.item, box]));
    const links = linksBetween(group, boxOf);
    const ranks = rank(boxes, links);
    const chains = bend(ranks, links);
    order(ranks);
    place(ranks);
    let y = group === folding.root ? 8 : HEAD;
    for (const row of ranks) {
      const height = Math.max(0, ...row.map((box) => box.height));
      for (const box of row) box.y = y + (height - box.height) / 2;
      y += height + GAP_Y;
    }
    const pad = group === folding.root ? 8 : PAD;
    const left = -Math.min(...boxes.map((b) => b.x - b.left)) + pad;
    const right = Math.max(...boxes.map((b) => b.x + b.right)) + pad;
    const titled = group === folding.root ? 0 : wide(`${group.title} ${group.subtitle}`, 7.4) + 70;
    const more = Math.max(0, titled - left - right) / 2;
    return {
      item: group,
      left: left + more,
      right: right + more,
      height: y - GAP_Y + PAD,
      boxes,
      chains,
    };
  }

  /** Which items of the group feed which: [{from, to}], each pair once. */
  function linksBetween(group, boxOf) {
    const owner = new Map();
    for (const item of group.items) {
      for (const n of item.items ? item.ops : [item.number]) owner.set(n, item);
      if (item.items) leavesOf(item).forEach((n) => owner.set(n, item));
    }
    const links = new Map();
    for (const [n, item] of owner) {
      for (const input of data.nodes[n].inputs) {
        const from = owner.get(input);
        if (!from || from === item) continue;
        links.set(`${id(from)}>${id(item)}`, { from: boxOf.get(from), to: boxOf.get(item) });
      }
    }
    return [...links.values()];
  }

  const id = (item) => (item.items ? item.id : `n${item.number}`);
  const leavesOf = (group) =>
    group.items.flatMap((item) => (item.items ? leavesOf(item) : item.isOp ? [] : [item.number]));

  /** Rows of boxes: each below all that feed it, leaves just above the first who uses them. */
  function rank(boxes, links) {
    for (const box of boxes) Object.assign(box, { rank: 0, above: [], below: [] });
    for (const { from, to } of links) {
      from.below.push(to);
      to.above.push(from);
    }
    const first = (box) => (box.item.items ? Math.min(...box.item.ops) : box.item.number);
    const sorted = [...boxes].sort((a, b) => first(a) - first(b));
    for (const box of sorted) box.rank = Math.max(0, ...box.above.map((b) => b.rank + 1));
    for (const box of boxes) {
      if (!box.above.length && box.below.length && !box.item.items && !box.item.isOp) {
        box.rank = Math.min(...box.below.map((b) => b.rank)) - 1;
      }
    }
    const lowest = Math.min(0, ...boxes.map((b) => b.rank));
    const rows = [];
    for (const box of sorted) (rows[(box.rank -= lowest)] = rows[box.rank] || []).push(box);
    return Array.from(rows, (row) => row || []);
  }

  /**
   * Links that pass rows get a bend in each, so that they go around what stands there. Those from
   * the same box share their bends: what is used in every row takes one lane, not one per use.
   */
  function bend(ranks, links) {
    const chains = [];
    const lanes = new Map(); // a box -> the bends of its links, row by row
    for (const { from, to } of links) {
      const count = to.rank - from.rank - 1;
      if (count < 1) continue;
      if (!lanes.has(from)) lanes.set(from, []);
      const lane = lanes.get(from);
      while (lane.length < count) {
        const rank = from.rank + 1 + lane.length;
        const above = lane.at(-1) || from;
        const box = { bend: true, rank, left: 12, right: 12, height: 0, above: [above], below: [] };
        above.below.push(box);
        ranks[rank].push(box);
        lane.push(box);
      }
      const last = lane[count - 1];
      from.below = from.below.filter((b) => b !== to);
      last.below.push(to);
      to.above = to.above.map((b) => (b === from ? last : b));
      chains.push({ from: from.item, to: to.item, bends: lane.slice(0, count) });
    }
    return chains;
  }

  /** Barycentres, down and up: a box moves to the mean place of its neighbours. */
  function order(ranks) {
    const number = (row) => row.forEach((box, i) => (box.place = i));
    ranks.forEach(number);
    for (let sweep = 0; sweep < 6; sweep++) {
      const down = sweep % 2 === 0;
      for (const row of down ? ranks : [...ranks].reverse()) {
        for (const box of row) {
          const near = down ? box.above : box.below;
          box.wish = near.length ? near.reduce((s, b) => s + b.place, 0) / near.length : box.place;
        }
        row.sort((a, b) => a.wish - b.wish);
        number(row);
      }
    }
  }

  /**
   * x of every anchor: towards the mean of its neighbours, without overlaps. Boxes keep in line
   * with boxes and bends with bends where they can; otherwise a lane pulls its chain askew.
   */
  function place(ranks) {
    for (const row of ranks) pack(row.map((box) => Object.assign(box, { x: 0 })));
    for (let sweep = 0; sweep < 24; sweep++) {
      for (const row of sweep % 2 ? [...ranks].reverse() : ranks) {
        for (const box of row) {
          const all = sweep % 2 ? box.below : box.above;
          const same = all.filter((b) => Boolean(b.bend) === Boolean(box.bend));
          const near = same.length ? same : all;
          if (near.length) box.x = near.reduce((sum, b) => sum + b.x, 0) / near.length;
        }
        pack(row);
      }
    }
  }

  /** Push overlapping neighbours apart, half to each side (pool adjacent violators). */
  function pack(row) {
    let offset = 0;
    const pools = [];
    row.forEach((box, i) => {
      if (i) offset += row[i - 1].right + GAP_X + box.left;
      box.offset = offset;
      pools.push({ sum: box.x - offset, count: 1 });
      while (pools.length > 1) {
        const [a, b] = pools.slice(-2);
        if (a.sum / a.count <= b.sum / b.count) break;
        pools.splice(-2, 2, { sum: a.sum + b.sum, count: a.count + b.count });
      }
    });
    let i = 0;
    for (const pool of pools) {
      for (let k = 0; k < pool.count; k++, i++) row[i].x = pool.sum / pool.count + row[i].offset;
    }
  }

  /** Everything in the picture, with absolute coordinates: {width, height, boxes, chains}. */
  function picture() {
    const root = layers(folding.root);
    const boxes = [],
      chains = new Map();
    const settle = (group, x, y) => {
      for (const chain of group.chains) {
        chains.set(
          `${id(chain.from)}>${id(chain.to)}`,
          chain.bends.map((b) => ({ x: x + b.x, y: y + b.y })),
        );
      }
      for (const box of group.boxes) {
        box.cx = x + box.x;
        box.top = y + box.y;
        boxes.push(box);
        if (box.boxes) settle(box, box.cx, box.top); // its items stand around its anchor
      }
    };
    settle(root, root.left, 0);
    return { width: root.left + root.right, height: root.height, boxes, chains };
  }

  return { picture, id, CHIP_GAP, CHIP_HEIGHT, OP_HEIGHT, SMALLEST: 13.5 };
})();
