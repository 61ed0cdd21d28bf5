// The panel of the selected node: first what flows, then its op's picture, numbers and rule.
const panel = (() => {
  const { make, get } = dom;
  const { nodes } = data;
  const SHUT = ["values", "rule"]; // sections that begin folded
  const turned = new Set(); // those that the reader has folded or unfolded

  state.keep(
    "sections",
    () => [...turned].sort().join("_"),
    (text) => {
      turned.clear();
      for (const key of text.split("_").filter(Boolean)) turned.add(key);
    },
  );

  /** content() is called for an open section only: what is folded costs nothing. */
  function section(key, name, content) {
    const open = SHUT.includes(key) === turned.has(key);
    return make(
      "details",
      {
        open,
        "data-section": key,
        ontoggle: (event) => {
          if (event.target.open === (SHUT.includes(key) === turned.has(key))) return;
          turned[turned.has(key) ? "delete" : "add"](key);
          state.changed("section");
        },
      },
      make("summary", null, name),
      open && make("div", { class: "inner" }, content()),
    );
  }

  function draw() {
    const node = nodes[state.selected];
    const place = get("panel");
    const focused = place.contains(document.activeElement) ? locate(place) : null;
    const back = flow.back(node);
    const special = node.isOp && star.of(node);
    const picture = special && section("star", ...special);
    place.replaceChildren(
      ...[
        heading(node),
        view.lecture && picture, // what the lecturer points at
        make("div", { class: "first" }, back ? flow.gradients(node) : flow.values(node)),
        !view.lecture && picture,
        node.labels && section("labels", "Softmax minus labels", () => labels.section(node)),
        back && section("values", "Forward: the values", () => flow.values(node)),
        node.isOp && section("sent", "What it sends back, in numbers", () => chain.sent(node)),
        section("own", "Gradient of this node", () => chain.own(node)),
        node.isOp && section("rule", "Rule", () => rule(node)),
      ].filter(Boolean),
    );
    if (focused !== null) place.querySelectorAll(STOPS)[focused]?.focus({ preventScroll: true });
  }

  const STOPS = "button, select, summary, [tabindex='0']";
  const locate = (place) => [...place.querySelectorAll(STOPS)].indexOf(document.activeElement);

  function heading(node) {
    const status = timeline.status(node.number, state.frame);
    const kind = node.isOp ? node.path && `in module ${node.path}` : node.kind;
    const facts = [kind, data.shape(node.shape), node.dtype].filter(Boolean);
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
        node.conv &&
          dom.button("Up close", () => convolution.open(node), {
            id: "open-closeup",
            class: "keep",
            title: "The convolution up close",
          }),
        dom.button("Keep", () => state.pin(!state.pinned), {
          class: "keep",
          "aria-pressed": String(state.pinned),
          title: "Keep this node selected while the steps go on",
        }),
      ),
      make(
        "p",
        { class: `state ${status.state}` },
        dom.svg(
          "svg",
          { width: 16, height: 16, viewBox: "-1 -1 16 16", "aria-hidden": "true" },
          cards.sign(status.state, 0, 0),
        ),
        make("span", { id: "state" }, text[status.state]),
        make("span", { class: "fine" }, facts.join(" · ")),
      ),
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
      node.saved &&
        make("p", { class: "fine" }, `It keeps ${data.plural(node.saved, "byte")} for backward.`),
      make("h3", null, "With shapes"),
      line("forward", shapes, "forward"),
      line("backward", shapesBack.startsWith(" from") ? "" : shapesBack, "backward"),
      make("h3", null, "With numbers"),
      line("forward", forwardNumbers(node), "forward"),
    ];
  }

  /** 'c = Add(b, b)': the op as it stands in this graph. */
  function here(node) {
    return `${node.symbol} = ${node.name}(${node.text.names.join(", ")})`;
  }

  /** One element of the result in numbers, from which it can be recomputed. */
  function forwardNumbers(node) {
    if (!timeline.status(node.number, state.frame).value) return "not known yet";
    if (!node.value) return "not recorded: compute the loss inside `with stepper.record():`";
    if (data.size(node.shape) === 0) return "empty";
    const chosen = node.elements[state.rank(node.number)];
    if (chosen && chosen.made) return chosen.made;
    const at = node.shape.map(() => 0);
    return `${node.symbol}${data.index(at)} = ${data.format(data.at(node.value, at))}`;
  }

  return { draw };
})();
