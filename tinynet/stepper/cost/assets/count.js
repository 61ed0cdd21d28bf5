// What layers cost, and the formulas that say so, with the numbers put in.

const DK = ["D", "K"]; // a letter with an index
const DF = ["D", "F"];

const exact = (n) => n.toLocaleString("en-US");
const digits = (x) => String(Number(x.toPrecision(4)));

/** Channels at a width: rounded as Python's round does, a half to the even side; at least 1. */
function scaled(width, channels) {
  const x = width * channels;
  const low = Math.floor(x);
  const up = x - low > 0.5 || (x - low === 0.5 && low % 2 === 1);
  return Math.max(1, low + (up ? 1 : 0));
}

/** A layer with its sizes and its cost. M, N: channels in and out; size: side of the output. */
function costed(layer, kernel, M, N, size) {
  const weights = kernel * kernel * (layer.kind === "depthwise" ? 1 : M) * N;
  const parameters = weights + N * (2 * layer.norm + layer.bias);
  return { ...layer, kernel, M, N, size, multAdds: weights * size * size, parameters };
}

/** The rows of a network and their sums; `kernel` is that of the depthwise layers. */
function countNetwork({ network, width, resolution, kernel, classes }) {
  const rows = [];
  let size = resolution;
  let M = 3;
  for (const layer of network.layers) {
    const last = layer.kind === "fully connected";
    const depthwise = layer.kind === "depthwise";
    size = last ? 1 : Math.ceil(size / layer.stride); // an odd kernel is padded by half of it
    const N = last ? classes : depthwise ? M : scaled(width, layer.channels);
    rows.push(costed(layer, depthwise ? kernel : layer.kernel, M, N, size));
    M = N;
  }
  return { rows, ...sums(rows) };
}

/** The sums of the same network with a standard convolution for each depthwise-pointwise pair. */
function countTwin(rows) {
  const twin = [];
  rows.forEach((row, i) => {
    if (row.kind === "depthwise") {
      const full = { ...row, kind: "convolution" };
      twin.push(costed(full, row.kernel, row.M, rows[i + 1].N, row.size));
    } else if (row.kind !== "pointwise") {
      twin.push(row);
    }
  });
  return sums(twin);
}

function sums(rows) {
  const add = (name) => rows.reduce((total, row) => total + row[name], 0);
  return { multAdds: add("multAdds"), parameters: add("parameters") };
}

const times = (factors) => factors.map(exact).join(" · ");

/** {name, lines, total}: a product in symbols (texts and letters with an index), with its numbers,
 * and what it comes to. */
function product(name, symbols, factors) {
  const total = exact(factors.reduce((a, b) => a * b));
  const letters = symbols.flatMap((symbol, i) => (i ? [" · ", symbol] : [symbol]));
  return { name, lines: [letters, [`= ${times(factors)}`], ["= "]], total };
}

const standardProduct = (K, M, N, F) =>
  product("Standard convolution", [DK, DK, "M", "N", DF, DF], [K, K, M, N, F, F]);

/** A depthwise and a pointwise layer against the standard convolution (section 3.1). */
function pairFormulas(K, M, N, F) {
  const standard = K * K * M * N * F * F;
  const pair = K * K * M * F * F + M * N * F * F;
  return [
    standardProduct(K, M, N, F),
    product("Depthwise", [DK, DK, "M", DF, DF], [K, K, M, F, F]),
    product("Pointwise", ["M", "N", DF, DF], [M, N, F, F]),
    {
      name: "Both against standard",
      lines: [
        [`${exact(pair)} / ${exact(standard)}`],
        ["= 1/N + 1/", DK, `² = 1/${exact(N)} + 1/${K * K} = `],
      ],
      total: digits(pair / standard),
      after: `: ${comparison(standard / pair)}`,
    },
  ];
}

function comparison(factor) {
  if (Math.abs(factor - 1) < 5e-5) return "the same";
  return factor > 1 ? `${digits(factor)} times fewer` : `${digits(1 / factor)} times more`;
}

/** The formulas of row i, each as of `product`. */
function formulas(rows, i) {
  const row = rows[i];
  const parameters = {
    name: "Parameters of this layer",
    lines: [[parameterFormula(row)]],
    total: exact(row.parameters),
  };
  if (row.kind === "fully connected") {
    return [product("Fully connected", ["M", "N"], [row.M, row.N]), parameters];
  }
  if (row.kind === "convolution") {
    return [standardProduct(row.kernel, row.M, row.N, row.size), parameters];
  }
  const depthwise = row.kind === "depthwise" ? row : rows[i - 1];
  const pointwise = row.kind === "depthwise" ? rows[i + 1] : row;
  return [...pairFormulas(depthwise.kernel, depthwise.M, pointwise.N, row.size), parameters];
}

function parameterFormula(row) {
  const kernel = row.kind === "fully connected" ? [] : [row.kernel, row.kernel];
  const factors = [...kernel, row.M, ...(row.kind === "depthwise" ? [] : [row.N])];
  const norm = row.norm ? ` + 2 · ${exact(row.N)} of BatchNorm` : "";
  const bias = row.bias ? ` + ${exact(row.N)} of the bias` : "";
  return `${times(factors)}${norm}${bias} = `;
}
