// Arrays of numbers with a shape, {shape, v}: v is a Float64Array, read row by row.
const tensors = (() => {
  const size = (shape) => shape.reduce((product, n) => product * n, 1);
  const zeros = (shape) => ({ shape, v: new Float64Array(size(shape)) });
  const of = (shape, values) => ({ shape, v: Float64Array.from(values, Number) });
  const copy = (x) => ({ shape: x.shape, v: x.v.slice() });

  /** For each element of shape `to`, the place of the element of `shape` that broadcasts there. */
  function spread(shape, to) {
    const places = new Int32Array(size(to));
    const steps = new Array(to.length).fill(0);
    for (let i = shape.length - 1, step = 1; i >= 0; i--) {
      if (shape[i] !== 1) steps[i + to.length - shape.length] = step;
      step *= shape[i];
    }
    let count = 0;
    const walk = (axis, at) => {
      if (axis === to.length) places[count++] = at;
      else for (let k = 0; k < to[axis]; k++) walk(axis + 1, at + k * steps[axis]);
    };
    walk(0, 0);
    return places;
  }

  /** The shape that two shapes broadcast to. */
  function joined(a, b) {
    const long = Math.max(a.length, b.length);
    return Array.from({ length: long }, (_, i) => {
      const [p, q] = [a[a.length - long + i] ?? 1, b[b.length - long + i] ?? 1];
      return p === 1 ? q : p;
    });
  }

  /** The elements of y, each added at its place of a tensor of `shape`. */
  function sumAt(y, places, shape) {
    const sum = zeros(shape);
    for (let k = 0; k < y.v.length; k++) sum.v[places[k]] += y.v[k];
    return sum;
  }

  const plus = (a, b) => ({ shape: a.shape, v: a.v.map((x, k) => x + b.v[k]) });

  /** Where a flat place lies: [2, 0, 1]. */
  function index(shape, place) {
    const at = new Array(shape.length);
    for (let i = shape.length - 1; i >= 0; i--) {
      at[i] = place % shape[i];
      place = Math.floor(place / shape[i]);
    }
    return at;
  }

  const place = (shape, at) => at.reduce((flat, k, i) => flat * shape[i] + k, 0);

  return { size, zeros, of, copy, spread, joined, sumAt, plus, index, place };
})();
