// One layer of the reader's own: its cost against the pair's, and its filters drawn.

function showOwn() {
  $("own-problem").textContent = "";
  const numbers = ["kernel", "in", "out", "size", "stride"].map((name) => {
    const input = $("own-" + name);
    return readNumber(input, $("own-problem"), input.labels[0].textContent);
  });
  if (numbers.includes(null)) return;
  const [K, M, N, size, stride] = numbers;
  const F = Math.ceil(size / stride);
  const standard = K * K * M * N * F * F;
  const depthwise = K * K * M * F * F;
  const pointwise = M * N * F * F;
  const most = Math.max(standard, depthwise + pointwise);
  const line = (name, parts, words) => {
    const bars = bar(parts.map(([style, n]) => [style, n / most]));
    const number = make("span", { class: "number" }, words);
    return make("div", { class: "line" }, make("b", null, name), bars, number);
  };
  const pair = [["depthwise", depthwise], ["pointwise", pointwise]];
  const words =
    `${exact(depthwise + pointwise)} = ${exact(depthwise)} depthwise + ` +
    `${exact(pointwise)} pointwise`;
  const weights =
    `standard ${exact(K * K * M * N)}; depthwise ${exact(K * K * M)} + ` +
    `pointwise ${exact(M * N)} = ${exact(K * K * M + M * N)}`;
  $("own-filters").replaceChildren(
    drawFilters("Standard", N, K, M, "convolution"),
    drawFilters("Depthwise", M, K, 1, "depthwise"),
    drawFilters("Pointwise", N, 1, M, "pointwise"),
  );
  $("own-result").replaceChildren(
    line("Standard", [["convolution", standard]], exact(standard)),
    line("Depthwise + pointwise", pair, words),
    definitions([...pairFormulas(K, M, N, F), { name: "Weights", lines: [[weights]] }]),
  );
}

/** `count` filters of K x K x depth as a box, deeper for more channels (figure 2 of the paper). */
function drawFilters(name, count, K, depth, style) {
  const shown = Math.min(K, 7); // cells along a side
  const side = 12 + 8 * shown;
  const back = 3 + 6 * Math.log2(depth);
  const up = 0.35 * back;
  const y = up + 1;
  const grid = [];
  for (let j = 1; j < shown; j++) {
    const at = (side * j) / shown;
    grid.push(`M${1 + at} ${y}v${side}M1 ${y + at}h${side}`);
  }
  const fill = `var(--${style})`;
  const top = `M1 ${y}l${back} ${-up}h${side}v${side}l${-back} ${up}z`;
  const edge = `M${1 + side} ${y}l${back} ${-up}`;
  const plural = count > 1 ? "s" : "";
  const picture = dom.svg(
    "svg",
    {
      width: side + back + 2,
      height: side + up + 2,
      "aria-hidden": "true",
      fill: "none",
      stroke: "currentColor",
    },
    dom.svg("path", { d: top, fill, "fill-opacity": 0.45 }),
    dom.svg("rect", { x: 1, y, width: side, height: side, fill }),
    dom.svg("path", { d: grid.join("") + edge }),
  );
  const words = `${exact(count)} filter${plural} of ${K}×${K}×${exact(depth)}`;
  const caption = make("figcaption", null, make("b", null, name), make("br"), words);
  return make("figure", null, picture, caption);
}
