// What stands in the picture: cards of nodes and of folded groups, and the boxes of open ones.
const cards = (() => {
  const { svg } = dom;

  const STATES = {
    idle: "not visited",
    value: "value known",
    partial: "gradient partial",
    complete: "gradient complete",
  };

  /** The sign of a state, told apart by its shape alone; 14 units wide. */
  function sign(kind, x, y) {
    const draw = {
      idle: () => [svg("circle", { cx: 7, cy: 7, r: 5.5, class: "hollow dashed" })],
      value: () => [svg("circle", { cx: 7, cy: 7, r: 6, class: "solid" })],
      partial: () => [
        svg("path", { d: "M7 0 14 7 7 14 0 7Z", class: "hollow" }),
        svg("path", { d: "M7 0 7 14 0 7Z", class: "solid" }),
      ],
      complete: () => [
        svg("rect", { width: 14, height: 14, rx: 2, class: "solid" }),
        svg("path", { d: "M3 7.5 6 10.5 11 4", class: "tick" }),
      ],
    };
    return svg("g", { class: `sign ${kind}`, transform: `translate(${x} ${y})` }, draw[kind]());
  }

  const cut = (text, width, per) => {
    const most = Math.floor(width / per);
    return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
  };

  function valueText(node, status) {
    const name = data.shape(node.shape);
    if (!status.value) return "value not known yet";
    if (!node.value) return `${name}, not recorded`;
    return node.shape.length ? name : `value ${data.format(node.value.v[0])}`;
  }

  function gradientText(node, status, short) {
    if (!status.of) return "no gradient";
    const word = short ? "grad" : "gradient";
    if (state.hides(node.number) && status.got) return `${word}: ? (quiz)`;
    if (!status.got) return `${word} not known yet`;
    const sum = timeline.gradient(node.number, state.frame);
    const number = node.shape.length ? "" : ` ${data.format(sum.sample.v[0])}`;
    if (status.state === "complete") {
      if (flags.odd(node.grad)) return `${word}: ${flags.of(node.number, state.frame).words}`;
      return number ? word + number : `max|g| ${data.format(flags.sizeOf[node.number], 3)}`;
    }
    return `${word} ${status.got} of ${status.of}${number ? `:${number}` : ""}`;
  }

  /** 'max|g| 0.02 to 3': of the ops in a folded group that have their gradient. */
  function range(numbers) {
    const sizes = numbers.map((n) => flags.sizeOf[n]).filter((x) => x !== undefined);
    if (!sizes.length) return "gradients complete";
    const [low, high] = [Math.min(...sizes), Math.max(...sizes)].map((x) => data.format(x, 2));
    return `max|g| ${low === high ? low : `${low} to ${high}`}`;
  }

  /** A node or a folded group as a button. */
  function card(item, x, y, width, height, kind, lines, label, act, extra = {}) {
    const frame = timeline.frames[state.frame];
    const id = layout.id(item);
    const has = (n) => (item.items ? item.ops.includes(n) : item.number === n);
    const now = frame.phase !== "start" && has(frame.node);
    const picked = has(state.selected);
    const classes = [
      "card",
      kind,
      item.items ? "folded" : item.kind,
      now && "now",
      picked && "picked",
      extra.small && "small",
    ]
      .filter(Boolean)
      .join(" ");
    const middle = extra.small ? 8 : 12;
    return svg(
      "g",
      {
        class: classes,
        role: "button",
        tabindex: -1,
        "data-id": id,
        "aria-label": label,
        "aria-expanded": item.items ? "false" : null,
        "aria-current": now ? "step" : null,
        transform: `translate(${x} ${y})`,
        onclick: act,
      },
      svg("title", null, label),
      now &&
        svg("rect", {
          class: "halo",
          x: -6,
          y: -6,
          rx: 12,
          width: width + (item.items ? 17 : 12),
          height: height + (item.items ? 17 : 12),
        }),
      picked &&
        !now &&
        svg("rect", {
          class: "pick",
          x: -4,
          y: -4,
          width: width + 8,
          height: height + 8,
          rx: extra.small ? 17 : 11,
        }),
      item.items && svg("rect", { class: "back", x: 5, y: 5, width, height, rx: 8 }),
      svg("rect", { class: "body", width, height, rx: extra.small ? 14 : 8 }),
      kind === "partial" &&
        svg("rect", { class: "hatch", width, height, rx: extra.small ? 14 : 8 }),
      sign(kind, middle, extra.small ? 8 : 10),
      lines.map((line, i) =>
        svg(
          "text",
          {
            class: `line${i}`,
            x: i || !extra.small ? (i ? middle : middle + 22) : middle + 20,
            y: extra.small ? 20 + i * 16 : 22 + i * 16.5,
          },
          cut(line, width - (i ? 16 : item.items ? 56 : 34), i ? (view.lecture ? 7.2 : 6) : 7.9),
        ),
      ),
      item.items && svg("text", { class: "plus", x: width - 20, y: 24 }, "+"),
      extra.first &&
        svg(
          "text",
          { class: "first-bad", x: width - 10, y: extra.small ? 36 : 39, "text-anchor": "end" },
          "⚠ NaN, ∞",
          svg("title", null, extra.first),
        ),
      extra.flag &&
        svg(
          "g",
          { class: `flag ${extra.flag.kind}`, transform: `translate(${width - 20} ${height - 21})` },
          flags.pennant(),
        ),
    );
  }

  function nodeCard(node, x, y, width, small) {
    const status = timeline.status(node.number, state.frame);
    const [value, gradient] = [valueText(node, status), gradientText(node, status, small || view.lecture)];
    const lines = small
      ? [
          `${data.shortName(node)} ` +
            `${node.shape.length ? data.shape(node.shape) : value.replace("value ", "= ")}`,
          gradient,
        ]
      : [data.title(node), value, gradient];
    const flag = flags.of(node.number, state.frame);
    const first = flags.first(node.number);
    const label =
      `${data.title(node)}${node.path ? ` in ${node.path}` : ""}, ${value}, ${gradient}` +
      `${status.state === "complete" && status.of ? ", complete" : ""}` +
      `${flag ? `, flag: ${flag.words}` : ""}${first ? `, ${first}` : ""}`;
    return card(
      node,
      x,
      y,
      width,
      small ? layout.CHIP_HEIGHT : layout.OP_HEIGHT,
      status.state,
      lines,
      label,
      () => state.select(node.number),
      { small, flag, first },
    );
  }

  function groupCard(group, box, setOpen) {
    const all = group.ops.map((n) => timeline.status(n, state.frame));
    const known = all.filter((s) => s.value).length;
    const wanted = all.filter((s) => s.of);
    const done = wanted.filter((s) => s.state === "complete").length;
    const some = all.some((s) => s.got);
    const kind = some
      ? done === wanted.length
        ? "complete"
        : "partial"
      : known
        ? "value"
        : "idle";
    const line = some
      ? done === wanted.length && !group.ops.some((n) => state.hides(n))
        ? range(group.ops)
        : `gradients: ${done} of ${wanted.length} ops`
      : known
        ? `values: ${known} of ${all.length} ops`
        : `${data.plural(all.length, "op")}, not visited`;
    const flag = group.ops.map((n) => flags.of(n, state.frame)).find(Boolean);
    const label =
      `Folded: ${group.title}, ${group.subtitle}, ${line}` +
      `${flag ? `, flag: ${flag.words}` : ""}. Enter unfolds it.`;
    return card(
      group,
      box.cx - box.left,
      box.top,
      box.left + box.right,
      box.height,
      kind,
      [group.title, group.subtitle, line],
      label,
      () => setOpen(group, true),
      { flag },
    );
  }

  function openBox(box, setOpen) {
    const group = box.item;
    const width = box.left + box.right;
    return svg(
      "g",
      { class: "module", transform: `translate(${box.cx - box.left} ${box.top})` },
      svg("rect", { width, height: box.height, rx: 12 }),
      svg(
        "text",
        { x: 14, y: 22 },
        group.title,
        svg(
          "tspan",
          { class: "path", dx: 8 },
          group.title === group.subtitle ? "" : group.subtitle,
        ),
      ),
      svg(
        "g",
        {
          class: "fold",
          role: "button",
          tabindex: -1,
          "data-id": group.id,
          "aria-label": `Fold ${group.title} ${group.subtitle}`,
          "aria-expanded": "true",
          transform: `translate(${width - 34} 6)`,
          onclick: () => setOpen(group, false),
        },
        svg("title", null, "Fold"),
        svg("rect", { width: 26, height: 22, rx: 6 }),
        svg("text", { x: 13, y: 16 }, "−"),
      ),
    );
  }

  return { STATES, sign, node: nodeCard, group: groupCard, openBox };
})();
