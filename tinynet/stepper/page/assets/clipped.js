// What a clipping op (ReLU, ReLU6, clamp) lets through: a bar in proportion, and the counts.
const clipped = (() => {
  const { make } = dom;

  function bar(node) {
    const { low, high, below, active, above } = node.clip;
    const all = data.size(node.shape);
    const bounds = node.name === "Clip" ? ["below", "above"] : ["at or below", "at or above"];
    const parts = [
      low !== null && [below, "below", `inactive here: ${bounds[0]} ${data.format(low)}`],
      [active, "active", "active: the gradient passes"],
      high !== null && [above, "above", `at the ceiling: ${bounds[1]} ${data.format(high)}`],
      all > below + active + above && [all - below - active - above, "nan", "NaN"],
    ].filter(Boolean);
    return make(
      "div",
      { class: "clipped" },
      make(
        "span",
        { class: "clip-bar", "aria-hidden": "true" },
        parts.map(([n, kind]) => make("i", { class: kind, style: `width:${(100 * n) / all}%` })),
      ),
      make(
        "ul",
        null,
        parts.map(([n, kind, text]) =>
          make("li", { class: kind }, make("b", null, data.count(n)), ` ${text}`),
        ),
      ),
    );
  }

  return { bar };
})();
