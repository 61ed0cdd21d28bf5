// All steps as a table of text: the alternative to the picture.
const table = (() => {
  const { make, get } = dom;
  const { nodes, steps } = data;
  const PAGE = 200;
  const shown = state.flag("table", show);
  let first = 0;

  function toggle() {
    shown.on = !shown.on;
    show(shown.on);
    draw(true);
    state.changed("folding");
  }

  function show(on) {
    get("table-toggle").setAttribute("aria-pressed", String(on));
    get("table").hidden = !on;
    get("picture").hidden = on;
  }

  /** follow: turn to the page with the current step. */
  function draw(follow) {
    if (!shown.on) return;
    const { frames } = timeline;
    if (follow) first = Math.floor(state.frame / PAGE) * PAGE;
    const last = Math.min(first + PAGE, frames.length);
    const place = get("table");
    const focus = place.contains(document.activeElement)
      ? document.activeElement.dataset.frame
      : null;
    const rows = frames.slice(first, last).map((frame, i) => row(frame, first + i));
    place.replaceChildren(
      make("h2", null, "All steps"),
      frames.length > PAGE
        ? make(
            "p",
            { class: "row" },
            dom.button(
              "Earlier",
              () => {
                first = Math.max(0, first - PAGE);
                draw(false);
              },
              { disabled: !first },
            ),
            `Steps ${first} to ${last - 1} of ${data.count(frames.length - 1)}`,
            dom.button(
              "Later",
              () => {
                first += PAGE;
                draw(false);
              },
              { disabled: last === frames.length },
            ),
          )
        : "",
      make(
        "div",
        { class: "scroll" },
        make(
          "table",
          { class: "steps" },
          make(
            "thead",
            null,
            make(
              "tr",
              null,
              ["Step", "Phase", "Op", "Value", "Gradient in", "Sent on", "Freed"].map((text) =>
                make("th", { scope: "col" }, text),
              ),
            ),
          ),
          make("tbody", null, rows),
        ),
      ),
    );
    const now = place.querySelector("[aria-current]");
    if (focus !== null)
      place.querySelector(`[data-frame="${focus}"]`)?.focus({ preventScroll: true });
    if (follow) now?.scrollIntoView({ block: "nearest" });
  }

  function row(frame, number) {
    const node = nodes[frame.node];
    const back = frame.phase === "backward";
    const now = number === state.frame;
    const reached = number <= state.frame;
    const name =
      frame.phase === "start"
        ? "inputs given"
        : `${data.title(node)}${node.path ? ` (${node.path})` : ""}`;
    const sent = !back
      ? ""
      : !reached
        ? "not known yet"
        : frame.sent.map((i) => gift(frame, i)).join("; ");
    return make(
      "tr",
      { "aria-current": now ? "step" : null },
      make(
        "td",
        null,
        dom.button(String(number), () => state.go(number), { "data-frame": number }),
      ),
      make("td", null, timeline.phase(number)),
      make("td", null, name),
      make(
        "td",
        null,
        frame.phase === "forward"
          ? reached
            ? brief(node.value, node.shape)
            : "not known yet"
          : "",
      ),
      make(
        "td",
        null,
        back || frame.phase === "seed"
          ? reached
            ? brief(node.grad, node.shape)
            : "not known yet"
          : "",
      ),
      make("td", null, sent),
      make("td", null, back ? (frame.frees ? data.count(steps[frame.step].freed) : "at the next step") : ""),
    );
  }

  function gift(frame, i) {
    const op = nodes[frame.node];
    const target = nodes[op.inputs[i]];
    const list = timeline.arrivals[target.number];
    const k = list.findIndex((a) => a.step === frame.step && a.input === i) + 1;
    const value = state.hides(target.number)
      ? "asked in the quiz"
      : target.shape.length
        ? data.shape(target.shape)
        : data.format(steps[frame.step].gifts[i].elements[0].g);
    return (
      `${target.gradient} ${data.gives(op, i)} ${value}` +
      (list.length > 1 ? ` (contribution ${k} of ${list.length})` : "")
    );
  }

  function brief(sample, sizes) {
    if (!sample) return "not recorded";
    if (!sizes.length) return data.format(sample.v[0]);
    const values =
      data.size(sizes) <= 6 ? ` [${sample.v.map((x) => data.format(x, 4)).join(", ")}]` : "";
    return `${data.shape(sizes)}${values}`;
  }

  get("table-toggle").addEventListener("click", toggle);
  return { draw };
})();
