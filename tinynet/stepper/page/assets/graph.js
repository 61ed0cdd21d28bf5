// The picture of the graph: nodes in their states, edges, boxes of modules; selecting and folding.
const graph = (() => {
  const { svg, get } = dom;
  const { nodes } = data;
  const place = get("graph");
  let picture = null,
    scale = 1,
    focused = null;

  function legend() {
    get("legend").replaceChildren(
      ...Object.entries(cards.STATES).map(([kind, text]) =>
        dom.make(
          "li",
          null,
          svg(
            "svg",
            { width: 14, height: 14, viewBox: "-1 -1 16 16", "aria-hidden": "true" },
            cards.sign(kind, 0, 0),
          ),
          text,
        ),
      ),
    );
  }

  function setOpen(group, open) {
    group.open = open;
    focused = open ? layout.id(group.items[0]) : group.id;
    state.changed("folding");
  }

  function draw() {
    const frame = timeline.frames[state.frame];
    const groups = picture.boxes
      .filter((box) => box.boxes)
      .map((box) => cards.openBox(box, setOpen));
    const shown = picture.boxes
      .filter((box) => !box.boxes)
      .flatMap((box) => {
        if (box.item.items) return cards.group(box.item, box, setOpen);
        const y = box.top + (box.height - layout.OP_HEIGHT) / 2;
        const own = cards.node(box.item, box.cx - box.half, y, box.half * 2);
        return [...chipPlaces(box).map((c) => cards.node(c.item, c.x, c.y, c.width, true)), own];
      });
    const drawing = svg(
      "svg",
      {
        width: picture.width * scale,
        height: picture.height * scale,
        viewBox: `0 0 ${picture.width} ${picture.height}`,
        role: "group",
        "aria-label": "The graph, from the inputs at the top to the loss at the bottom",
        class: timeline.phase(state.frame).toLowerCase(),
      },
      marks(),
      groups,
      edges.all(picture, frame, chipPlaces),
      shown,
    );
    const hadFocus = place.contains(document.activeElement);
    const { scrollLeft, scrollTop } = place;
    place.replaceChildren(drawing);
    Object.assign(place, { scrollLeft, scrollTop });
    rove(hadFocus);
  }

  function chipPlaces(box) {
    const chips = box.chips || [];
    const height = chips.length * (layout.CHIP_HEIGHT + 8) - 8;
    const top = box.top + (box.height - height) / 2;
    return chips.map((chip, i) => ({
      ...chip,
      x: box.cx - box.half - 22 - chip.width,
      y: top + i * (layout.CHIP_HEIGHT + 8),
    }));
  }

  function marks() {
    const arrow = (name, size) =>
      svg(
        "marker",
        {
          id: name,
          viewBox: "0 0 10 10",
          refX: 9,
          refY: 5,
          markerUnits: "userSpaceOnUse",
          markerWidth: size,
          markerHeight: size,
          orient: "auto-start-reverse",
          class: name,
        },
        svg("path", { d: "M0 0 10 5 0 10Z" }),
      );
    return svg(
      "defs",
      null,
      svg(
        "pattern",
        {
          id: "hatch",
          width: 8,
          height: 8,
          patternUnits: "userSpaceOnUse",
          patternTransform: "rotate(45)",
        },
        svg("rect", { width: 3, height: 8 }),
      ),
      arrow("tip", 9),
      arrow("tip-now", 13),
    );
  }

  // One node of the graph is a stop of the Tab key; the up and down keys go from there.
  const stops = () =>
    [...place.querySelectorAll("[data-id]")].sort(
      (a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top,
    );

  function rove(take) {
    const shown = layout.id(folding.visible(state.selected));
    const find = (name) => name && place.querySelector(`[data-id="${name}"]`);
    const stop = find(focused) || find(shown) || place.querySelector("[data-id]");
    if (!stop) return;
    stop.setAttribute("tabindex", "0");
    if (take) stop.focus({ preventScroll: true });
  }

  const remember = (event) => (focused = event.target.closest("[data-id]")?.dataset.id || focused);
  place.addEventListener("click", remember, true);
  place.addEventListener("keydown", (event) => {
    const here = event.target.closest("[data-id]");
    if (!here) return;
    if (event.key === "Enter" || event.key === " ") here.dispatchEvent(new MouseEvent("click"));
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const all = stops();
      const next = all[all.indexOf(here) + (event.key === "ArrowDown" ? 1 : -1)];
      if (next) {
        here.setAttribute("tabindex", "-1");
        next.setAttribute("tabindex", "0");
        focused = next.dataset.id;
        next.focus();
      }
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });

  /** Scroll so that the node of the frame is seen. */
  function follow() {
    const card = place.querySelector(".card.now") || place.querySelector(".card.picked");
    if (!card) return;
    const [inner, outer] = [card.getBoundingClientRect(), place.getBoundingClientRect()];
    const margin = Math.min(70, outer.height / 5);
    if (inner.top < outer.top + margin || inner.bottom > outer.bottom - margin) {
      place.scrollTop += (inner.top + inner.bottom - outer.top - outer.bottom) / 2;
    }
    if (place.scrollWidth > place.clientWidth) {
      place.scrollLeft += (inner.left + inner.right - outer.left - outer.right) / 2;
    }
  }

  function zoom(factor) {
    scale = Math.max(0.2, Math.min(2.5, scale * factor));
    draw();
    follow();
  }

  /** Scale to the width there is, but not below `least`, where the labels get hard to read. */
  function fit(least) {
    const room = place.clientWidth - 20;
    scale = Math.max(least, Math.min(1, room / picture.width));
  }

  function arrange() {
    picture = layout.picture();
    fit(0.8);
    draw();
  }

  return {
    arrange,
    draw,
    follow,
    zoom,
    legend,
    fit: () => {
      fit(0.4);
      draw();
      follow();
    },
  };
})();
