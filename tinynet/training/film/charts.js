// Charts in SVG, drawn at the width that the page has for them, so that their text keeps its size.
const charts = (() => {
  const { svg } = dom;
  const LEFT = 58; // pixels for the numbers of the vertical axis

  function short(x) {
    if (x === 0) return "0";
    const [low, high] = [Math.abs(x) < 1e-3, Math.abs(x) >= 1e5];
    return low || high ? x.toExponential(0) : String(Number(x.toPrecision(3)));
  }

  /** An empty chart in `home`: {x, y: functions from data to pixels, add, width, height}. */
  function chart(home, height, [low, high], marks, words) {
    const width = Math.max(240, home.clientWidth);
    const y = (value) => height - 24 - ((value - low) / (high - low || 1)) * (height - 48);
    const picture = svg("svg", { height, viewBox: `0 0 ${width} ${height}`, role: "img" });
    picture.setAttribute("aria-label", words);
    for (const { at, text } of marks) {
      picture.append(
        svg("path", { class: "grid", d: `M${LEFT} ${y(at)}H${width}` }),
        svg("text", { x: LEFT - 8, y: y(at) + 5, "text-anchor": "end" }, text),
      );
    }
    home.replaceChildren(picture);
    return { y, width, height, add: (...parts) => picture.append(...parts) };
  }

  const known = (values) => values.filter((value) => value !== null && value !== undefined);

  /** Round marks of an axis from low to high, about five. */
  function rounds(low, high) {
    const least = (high - low) / 5 || 1;
    const power = 10 ** Math.floor(Math.log10(least));
    const step = power * [1, 2, 5, 10].find((k) => k * power >= least * (1 - 1e-9));
    const marks = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high * (1 + 1e-9); k++) {
      marks.push({ at: k * step, text: short(k * step) });
    }
    return marks;
  }

  /** Whole powers of ten that hold all positive values, as marks and as a range of logarithms. */
  function powers(values) {
    const logs = known(values).filter((value) => value > 0).map(Math.log10);
    const low = Math.floor(Math.min(...logs, 0));
    const high = Math.ceil(Math.max(...logs, low + 1));
    const marks = [];
    const step = Math.ceil((high - low) / 5);
    for (let k = low; k <= high; k += step) marks.push({ at: k, text: short(10 ** k) });
    return { range: [low, high], marks };
  }

  /** A linear axis that holds all values and 0. */
  function plain(values) {
    const all = known(values);
    const range = [Math.min(0, ...all), Math.max(1e-6, ...all)];
    return { range, marks: rounds(...range) };
  }

  /** Lines over the epochs: [{style, values}, ...], `at` the epoch that is looked at. */
  function curves(home, title, epochs, lines, at, most, percent) {
    const all = known(lines.flatMap((line) => line.values));
    const { range, marks } = plain(percent ? [0.1, ...all] : all);
    const shown = ({ at, text }) => ({ at, text: percent ? `${Math.round(100 * at)} %` : text });
    const found = chart(home, 160, range, marks.map(shown), title);
    const x = (epoch) => LEFT + 8 + (epoch / (most || 1)) * (found.width - LEFT - 16);
    found.add(svg("text", { x: LEFT + 8, y: 12 }, title));
    for (const { style, values } of lines) {
      let d = "";
      values.forEach((value, i) => {
        if (value === null) return;
        const from = i && values[i - 1] !== null ? "L" : "M";
        d += `${from}${x(epochs[i])} ${found.y(value)}`;
      });
      found.add(svg("path", { class: `curve ${style}`, d }));
      const here = values[epochs.indexOf(at)];
      if (here !== undefined && here !== null) {
        found.add(svg("circle", { class: style, cx: x(at), cy: found.y(here), r: 5 }));
      }
    }
    found.add(svg("path", { class: "cursor", d: `M${x(at)} 20V${found.height - 24}` }));
    const ends = { 0: "start", [most]: "end" };
    for (const [epoch, anchor] of Object.entries(ends)) {
      found.add(svg("text", { x: x(epoch), y: found.height - 5, "text-anchor": anchor }, epoch));
    }
  }

  /** Columns of a logarithmic axis, and marks of the same at the start. */
  function columns(home, words, values, before, scale, chosen, onchoose) {
    const found = chart(home, 210, scale.range, scale.marks, words);
    const step = (found.width - LEFT) / values.length;
    const bottom = found.y(scale.range[0]);
    values.forEach((value, i) => {
      const x = LEFT + i * step;
      if (value > 0) {
        const y = found.y(Math.log10(value));
        const style = i === chosen ? "column chosen" : "column";
        const size = { width: Math.max(1, 0.75 * step), height: Math.max(0, bottom - y) };
        found.add(svg("rect", { class: style, x: x + step / 8, y, ...size }));
      }
      if (before[i] > 0) {
        const y = found.y(Math.log10(before[i]));
        found.add(svg("path", { class: "before", d: `M${x} ${y}h${step}` }));
      }
      const reach = { x, y: 0, width: step, height: bottom, fill: "transparent" };
      found.add(svg("rect", { ...reach, onpointerenter: () => onchoose(i) }));
    });
    ends(found, "first layer", "last layer");
  }

  /** A box per layer: [smallest, quarter, median, three quarters, largest]. */
  function boxes(home, words, layers, { range, marks }) {
    const found = chart(home, 210, range, marks, words);
    const step = (found.width - LEFT) / layers.length;
    layers.forEach((quantiles, i) => {
      if (quantiles.includes(null)) return;
      const [low, q1, median, q3, high] = quantiles.map(found.y);
      const x = LEFT + i * step;
      const middle = x + step / 2;
      found.add(
        svg("path", { class: "whisker", d: `M${middle} ${low}V${high}` }),
        svg("rect", { class: "box", x: x + step / 8, y: q3, width: 0.75 * step, height: q1 - q3 }),
        svg("path", { class: "median", d: `M${x + step / 8} ${median}h${0.75 * step}` }),
      );
    });
    ends(found, "first", "last");
  }

  function ends(found, first, last) {
    const y = found.height - 5;
    found.add(
      svg("text", { x: LEFT, y }, first),
      svg("text", { x: found.width, y, "text-anchor": "end" }, last),
    );
  }

  return { curves, columns, boxes, powers, plain, known, short };
})();
