// The panel of the selected node: rule, numbers, heat maps, and what else its op has.
const panel = (() => {
  const { make, get } = dom;
  const { nodes } = data;
  const shut = new Set(); // sections that the reader has closed

  function section(name, content) {
    if (content === null || content === undefined || content === false) return null;
    return make(
      "details",
      {
        open: !shut.has(name),
        ontoggle: (event) => {
          shut[event.target.open ? "delete" : "add"](name);
        },
      },
      make("summary", null, name),
      make("div", { class: "inner" }, content),
    );
  }

  function draw() {
    const node = nodes[state.selected];
    const place = get("panel");
    const focused = place.contains(document.activeElement) ? locate(place) : null;
    place.replaceChildren(
      ...[
        heading(node),
        node.isOp && section("Rule", rule(node)),
        node.isOp && section("What it sends back, in numbers", chain.sent(node)),
        node.isOp && section("Three paths", batchnorm.section(node)),
        section("Gradient of this node", chain.own(node)),
        section(
          node.shape.length ? "Value and gradient as heat maps" : "Value and gradient",
          pictures(node),
        ),
      ].filter(Boolean),
    );
    if (focused !== null) place.querySelectorAll(STOPS)[focused]?.focus({ preventScroll: true });
  }

  const STOPS = "button, select, summary, [tabindex='0']";
  const locate = (place) => [...place.querySelectorAll(STOPS)].indexOf(document.activeElement);

  function heading(node) {
    const status = timeline.status(node.number, state.frame);
    const kind = node.isOp ? node.path && `in module ${node.path}` : node.kind;
    const facts = [
      kind,
      data.shape(node.shape),
      node.dtype,
      node.saved ? `keeps ${data.plural(node.saved, "byte")} for backward` : null,
    ].filter(Boolean);
    const text = {
      idle: "not visited yet",
      value: "value known",
      partial: `gradient partial: ${status.got} of ${status.of}`,
      complete: "gradient complete",
    };
    return make(
      "header",
      { class: "heading" },
      make(
        "div",
        { class: "row" },
        make("h2", null, data.title(node)),
        dom.button("Keep", () => state.pin(!state.pinned), {
          class: "keep",
          "aria-pressed": String(state.pinned),
          title: "Keep this node selected while the steps go on",
        }),
      ),
      make("p", { class: "fine" }, facts.join(" · ")),
      make(
        "p",
        { class: `state ${status.state}` },
        dom.svg(
          "svg",
          { width: 16, height: 16, viewBox: "-1 -1 16 16", "aria-hidden": "true" },
          cards.sign(status.state, 0, 0),
        ),
        make("span", { id: "state" }, text[status.state]),
      ),
      node.conv &&
        dom.button("Convolution up close", () => convolution.open(node), {
          id: "open-closeup",
          class: "main",
        }),
    );
  }

  function rule(node) {
    const { forward, backward, where, shapes, shapesBack } = node.text;
    const line = (label, text, kind) =>
      text
        ? make(
            "div",
            { class: `rule ${kind}` },
            make("span", null, label),
            make("code", null, text),
          )
        : null;
    return [
      make("h3", null, "In symbols"),
      line("here", here(node), ""),
      line("forward", forward, "forward"),
      line("backward", backward, "backward"),
      where && make("p", { class: "fine" }, `Where ${where}.`),
      make("h3", null, "With shapes"),
      line("forward", shapes, "forward"),
      line("backward", shapesBack.startsWith(" from") ? "" : shapesBack, "backward"),
      make("h3", null, "With numbers"),
      line("forward", forwardNumbers(node), "forward"),
    ];
  }

  /** 'c = Add(b, b)': the op as it stands in this graph. */
  function here(node) {
    const names = node.inputs.map((i) => (i === null ? "?" : data.shortName(nodes[i])));
    return `${node.label || "y"} = ${node.name}(${names.join(", ")})`;
  }

  /** One element of the result with the inputs that stand at the same place. */
  function forwardNumbers(node) {
    if (!timeline.status(node.number, state.frame).value) return "not known yet";
    if (!node.value) return "not recorded: compute the loss inside `with stepper.record():`";
    const chosen = node.elements[state.rank(node.number)];
    const at =
      chosen && data.at(node.value, chosen.at) !== undefined ? chosen.at : node.shape.map(() => 0);
    if (data.size(node.shape) === 0) return "empty";
    const y = `y${data.index(at)} = ${data.format(data.at(node.value, at))}`;
    if (node.name === "Linear") return `${y}\n= ${dot(node, at)}`;
    const parts = node.inputs.map((input, i) => beside(node, nodes[input], node.text.names[i], at));
    return parts.every(Boolean) ? `${y}   from ${parts.join(", ")}` : y;
  }

  /** 'a[0] = 3': an input's element at the place of y's, if its shape broadcasts to y's. */
  function beside(node, input, name, at) {
    if (!input || !input.value || input.shape.length > at.length) return null;
    const shift = at.length - input.shape.length;
    if (!input.shape.every((n, i) => n === 1 || n === node.shape[i + shift])) return null;
    const place = input.shape.map((n, i) => (n === 1 ? 0 : at[i + shift]));
    const x = data.at(input.value, place);
    return x === undefined ? null : `${name}${data.index(place)} = ${data.format(x)}`;
  }

  function dot(node, at) {
    const [x, weight, bias] = node.inputs.map((i) => nodes[i].value);
    const terms = [];
    for (let k = 0; k < nodes[node.inputs[0]].shape.at(-1) && terms.length < 5; k++) {
      const [a, b] = [data.at(x, [...at.slice(0, -1), k]), data.at(weight, [at.at(-1), k])];
      if (a === undefined || b === undefined) break;
      terms.push(`${data.format(a, 4)}·${bracket(b)}`);
    }
    const more = terms.length < nodes[node.inputs[0]].shape.at(-1) ? " + …" : "";
    return terms.join(" + ") + more + (bias ? ` + ${bracket(data.at(bias, at.slice(-1)))}` : "");
  }

  const bracket = (x) => (x < 0 ? `(${data.format(x, 4)})` : data.format(x, 4));

  function scalar(node, status) {
    const sum = timeline.gradient(node.number, state.frame);
    const line = (word, text) => make("p", null, `${word} `, make("b", null, text));
    return [
      line(
        "Value",
        !status.value
          ? "not known yet"
          : node.value
            ? data.format(node.value.v[0])
            : "not recorded",
      ),
      status.of
        ? line(
            "Gradient",
            state.hides(node.number)
              ? "asked in the quiz"
              : sum
                ? data.format(sum.sample.v[0]) +
                  (status.state === "partial" ? ` (${status.got} of ${status.of} so far)` : "")
                : "not known yet",
          )
        : null,
    ];
  }

  function pictures(node) {
    const status = timeline.status(node.number, state.frame);
    if (!node.shape.length) return scalar(node, status);
    const name = node.isOp ? node.label || "y" : data.shortName(node);
    const marks = node.elements.map((e) => e.at);
    const common = {
      sizes: node.shape,
      marks,
      chosen: marks.length > 1 ? state.rank(node.number) : -1,
      onchoose: marks.length > 1 ? (rank) => state.choose(node.number, rank) : null,
    };
    const value = !status.value
      ? make("p", { class: "unknown" }, "Not known yet.")
      : !node.value
        ? make("p", { class: "unknown" }, "Not recorded.")
        : heatmap.draw({ ...common, sample: node.value, name });
    return [
      make("h3", null, "Value"),
      value,
      status.value && node.value && note(node.value, node.shape),
      status.value && node.clip && clip(node.clip),
      make("h3", null, "Gradient"),
      gradient(node, status, name, common),
    ];
  }

  function gradient(node, status, name, common) {
    if (!status.of) return make("p", { class: "fine" }, "It gets no gradient.");
    if (!status.got) return make("p", { class: "unknown" }, "Not known yet.");
    if (state.hides(node.number)) return make("p", { class: "unknown" }, "Asked in the quiz.");
    const { sample } = timeline.gradient(node.number, state.frame);
    return [
      status.state === "partial" &&
        make(
          "p",
          { class: "fine" },
          `The sum of ${status.got} of ${status.of} contributions so far.`,
        ),
      heatmap.draw({ ...common, sample, name: `g${name}` }),
      note(sample, node.shape),
    ];
  }

  function note(sample, sizes) {
    const text = data.sampled(sample, sizes);
    if (!text) return null;
    const range =
      sample.min === undefined
        ? ""
        : ` The whole runs from ${data.format(sample.min)} to ${data.format(sample.max)}.`;
    return make("p", { class: "fine" }, text + range);
  }

  function clip({ low, high, dead, live, saturated }) {
    const all = dead + live + saturated || 1;
    const part = (n, kind, text) =>
      make(
        "li",
        { class: kind, style: `flex-grow:${Math.max(n / all, 0.001)}` },
        make("b", null, data.count(n)),
        ` ${text}`,
      );
    return make(
      "ul",
      { class: "clip" },
      low !== null && part(dead, "dead", `dead (at or below ${data.format(low)})`),
      part(live, "live", "live"),
      high !== null && part(saturated, "saturated", `saturated (at or above ${data.format(high)})`),
    );
  }

  return { draw };
})();
