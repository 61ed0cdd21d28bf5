// Making elements. Text goes in as text, never as HTML, so that nothing in it can break the page.
const dom = (() => {
  const SVG = "http://www.w3.org/2000/svg";

  function fill(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else element.setAttribute(name, value === true ? "" : value);
    }
    for (const child of children.flat(Infinity)) {
      if (child !== null && child !== undefined && child !== false) element.append(child);
    }
    return element;
  }

  const make = (tag, attributes, ...children) =>
    fill(document.createElement(tag), attributes, children);
  const svg = (tag, attributes, ...children) =>
    fill(document.createElementNS(SVG, tag), attributes, children);
  const get = (id) => document.getElementById(id);
  const button = (text, onclick, attributes) =>
    make("button", { type: "button", onclick, ...attributes }, text);

  /** A table: head, a list of texts; rows, lists of texts or elements. */
  function table(head, rows, attributes) {
    const line = (cells, tag, scope) =>
      make(
        "tr",
        null,
        cells.map((cell) => make(tag, { scope }, cell)),
      );
    return make(
      "table",
      attributes,
      make("thead", null, line(head, "th", "col")),
      make(
        "tbody",
        null,
        rows.map((row) => line(row, "td")),
      ),
    );
  }

  /** A labelled choice among numbered texts; `onchange` is given the number. */
  function choice(label, texts, chosen, onchange, attributes) {
    const select = make(
      "select",
      {
        "aria-label": label,
        onchange: () => onchange(Number(select.value)),
        ...attributes,
      },
      texts.map((text, i) => make("option", { value: i, selected: i === chosen }, text)),
    );
    return make("label", { class: "choice" }, make("span", null, label), select);
  }

  return { make, svg, get, button, table, choice };
})();
