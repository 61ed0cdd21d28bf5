// The page: reads the controls, counts anew, shows.

const networks = JSON.parse(document.getElementById("networks").textContent);
const KERNELS = [1, 3, 5, 7];
const PRESETS = {
  width: [0.25, 0.5, 0.75, 1],
  resolution: [32, 128, 160, 192, 224],
  classes: [10, 100, 1000],
};
const KINDS = {
  convolution: { style: "convolution", words: "standard convolution" },
  depthwise: { style: "depthwise", words: "depthwise" },
  pointwise: { style: "pointwise", words: "pointwise" },
  "fully connected": { style: "fully", words: "fully connected" },
};
const FIELDS = { width: "Width", resolution: "Resolution", classes: "Classes" };

const $ = (id) => document.getElementById(id);
const percent = (share) => (100 * share).toFixed(2) + " %";
const millions = (n) => (n / 1e6).toLocaleString("en-US", { maximumFractionDigits: 2 }) + " M";
const { make } = dom;
const swatch = (kind) => make("span", { class: `swatch ${KINDS[kind].style}` });
const state = { network: networks[0], width: 1, kernel: 3, chosen: 1 };

/** Bars as parts of a whole: [[style, share], ...]. */
function bar(parts) {
  const span = ([style, share]) => make("span", { class: style, style: `width:${100 * share}%` });
  return make("div", { class: "bar", "aria-hidden": "true" }, parts.map(span));
}

const symbol = (part) => (Array.isArray(part) ? [part[0], make("sub", null, part[1])] : part);

function definitions(found) {
  const line = ({ name, lines, total, after }) => {
    const said = lines.map((line, i) => [i ? make("br") : null, line.map(symbol)]);
    return make(
      "div",
      null,
      make("dt", null, name),
      make("dd", null, said, total ? make("b", null, total) : null, after),
    );
  };
  const letters = [
    ...[DK, " side of the kernel, M channels in, N channels out, "],
    ...[DF, " side of the map that comes out"],
  ];
  const note = make("span", { class: "note" }, letters.map(symbol));
  const last = make("div", null, make("dt", null, "Letters"), make("dd", null, note));
  return make("dl", { class: "formulas" }, found.map(line), last);
}

// ---- the network ----

function show() {
  const found = countNetwork(state);
  showTotals(found);
  showShares(found);
  showLayers(found);
  for (const box of document.querySelectorAll(".presets")) {
    for (const button of box.children) {
      const pressed = Number(button.textContent) === state[box.dataset.for];
      button.setAttribute("aria-pressed", pressed);
    }
  }
}

function showTotals(found) {
  const twin = countTwin(found.rows);
  const put = (id, n, note) => {
    $(id).textContent = exact(n);
    $(id + "-note").textContent = note;
  };
  const against = (name) =>
    `${millions(twin[name])}, ${digits(twin[name] / found[name])} times as many`;
  put("mult-adds", found.multAdds, millions(found.multAdds));
  put("parameters", found.parameters, millions(found.parameters));
  put("twin-mult-adds", twin.multAdds, against("multAdds"));
  put("twin-parameters", twin.parameters, against("parameters"));

  const start = state.network.resolution;
  const whole = countNetwork({ ...state, width: 1, resolution: start }).multAdds;
  const rule = (state.width * state.resolution) / start;
  $("law").textContent =
    `α² · (${state.resolution}/${start})² = ${digits(rule * rule)} of those of width 1 at ` +
    `${start}; counted: ${digits(found.multAdds / whole)}.`;
}

function showShares(found) {
  const part = (title, name) => {
    const shares = Object.keys(KINDS).map((kind) => {
      const rows = found.rows.filter((row) => row.kind === kind);
      return [kind, sums(rows)[name] / found[name]];
    });
    const item = ([kind, share]) =>
      make(
        "li",
        { "data-share": `${name} ${kind}` },
        swatch(kind),
        `${KINDS[kind].words} `,
        make("b", null, percent(share)),
      );
    const bars = bar(shares.map(([kind, share]) => [KINDS[kind].style, share]));
    const items = make("ul", null, shares.map(item));
    return make("div", { class: "share" }, make("b", null, title), bars, items);
  };
  $("shares").replaceChildren(
    part("Multiply-adds", "multAdds"),
    part("Parameters", "parameters"),
  );
}

function showLayers(found) {
  const table = $("layers");
  const focused = table.contains(document.activeElement);
  state.chosen = Math.min(state.chosen, found.rows.length - 1);
  const largest = (name) => Math.max(...found.rows.map((row) => row[name]));
  const most = { multAdds: largest("multAdds"), parameters: largest("parameters") };
  const cell = (row, name) =>
    make("td", null, exact(row[name]), bar([[KINDS[row.kind].style, row[name] / most[name]]]));
  const wide = (text) => make("td", { class: "wide" }, text);
  const line = (row, i) => {
    const chosen = i === state.chosen;
    const last = row.kind === "fully connected";
    const name = row.name.split(".").flatMap((part, k) => (k ? [".", make("wbr"), part] : [part]));
    const radio = { type: "radio", name: "layer", value: i, checked: chosen };
    const label = make("label", null, make("input", radio), swatch(row.kind));
    label.append(make("span", null, name));
    const shown = make(
      "tr",
      { class: chosen && "chosen", "data-layer": row.name },
      make("th", { scope: "row" }, label),
      wide(last ? "" : `${row.kernel}×${row.kernel}, ${row.stride}`),
      wide(`${exact(row.N)}${last ? "" : ` × ${row.size}×${row.size}`}`),
      cell(row, "multAdds"),
      cell(row, "parameters"),
    );
    if (!chosen) return [shown];
    const below = make("td", { colspan: 5 }, definitions(formulas(found.rows, i)));
    return [shown, make("tr", null, below)];
  };
  table.tBodies[0].replaceChildren(...found.rows.flatMap(line));
  table.tFoot.replaceChildren(
    make(
      "tr",
      null,
      make("th", { scope: "row" }, "Total"),
      [wide(""), wide("")],
      make("td", null, exact(found.multAdds)),
      make("td", null, exact(found.parameters)),
    ),
  );
  if (focused) table.querySelector("input:checked").focus();
}

// ---- controls ----

/** The number in a field, or null after saying what is wrong with it. */
function readNumber(input, problem, name) {
  const value = input.value.trim() === "" ? NaN : Number(input.value);
  const { min, max, step } = input;
  const fits = step === "any" || value % Number(step) === 0;
  const good = value >= Number(min) && value <= Number(max) && fits;
  input.setAttribute("aria-invalid", !good);
  if (good) return value;
  const kinds = { any: "a number", 1: "a whole number" };
  problem.textContent =
    `${name} must be ${kinds[step] || `a multiple of ${step}`} from ${min} to ${max}; ` +
    "the page shows the last valid value.";
  return null;
}

function read() {
  $("problem").textContent = "";
  for (const [id, name] of Object.entries(FIELDS)) {
    const value = readNumber($(id), $("problem"), name);
    if (value === null) continue;
    state[id] = value;
    if ($(id + "-slider")) $(id + "-slider").value = value;
  }
  show();
}

function choose(network) {
  state.network = network;
  $("resolution").value = network.resolution;
  $("classes").value = network.classes;
  read();
}

function prepare() {
  for (const [i, network] of networks.entries()) $("network").add(new Option(network.title, i));
  $("network").addEventListener("change", (event) => choose(networks[event.target.value]));
  for (const k of KERNELS) {
    const input = make("input", { type: "radio", name: "kernel", value: k, checked: k === 3 });
    $("kernels").append(make("label", null, input, ` ${k}×${k}`));
  }
  $("kernels").addEventListener("change", (event) => {
    state.kernel = Number(event.target.value);
    show();
  });
  $("layers").addEventListener("change", (event) => {
    state.chosen = Number(event.target.value);
    show();
  });
  for (const box of document.querySelectorAll(".presets")) {
    for (const n of PRESETS[box.dataset.for]) {
      const press = () => {
        $(box.dataset.for).value = n;
        read();
      };
      box.append(dom.button(String(n), press));
    }
  }
  for (const id of Object.keys(FIELDS)) {
    $(id).addEventListener("input", read);
    const slider = $(id + "-slider");
    if (!slider) continue;
    slider.addEventListener("input", () => {
      $(id).value = slider.value;
      read();
    });
  }
  for (const form of document.forms) form.addEventListener("submit", (e) => e.preventDefault());
  $("own").addEventListener("input", showOwn);
  $("width").value = 1;
  choose(networks[0]);
  showOwn();
}
