// The bar for changing values: the loss, an element to type to, undo, reset, gradient descent.
const edit = (() => {
  const { make, get } = dom;
  const { nodes } = data;
  const MOST_CHOICES = 400; // elements or classes in a list to choose from
  const cells = new Map(); // node number -> the flat place of the element to change
  let [on, told, rate] = [false, "", "0.1"];

  const placeOf = (node) => cells.get(node.number) || 0;

  function tell(text) {
    told = text;
    if (get("edit-told")) get("edit-told").textContent = text;
  }

  function open(yes) {
    on = yes;
    get("edit").hidden = !on;
    get("edit-toggle").setAttribute("aria-pressed", String(on));
    draw();
  }

  /** Choose the element that is typed to. */
  function pick(node, place) {
    if (!on) open(true);
    if (state.selected !== node.number) state.select(node.number);
    const at = tensors.index(edits.shape(node), place).join();
    const rank = node.isOp ? -1 : node.elements.findIndex((element) => element.at.join() === at);
    if (rank >= 0) state.choose(node.number, rank);
    cells.set(node.number, place);
    draw();
  }

  function draw() {
    if (!on) return;
    const bar = get("edit");
    if (edits.why) {
      bar.replaceChildren(make("p", null, `Values cannot be changed here: ${edits.why}`));
      return;
    }
    const focus = bar.contains(document.activeElement) ? document.activeElement.id : "";
    const typed = focus === "edit-value" && document.activeElement.dataset.typed;
    const node = nodes[state.selected];
    const parts = [
      make("div", { class: "row" }, lossLine(), make("span", { class: "gap" }), back()),
      make(
        "div",
        { class: "row" },
        tensorChoice(node),
        edits.can(node) && (labels(node) || editor(node, typed && document.activeElement)),
      ),
      edits.learning.length > 0 && descent(),
      make("p", { id: "edit-told", class: "fine", role: "status", "aria-live": "polite" }, told),
    ];
    bar.replaceChildren(...parts.filter(Boolean));
    if (focus) get(focus)?.focus({ preventScroll: true });
  }

  const lossLine = () =>
    make(
      "p",
      { id: "edit-loss", "data-loss": edits.loss },
      "Loss ",
      make("b", null, data.format(edits.loss, 6)),
      state.edits &&
        make("span", { class: "fine" }, ` recorded: ${data.format(edits.recorded, 6)}`),
    );

  const back = () => [
    dom.button("Undo", edits.undo, { id: "edit-undo", disabled: !state.edits, title: "Ctrl Z" }),
    dom.button("Reset", edits.reset, { id: "edit-reset", disabled: !state.edits }),
  ];

  function tensorChoice(node) {
    const list = edits.targets.map((n) => `${edits.title(n)} ${data.shape(edits.shape(n))}`);
    const chosen = edits.targets.indexOf(node);
    if (chosen < 0) list.unshift("Choose what to change");
    const choose = (event) => {
      const next = edits.targets[Number(event.target.value)];
      if (next) pick(next, placeOf(next));
    };
    return make(
      "select",
      { id: "edit-tensor", "aria-label": "What to change", onchange: choose },
      list.map((text, i) => {
        const value = chosen < 0 ? i - 1 : i;
        return make("option", { value, selected: value === chosen }, text);
      }),
    );
  }

  /** Which element, and its value to type. typed: the field, while the reader types in it. */
  function editor(node, typed) {
    const shape = edits.shape(node);
    const [place, size] = [placeOf(node), data.size(shape)];
    const word = node.isOp ? "label" : data.shortName(node);
    const name = (k) => `${word}${data.index(tensors.index(shape, k))}`;
    const field = make("input", {
      id: "edit-value",
      type: "text",
      inputmode: "decimal",
      autocomplete: "off",
      "aria-label": `Value of ${name(place)}`,
      value: String(Number(edits.value(node, place).toPrecision(12))),
      oninput: (event) => (event.target.dataset.typed = "1"),
      onchange: (event) => take(node, place, event.target),
      onkeydown: (event) => keyed(event, node, place),
    });
    const element =
      size > 1 && size <= MOST_CHOICES
        ? make(
            "select",
            {
              id: "edit-element",
              "aria-label": `Element of ${edits.title(node)}`,
              onchange: (event) => pick(node, Number(event.target.value)),
            },
            Array.from({ length: size }, (_, k) =>
              make("option", { value: k, selected: k === place }, name(k)),
            ),
          )
        : make("code", null, name(place));
    return [element, "=", typed || field];
  }

  /** What was typed becomes the value. */
  function take(node, place, field) {
    const [value = NaN] = quiz.parse(field.value);
    const why = edits.refused(node, value, place);
    delete field.dataset.typed;
    tell(why);
    if (!why) edits.set(node, place, value);
  }

  function keyed(event, node, place) {
    if (event.key === "Enter") take(node, place, event.target);
    const way = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!way) return;
    event.preventDefault();
    const notches = way * (event.shiftKey ? 10 : 1);
    const value = edits.stepped(node, edits.value(node, place), notches);
    if (!edits.refused(node, value, place)) edits.set(node, place, value);
  }

  /** Of a few labels, the class of each to choose; null for others. */
  function labels(node) {
    if (!edits.isClass(node)) return null;
    const [rows, classes] = [data.size(edits.shape(node)), edits.classes(node)];
    if (rows > 16 || classes > MOST_CHOICES) return null;
    const names = Array.from({ length: classes }, (_, k) => String(k));
    return Array.from({ length: rows }, (_, r) =>
      dom.choice(`row ${r}`, names, edits.value(node, r), (k) => edits.set(node, r, k), {
        id: `edit-label-${r}`,
      }),
    );
  }

  function descent() {
    const names = edits.learning.map(edits.title).join(", ");
    const step = () => {
      const [before, [given = NaN]] = [edits.loss, quiz.parse(rate)];
      const why = edits.descend(given);
      tell(
        why ||
          `${names} less ${given} · gradient: the loss goes from ${data.format(before)} to ` +
            `${data.format(edits.loss)}.`,
      );
    };
    return make(
      "div",
      { class: "row" },
      dom.button("Gradient descent step", step, {
        id: "edit-descend",
        title: `Takes rate · gradient from ${names}`,
      }),
      make(
        "label",
        { class: "choice" },
        make("span", null, "rate"),
        make("input", {
          id: "edit-rate",
          type: "text",
          inputmode: "decimal",
          "aria-label": "Learning rate",
          value: rate,
          oninput: (event) => (rate = event.target.value),
        }),
      ),
      curve(),
    );
  }

  /** The loss before each step so far, and now. */
  function curve() {
    const list = [...edits.losses, edits.loss].filter(Number.isFinite);
    if (list.length < 2) return null;
    const [low, high] = [Math.min(...list), Math.max(...list)];
    const points = list.map((y, i) => {
      const height = high > low ? (y - low) / (high - low) : 0;
      return `${(2 + (96 * i) / (list.length - 1)).toFixed(1)},${(24 - 20 * height).toFixed(1)}`;
    });
    return dom.svg(
      "svg",
      {
        class: "curve",
        viewBox: "0 0 100 28",
        width: 100,
        height: 28,
        role: "img",
        "aria-label": `The loss over the steps: from ${data.format(list[0])} to ${data.format(list.at(-1))}`,
      },
      dom.svg("polyline", { points: points.join(" ") }),
    );
  }

  get("edit-toggle").addEventListener("click", () => open(!on));

  let seen = "";
  state.listen((what) => {
    edits.follow();
    if (state.edits !== seen) {
      seen = state.edits;
      const bad = edits.left;
      told = bad.length ? `Left out, as it does not fit this graph: ${bad.join(", ")}.` : "";
      if (seen && !on) open(true);
    }
    const node = nodes[state.selected]; // the element that the panel shows is the one to change
    const element = what === "element" && !node.isOp && node.elements[state.rank(node.number)];
    if (element) cells.set(node.number, tensors.place(node.shape, element.at));
    draw();
  });

  return { pick };
})();
