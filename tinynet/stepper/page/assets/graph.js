// The picture of the graph: nodes in their states, edges, boxes of modules; selecting and folding.
const graph = (() => {
  const { svg, get } = dom;
  const { nodes } = data;
  const place = get("graph");
  let picture = null,
    zoom = "", // "" as the page thinks best, "fit" all of it, or a number
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
      x: box.cx - box.half - layout.CHIP_GAP - chip.width,
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

  /** Scroll so that the node of the frame is seen: always to the same place, as a link must. */
  function follow() {
    Object.assign(place, { scrollLeft: 0, scrollTop: 0 });
    const card = place.querySelector(".card.now") || place.querySelector(".card.picked");
    if (card) {
      const [inner, outer] = [card.getBoundingClientRect(), place.getBoundingClientRect()];
      if (inner.bottom > outer.bottom - Math.min(70, outer.height / 5)) {
        place.scrollTop = (inner.top + inner.bottom - outer.top - outer.bottom) / 2;
      }
      place.scrollLeft = (inner.left + inner.right - outer.left - outer.right) / 2;
    }
    view.settle();
  }

  const MOST = 4;
  state.keep(
    "zoom",
    () => zoom,
    (text) => (zoom = text === "fit" || Number(text) > 0 ? text : ""),
  );

  function zoomBy(factor) {
    zoom = Math.max(0.1, Math.min(MOST, scale * factor)).toFixed(2);
    state.changed("zoom");
  }

  /** The scale at which all of the picture is seen. */
  function whole() {
    const [width, height] = [place.clientWidth - 20, place.clientHeight - 20];
    return [width / picture.width, Math.min(width / picture.width, height / picture.height)];
  }

  /** On its own the page keeps labels readable, at the price of scrolling. */
  function setScale() {
    const [wide, all] = whole();
    if (zoom === "fit") scale = Math.max(0.1, Math.min(MOST, all));
    else if (zoom) scale = Math.min(MOST, Number(zoom));
    else if (view.lecture) scale = Math.max(view.least / layout.SMALLEST, Math.min(2, all));
    else scale = Math.max(0.8, Math.min(1, wide), Math.min(1.5, all));
  }

  function arrange() {
    picture = layout.picture();
    setScale();
    draw();
  }

  return {
    arrange,
    draw,
    follow,
    legend,
    rescale: () => {
      setScale();
      draw();
    },
    zoom: zoomBy,
    fit: () => {
      zoom = "fit";
      state.changed("zoom");
    },
  };
})();
