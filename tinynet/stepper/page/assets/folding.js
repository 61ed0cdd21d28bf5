// Folding: the ops grouped by the path of their module, equal neighbours and long lists once more.
const folding = (() => {
  const { nodes } = data;
  const VISIBLE = 24; // how many nodes a page starts with, about
  const LONG = 60,
    WINDOW = 40; // a list longer than LONG is cut into pieces of WINDOW
  const groups = [];
  const parentOf = new Map(); // node number or group -> group
  const consumers = nodes.map(() => []);
  for (const node of nodes) {
    for (const input of new Set(node.inputs))
      if (input !== null) consumers[input].push(node.number);
  }

  // Parameters and the like stand beside the op that uses them.
  const isChip = (node) =>
    !node.isOp &&
    consumers[node.number].length === 1 &&
    nodes[consumers[node.number][0]].inputs[0] !== node.number;
  const chips = nodes.map((node) =>
    [...new Set(node.inputs)].filter((i) => i !== null && isChip(nodes[i])).map((i) => nodes[i]),
  );

  function group(kind, title, subtitle, items) {
    const made = { id: `g${groups.length}`, kind, title, subtitle, items, open: false };
    made.ops = items.flatMap((item) => (item.items ? item.ops : [item.number]));
    groups.push(made);
    return made;
  }

  /** Runs of ops that share the part of the path at this depth become groups. */
  function byPath(ops, depth) {
    const items = [];
    let i = 0;
    while (i < ops.length) {
      const part = parts(ops[i])[depth];
      let j = i + 1;
      while (part !== undefined && j < ops.length && parts(ops[j])[depth] === part) j++;
      const run = ops.slice(i, j);
      if (part === undefined || run.length === 1) items.push(...run);
      else {
        const inner = byPath(run, depth + 1);
        if (inner.length === 1) items.push(...inner);
        else {
          const path = parts(ops[i])
            .slice(0, depth + 1)
            .join(".");
          items.push(group("module", moduleTitle(run, path), path, inner));
        }
      }
      i = j;
    }
    return windows(runs(items));
  }

  const parts = (node) => (node.path ? node.path.split(".") : []);

  function moduleTitle(ops, path) {
    const convs = ops.filter((op) => op.conv);
    if (convs.length === 2 && kind(convs[0]) === "depthwise" && kind(convs[1]) === "pointwise") {
      return "separable block";
    }
    const name = path.split(".").pop();
    return /^\d+$/.test(name) ? `block ${name}` : name;
  }

  function kind(node) {
    const [channels, { kernel, groups: g }] = [nodes[node.inputs[0]]?.shape[1], node.conv];
    if (g > 1 && (g === channels || channels === undefined)) return "depthwise";
    return kernel[0] === 1 && kernel[1] === 1 && g === 1 ? "pointwise" : "standard";
  }

  /** Equal means: the same ops, in the same modules, with parameters of the same shapes. */
  function signature(item) {
    if (item.items) {
      item.sign = item.sign || `{${item.title}:${item.items.map(signature).join(";")}}`;
      return item.sign;
    }
    const sizes = item.inputs
      .filter((i) => i !== null && !nodes[i].isOp)
      .map((i) => nodes[i].shape);
    return `${item.name}${JSON.stringify(item.conv || 0)}${JSON.stringify(sizes)}`;
  }

  function runs(items) {
    const made = [];
    for (let i = 0; i < items.length;) {
      let j = i + 1;
      while (
        items[i].items &&
        j < items.length &&
        items[j].items &&
        signature(items[j]) === signature(items[i])
      )
        j++;
      if (j - i > 1) {
        const { title } = items[i];
        const subtitle = `${items[i].subtitle} to ${items[j - 1].subtitle}`;
        made.push(group("run", `${title} ×${j - i}`, subtitle, items.slice(i, j)));
      } else made.push(items[i]);
      i = j;
    }
    return made;
  }

  function windows(items) {
    if (items.length <= LONG) return items;
    const made = [];
    for (let i = 0; i < items.length; i += WINDOW) {
      const piece = items.slice(i, i + WINDOW);
      const ops = piece.reduce((sum, item) => sum + (item.items ? item.ops.length : 1), 0);
      const first = firstOp(piece[0]),
        last = lastOp(piece[piece.length - 1]);
      made.push(
        group(
          "window",
          `${data.count(ops)} ops`,
          `${data.title(first)} to ${data.title(last)}`,
          piece,
        ),
      );
    }
    return windows(made);
  }

  const firstOp = (item) => (item.items ? firstOp(item.items[0]) : item);
  const lastOp = (item) => (item.items ? lastOp(item.items[item.items.length - 1]) : item);

  const root = group(
    "root",
    "",
    "",
    byPath(
      nodes.filter((node) => node.isOp),
      0,
    ),
  );
  root.open = true;
  const adopt = (parent) =>
    parent.items.forEach((item) => {
      parentOf.set(item.items ? item : item.number, parent);
      if (item.items) adopt(item);
    });
  adopt(root);
  // A leaf that is no chip lies in the innermost group that holds all who use it; a named one
  // (the image, the target) outside of modules, for it is given to the whole network.
  for (const node of nodes) {
    if (node.isOp || isChip(node) || !consumers[node.number].length) continue;
    let place = parentOf.get(consumers[node.number][0]);
    const holds = (g) => consumers[node.number].every((n) => chainOf(n).includes(g));
    const outside = (g) => node.name && node.kind !== "parameter" && g.kind !== "window";
    while (place !== root && (!holds(place) || outside(place))) place = parentOf.get(place);
    place.items.push(node);
    parentOf.set(node.number, place);
  }
  for (const node of nodes) {
    if (isChip(node)) parentOf.set(node.number, parentOf.get(consumers[node.number][0]));
  }

  /** The groups around a node number or a group, innermost first. */
  function chainOf(inner) {
    const chain = [];
    for (let g = parentOf.get(inner); g; g = parentOf.get(g)) chain.push(g);
    return chain;
  }

  /** What stands for a node in the picture: the outermost closed group around it, or the node. */
  function visible(number) {
    const closed = chainOf(number)
      .reverse()
      .find((g) => !g.open);
    return closed || nodes[number];
  }

  function setAll(open) {
    for (const g of groups) g.open = g === root || open;
  }

  /** Level by level, open what the picture has room for. */
  function openSome() {
    let shown = root.items.length,
      level = root.items.filter((item) => item.items);
    while (level.length) {
      shown += level.reduce((sum, g) => sum + g.items.length - 1, 0);
      if (shown > VISIBLE) return;
      for (const g of level) g.open = true;
      level = level.flatMap((g) => g.items.filter((item) => item.items));
    }
  }

  openSome();

  // In the address: what is folded otherwise than at the beginning, as '3-5_8'.
  const usual = new Set(groups.filter((g) => g.open));
  state.keep(
    "folds",
    () => {
      const runs = [];
      groups.forEach((g, i) => {
        if (g.open === usual.has(g)) return;
        const run = runs.at(-1);
        if (run && run[1] === i - 1) run[1] = i;
        else runs.push([i, i]);
      });
      return runs.map(([a, b]) => (a === b ? a : `${a}-${b}`)).join("_");
    },
    (text) => {
      const runs = text ? text.split("_").map((run) => run.split("-").map(Number)) : [];
      groups.forEach((g, i) => {
        const turned = runs.some(([a, b = a]) => a <= i && i <= b);
        g.open = g === root || turned !== usual.has(g);
      });
    },
  );
  return { root, groups, chips, consumers, isChip, visible, chainOf, setAll, kind };
})();
