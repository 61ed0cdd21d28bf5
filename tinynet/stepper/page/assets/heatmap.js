// Heat maps of tensors: a plane for each channel, one colour scale centred at 0, numbers on
// pointing or with the arrow keys.
const heatmap = (() => {
  const { make, svg } = dom;
  const MOST_PLANES = 12;
  const unfolded = new Set(); // heat maps whose planes are all shown

  state.keep(
    "planes",
    () => [...unfolded].join("_"),
    (text) => {
      unfolded.clear();
      for (const id of text.split("_").filter(Boolean)) unfolded.add(id);
    },
  );

  /** The planes of a sampled tensor: [{label, rows, cols, index(r, c)}]. */
  function planes(sample, sizes) {
    const [box, d] = [sample.box, sample.box.length];
    if (d === 0) return [{ label: "", rows: 1, cols: 1, index: () => [] }];
    if (d === 1) {
      const cols = Math.min(box[0], 16);
      const index = (r, c) => (r * cols + c < box[0] ? [r * cols + c] : null);
      return [{ label: "", rows: Math.ceil(box[0] / cols), cols, index }];
    }
    if (d === 4 && sizes[2] === 1 && sizes[3] === 1) {
      return [{ label: "", rows: box[0], cols: box[1], index: (r, c) => [r, c, 0, 0] }];
    }
    const lead = box.slice(0, d - 2);
    return Array.from({ length: data.size(lead) }, (_, k) => {
      const at = tensors.index(lead, k);
      const label = at.length ? data.index(at) : "";
      return { label, rows: box[d - 2], cols: box[d - 1], index: (r, c) => [...at, r, c] };
    });
  }

  /** The colour of a number: mixed from the page's three colours of the map. */
  function colour(x, top, power = 0.8) {
    if (!Number.isFinite(x)) return "url(#odd)";
    const part = top ? Math.min(1, Math.abs(x) / top) : 0;
    const end = x < 0 ? "var(--map-low)" : "var(--map-high)";
    return `color-mix(in srgb, ${end} ${(100 * part ** power).toFixed(1)}%, var(--map-zero))`;
  }

  const largest = (sample) =>
    Math.max(0, ...sample.v.map((x) => Math.abs(Number(x))).filter(Number.isFinite));

  /**
   * sample: of the tensor; sizes: its whole shape; name: for the numbers read out.
   * marks: indices that can be chosen; chosen: the rank of the one that is; onchoose(rank).
   * top: the number of full colour; room: pixels across; most: planes shown at first.
   * readout: where numbers are read out, if several heat maps share a place.
   * edit: the number of the node whose values these are, if they can be changed (see edit.js).
   */
  function draw({
    sample,
    sizes,
    name,
    marks = [],
    chosen = -1,
    onchoose = null,
    id = name,
    top = largest(sample),
    power = 0.8,
    room = 400,
    most = MOST_PLANES,
    readout = null,
    edit,
  }) {
    const all = planes(sample, sizes);
    const shown = unfolded.has(id) ? all : all.slice(0, most);
    const out = readout || make("output", { class: "readout" });
    const change = edit === undefined ? "" : " Drag it sideways, or type, to change it.";
    const told = hint(onchoose, marks.length === sample.v.length) + change;
    if (!readout) out.textContent = told;
    const cells = [];
    const rankOf = new Map(marks.map((at, rank) => [at.join(), rank]));
    const many = shown.length > 1;
    const across = many ? Math.min(view.lecture ? 160 : 112, Math.floor(room / 2) - 6) : room;
    const cols = Math.max(...shown.map((plane) => plane.cols));
    const widest = Math.max(across < 200 ? 2 : 7, across / cols);
    // In the lecture mode a cell is as large as its numbers ask for.
    const usual = view.lecture ? [44, 52, 60] : [many ? 28 : shown[0].rows === 1 ? 24 : 36];
    const unit = Math.min(widest, usual.find((size) => numerals.fits(sample.v, size)) || usual[0]);
    const texts = numerals.fits(sample.v, unit);
    const figures = shown.map((plane) => {
      const [width, height] = [plane.cols * unit, plane.rows * unit];
      const parts = [];
      for (let r = 0; r < plane.rows; r++) {
        for (let c = 0; c < plane.cols; c++) {
          const at = plane.index(r, c);
          if (!at) continue;
          const x = data.at(sample, at);
          const rank = rankOf.get(at.join());
          const cell = svg("rect", {
            x: c * unit,
            y: r * unit,
            width: unit,
            height: unit,
            fill: colour(x, top, power),
            class: "cell",
            "data-k": cells.length,
            "data-at": at.join(),
          });
          parts.push(cell);
          if (texts) parts.push(numerals.label(x, top, c * unit + unit / 2, r * unit + unit / 2, unit));
          if (rank !== undefined && marks.length < sample.v.length) {
            const dot = { cx: (c + 0.82) * unit, cy: (r + 0.18) * unit, r: unit < 12 ? 1.6 : 2.6 };
            parts.push(svg("circle", { ...dot, class: "mark" }));
          }
          if (rank === chosen) {
            const frame = { x: c * unit + 1, y: r * unit + 1, width: unit - 2, height: unit - 2 };
            parts.push(svg("rect", { ...frame, class: "chosen" }));
          }
          cells.push({ cell, at, x, rank, plane, r, c });
        }
      }
      return make(
        "figure",
        null,
        svg(
          "svg",
          { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" },
          svg(
            "defs",
            null,
            svg(
              "pattern",
              { id: "odd", width: 6, height: 6, patternUnits: "userSpaceOnUse" },
              svg("rect", { width: 6, height: 6, class: "odd" }),
              svg("path", { d: "M0 0 6 6M6 0 0 6", class: "odd-line" }),
            ),
          ),
          parts,
        ),
        plane.label && make("figcaption", null, plane.label),
      );
    });
    const board = make(
      "div",
      {
        class: "planes",
        title: told,
        tabindex: 0,
        role: "group",
        "data-edit": edit,
        "aria-label":
          `Heat map of ${name}, ${data.plural(cells.length, "value")}.` +
          " Arrow keys move from cell to cell.",
      },
      figures,
    );
    walk(board, cells, (cell) => read(out, name, cell), onchoose);
    const rest = all.length - shown.length;
    return make(
      "div",
      { class: "heatmap" },
      badges(sample),
      board,
      rest > 0 &&
        dom.button(
          `${data.plural(rest, "more plane")}`,
          () => {
            unfolded.add(id);
            state.changed("element");
          },
          { class: "jump fine" },
        ),
      readout ? null : make("div", { class: "scale" }, scale(top), out),
    );
  }

  function hint(onchoose, all) {
    const choose = all ? " click to choose it." : " dots mark the elements that can be chosen.";
    return `Point at a cell for its number${onchoose ? `;${choose}` : "."}`;
  }

  function scale(top) {
    if (!top) return make("span", { class: "colours" }, "all 0");
    return make(
      "span",
      { class: "colours" },
      data.format(-top, 3),
      make("i", { class: "ramp", "aria-hidden": "true" }),
      data.format(top, 3),
    );
  }

  function badges(sample) {
    const list = [
      ["nan", "NaN"],
      ["inf", "Inf"],
    ].filter(([key]) => sample[key]);
    return list.map(([key, word]) =>
      make("strong", { class: "badge" }, `${data.count(sample[key])} ${word}`),
    );
  }

  function read(out, name, { at, x, rank }) {
    out.textContent =
      `${name}${data.index(at)} = ${data.format(x)}` +
      (rank === undefined ? "" : "  (can be chosen)");
  }

  /** Pointing, clicking, and the keys: a cursor that moves from cell to cell. */
  function walk(board, cells, tell, onchoose) {
    let here = -1;
    const move = (k) => {
      cells[here]?.cell.classList.remove("here");
      here = k;
      cells[k].cell.classList.add("here");
      tell(cells[k]);
    };
    const choose = (k) => onchoose && cells[k]?.rank !== undefined && onchoose(cells[k].rank);
    const target = (event) => event.target.dataset?.k;
    board.addEventListener(
      "pointermove",
      (e) => target(e) !== undefined && move(Number(target(e))),
    );
    board.addEventListener("click", (e) => target(e) !== undefined && choose(Number(target(e))));
    board.addEventListener("focus", () => here < 0 && cells.length && move(0));
    board.addEventListener("keydown", (event) => {
      const cell = cells[here] || cells[0];
      const steps = {
        ArrowLeft: -1,
        ArrowRight: 1,
        ArrowUp: -cell.plane.cols,
        ArrowDown: cell.plane.cols,
      };
      if (event.key in steps)
        move(Math.max(0, Math.min(cells.length - 1, here + steps[event.key])));
      else if (event.key === "Enter") choose(here);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }

  return { draw, colour, largest };
})();
