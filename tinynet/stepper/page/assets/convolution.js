// The close-up of a convolution: a dialog with pages.
const convolution = (() => {
  const { make, get } = dom;
  const dialog = get("closeup");
  const PAGES = [
    ["slide", "Sliding kernel", slide.draw],
    ["costs", "Costs", costs.draw],
    ["im2col", "im2col", im2col.draw],
    ["touches", "Backward", touches.draw],
    ["flipped", (g) => `${g.gradients.x}: turned kernel`, flipped.draw],
    ["correlate", (g) => g.gradients.weight, correlate.draw],
  ];
  let page = 0,
    back = null,
    looked = null; // what is open: {g, at}

  // In the address: the op, the page, and the place that is looked at.
  state.keep(
    "closeup",
    () => looked && [looked.g.node.number, page, ...Object.values(looked.at)].join("."),
    (text) => {
      const [number, tab, ...place] = text.split(".").map(Number);
      if (dialog.open) dialog.close();
      if (!text || !data.nodes[number]?.conv) return;
      page = PAGES[tab] ? tab : 0;
      open(data.nodes[number], place);
    },
  );

  function open(node, place = []) {
    const g = windows.of(node);
    const at = { n: 0, o: 0, c: 0, h: 0, w: 0, r: 0, q: 0, i: 0, j: 0 };
    if (g.x && g.x.value) {
      at.r = Math.min(1, g.x.value.box[2] - 1);
      at.q = Math.min(1, g.x.value.box[3] - 1);
    }
    Object.keys(at).forEach((key, i) => (at[key] = place[i] ?? at[key]));
    back = document.activeElement;
    draw(g, at);
    dialog.showModal();
  }

  function draw(g, at) {
    looked = { g, at };
    state.remember();
    const redraw = () => draw(g, at);
    const { id } = document.activeElement || {};
    const scroll = dialog.scrollTop;
    const shown = g.x && g.x.value && g.weight.value && g.node.value;
    const content =
      PAGES[page][0] === "costs" && g.x
        ? costs.draw(g, at, redraw)
        : shown && data.size(g.node.value.box)
          ? PAGES[page][2](g, at, redraw)
          : make(
              "p",
              { class: "unknown" },
              "The values of this op were not recorded, so there is nothing to show here.",
            );
    dialog.replaceChildren(
      make(
        "header",
        null,
        make(
          "div",
          { class: "heading" },
          make(
            "div",
            { class: "row" },
            make(
              "h2",
              { id: "closeup-title" },
              `${data.title(g.node)}${g.node.path ? ` in ${g.node.path}` : ""}`,
            ),
            dom.button("Close", () => dialog.close(), { id: "closeup-close" }),
          ),
          make(
            "p",
            { class: "fine" },
            `${g.kind} convolution · ${g.kernel.join("×")} kernel · stride ` +
              `${pair(g.stride)} · padding ` +
              g.padding.map(pair).join(" and ") +
              (g.groups > 1 ? ` · ${g.groups} groups ` : " ") +
              `· ${g.C} to ${g.O} channels`,
          ),
        ),
        make(
          "div",
          { class: "tabs", role: "group", "aria-label": "Pages" },
          PAGES.map(([name, title], i) =>
            dom.button(
              typeof title === "function" ? title(g) : title,
              () => {
                page = i;
                redraw();
              },
              { id: `page-${name}`, "aria-pressed": String(i === page) },
            ),
          ),
        ),
      ),
      make("div", { class: "page" }, content),
    );
    dialog.scrollTop = scroll;
    if (id) get(id)?.focus({ preventScroll: true });
  }

  const pair = ([a, b]) => (a === b ? a : `(${a}, ${b})`);

  dialog.addEventListener("close", () => {
    looked = null;
    state.remember();
    if (back && back.isConnected) back.focus();
    else get("open-closeup")?.focus();
  });

  return { open };
})();
