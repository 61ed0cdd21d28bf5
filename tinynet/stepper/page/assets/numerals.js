// Numbers in the cells of a heat map or of a convolution's planes.
const numerals = (() => {
  function short(x) {
    const text = data.format(x, 2).replace("0.", ".");
    return text.length > 4 ? Number(x).toExponential(0).replace("+", "") : text;
  }

  /** Pixels of a number's text in a cell: a digit is about 0.64 of them wide, a sign or dot half. */
  function fontSize(text, unit) {
    const ems = [...text].reduce((sum, c) => sum + ("-.".includes(c) ? 0.36 : 0.64), 0);
    return Math.min(view.lecture ? 22 : 11.5, (unit * 0.92) / Math.max(1.3, ems));
  }

  /** Whether cells are large enough for numbers; in the lecture mode all of them or none. */
  const fits = (numbers, unit) =>
    unit >= 24 && numbers.every((x) => fontSize(short(x), unit) >= view.least);

  function label(x, top, cx, cy, unit) {
    const strong = Math.abs(x) > 0.55 * top && Number.isFinite(x);
    const text = short(x);
    const size = fontSize(text, unit);
    if (size < view.least) return null;
    return dom.svg(
      "text",
      {
        x: cx,
        y: cy,
        class: strong ? "number strong" : "number",
        style: `font-size:${size}px`,
      },
      text,
    );
  }

  return { label, fits };
})();
