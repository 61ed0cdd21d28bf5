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
const escaped = (text) => text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
const swatch = (kind) => `<span class="swatch ${KINDS[kind].style}"></span>`;
const state = { network: networks[0], width: 1, kernel: 3, chosen: 1 };

/** Bars as parts of a whole: [[style, share], ...]. */
function bar(parts) {
  const span = ([style, share]) => `<span class="${style}" style="width:${100 * share}%"></span>`;
  return `<div class="bar" aria-hidden="true">${parts.map(span).join("")}</div>`;
}

function definitions(pairs) {
  const letters =
    `${DK} side of the kernel, M channels in, N channels out, ` +
    `${DF} side of the map that comes out`;
  const lines = [...pairs, ["Letters", `<span class="note">${letters}</span>`]];
  const line = ([name, text]) => `<div><dt>${name}</dt><dd>${text}</dd></div>`;
  return `<dl class="formulas">${lines.map(line).join("")}</dl>`;
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
      `<li data-share="${name} ${kind}">${swatch(kind)}${KINDS[kind].words} ` +
      `<b>${percent(share)}</b></li>`;
    const bars = bar(shares.map(([kind, share]) => [KINDS[kind].style, share]));
    const items = shares.map(item).join("");
    return `<div class="share"><b>${title}</b>${bars}<ul>${items}</ul></div>`;
  };
  $("shares").innerHTML = part("Multiply-adds", "multAdds") + part("Parameters", "parameters");
}

function showLayers(found) {
  const table = $("layers");
  const focused = table.contains(document.activeElement);
  state.chosen = Math.min(state.chosen, found.rows.length - 1);
  const largest = (name) => Math.max(...found.rows.map((row) => row[name]));
  const most = { multAdds: largest("multAdds"), parameters: largest("parameters") };
  const cell = (row, name) => {
    const bars = bar([[KINDS[row.kind].style, row[name] / most[name]]]);
    return `<td>${exact(row[name])}${bars}</td>`;
  };
  const line = (row, i) => {
    const chosen = i === state.chosen;
    const last = row.kind === "fully connected";
    const name = escaped(row.name);
    return (
      `<tr${chosen ? ' class="chosen"' : ""} data-layer="${name}"><th scope="row"><label>` +
      `<input type="radio" name="layer" value="${i}"${chosen ? " checked" : ""}>` +
      `${swatch(row.kind)}<span>${name.replaceAll(".", ".<wbr>")}</span></label></th>` +
      `<td class="wide">${last ? "" : `${row.kernel}×${row.kernel}, ${row.stride}`}</td>` +
      `<td class="wide">${exact(row.N)}${last ? "" : ` × ${row.size}×${row.size}`}</td>` +
      `${cell(row, "multAdds")}${cell(row, "parameters")}</tr>` +
      (chosen ? `<tr><td colspan="5">${definitions(formulas(found.rows, i))}</td></tr>` : "")
    );
  };
  table.tBodies[0].innerHTML = found.rows.map(line).join("");
  table.tFoot.innerHTML =
    `<tr><th scope="row">Total</th><td class="wide"></td><td class="wide"></td>` +
    `<td>${exact(found.multAdds)}</td><td>${exact(found.parameters)}</td></tr>`;
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
    const input = `<input type="radio" name="kernel" value="${k}"${k === 3 ? " checked" : ""}>`;
    $("kernels").insertAdjacentHTML("beforeend", `<label>${input} ${k}×${k}</label>`);
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
      box.insertAdjacentHTML("beforeend", `<button type="button">${n}</button>`);
      box.lastChild.addEventListener("click", () => {
        $(box.dataset.for).value = n;
        read();
      });
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

// ---- one layer of the reader's own ----

function showOwn() {
  $("own-problem").textContent = "";
  const numbers = ["kernel", "in", "out", "size", "stride"].map((name) => {
    const input = $("own-" + name);
    return readNumber(input, $("own-problem"), input.labels[0].textContent);
  });
  if (numbers.includes(null)) return;
  const [K, M, N, size, stride] = numbers;
  const F = Math.ceil(size / stride);
  const standard = K * K * M * N * F * F;
  const depthwise = K * K * M * F * F;
  const pointwise = M * N * F * F;
  const most = Math.max(standard, depthwise + pointwise);
  const line = (name, parts, words) => {
    const bars = bar(parts.map(([style, n]) => [style, n / most]));
    return `<div class="line"><b>${name}</b>${bars}<span class="number">${words}</span></div>`;
  };
  const pair = [["depthwise", depthwise], ["pointwise", pointwise]];
  const words =
    `${exact(depthwise + pointwise)} = ${exact(depthwise)} depthwise + ` +
    `${exact(pointwise)} pointwise`;
  const weights =
    `standard ${exact(K * K * M * N)}; depthwise ${exact(K * K * M)} + ` +
    `pointwise ${exact(M * N)} = ${exact(K * K * M + M * N)}`;
  $("own-filters").innerHTML =
    drawFilters("Standard", N, K, M, "convolution") +
    drawFilters("Depthwise", M, K, 1, "depthwise") +
    drawFilters("Pointwise", N, 1, M, "pointwise");
  $("own-result").innerHTML =
    line("Standard", [["convolution", standard]], exact(standard)) +
    line("Depthwise + pointwise", pair, words) +
    definitions([...pairFormulas(K, M, N, F), ["Weights", weights]]);
}

/** `count` filters of K x K x depth as a box, deeper for more channels (figure 2 of the paper). */
function drawFilters(name, count, K, depth, style) {
  const shown = Math.min(K, 7); // cells along a side
  const side = 12 + 8 * shown;
  const back = 3 + 6 * Math.log2(depth);
  const up = 0.35 * back;
  const y = up + 1;
  const grid = [];
  for (let j = 1; j < shown; j++) {
    const at = (side * j) / shown;
    grid.push(`M${1 + at} ${y}v${side}M1 ${y + at}h${side}`);
  }
  const fill = `var(--${style})`;
  const top = `M1 ${y}l${back} ${-up}h${side}v${side}l${-back} ${up}z`;
  const edge = `M${1 + side} ${y}l${back} ${-up}`;
  const plural = count > 1 ? "s" : "";
  return (
    `<figure><svg width="${side + back + 2}" height="${side + up + 2}" aria-hidden="true"` +
    ` fill="none" stroke="currentColor"><path d="${top}" fill="${fill}" fill-opacity="0.45"/>` +
    `<rect x="1" y="${y}" width="${side}" height="${side}" fill="${fill}"/>` +
    `<path d="${grid.join("")}${edge}"/></svg><figcaption><b>${name}</b><br>` +
    `${exact(count)} filter${plural} of ${K}×${K}×${exact(depth)}</figcaption></figure>`
  );
}

prepare();
