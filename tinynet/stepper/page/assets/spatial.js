// Ops on images (N, C, H, W): convolutions, pooling, and BatchNorm.
const spatial = (() => {
  const { size, zeros } = tensors;

  /** [output position, pixel (-1: in the padding), tap, ...] for a window that slides over H x W. */
  function sights(o, [H, W], [HO, WO]) {
    const list = [];
    for (let h = 0; h < HO; h++)
      for (let w = 0; w < WO; w++)
        for (let i = 0; i < o.kernel[0]; i++)
          for (let j = 0; j < o.kernel[1]; j++) {
            const r = h * o.stride[0] + i * o.dilation[0] - o.padding[0][0];
            const q = w * o.stride[1] + j * o.dilation[1] - o.padding[1][0];
            const inside = r >= 0 && q >= 0 && r < H && q < W;
            list.push(h * WO + w, inside ? r * W + q : -1, i * o.kernel[1] + j);
          }
    return list;
  }

  const area = (shape) => shape[2] * shape[3];

  /** Calls visit(place in y, in x or -1, in weight) for each product of a convolution. */
  function products(x, weight, shape, o, visit) {
    const [N, O] = shape;
    const [C, inGroup, outGroup] = [x.shape[1], weight.shape[1], O / o.groups];
    const [pixels, places, taps] = [area(x.shape), area(shape), area(weight.shape)];
    const seen = sights(o, x.shape.slice(2), shape.slice(2));
    for (let n = 0; n < N; n++)
      for (let out = 0; out < O; out++)
        for (let c = 0; c < inGroup; c++) {
          const y0 = (n * O + out) * places;
          const x0 = (n * C + Math.floor(out / outGroup) * inGroup + c) * pixels;
          const w0 = (out * inGroup + c) * taps;
          for (let k = 0; k < seen.length; k += 3)
            visit(y0 + seen[k], seen[k + 1] < 0 ? -1 : x0 + seen[k + 1], w0 + seen[k + 2]);
        }
  }

  /** The three sums of a convolution are one loop over its products, read three ways. */
  const convolution = {
    forward([x, weight, bias], o, shape) {
      const [y, places] = [zeros(shape), area(shape)];
      products(x, weight, shape, o, (i, j, k) => (y.v[i] += (j < 0 ? 0 : x.v[j]) * weight.v[k]));
      if (bias) y.v.forEach((_, i) => (y.v[i] += bias.v[Math.floor(i / places) % shape[1]]));
      return y;
    },
    backward(gy, [x, weight, bias], y, o) {
      const [gx, gw, places] = [zeros(x.shape), zeros(weight.shape), area(y.shape)];
      products(x, weight, y.shape, o, (i, j, k) => {
        if (j >= 0) gx.v[j] += gy.v[i] * weight.v[k];
        gw.v[k] += gy.v[i] * (j < 0 ? 0 : x.v[j]);
      });
      if (!bias) return [gx, gw];
      const gb = zeros(bias.shape);
      gy.v.forEach((g, i) => (gb.v[Math.floor(i / places) % y.shape[1]] += g));
      return [gx, gw, gb];
    },
  };

  /** Calls visit(place in y, in x or -1, output position, tap) for each pixel that a window sees. */
  function windowed(x, shape, o, visit) {
    const [pixels, places] = [area(x.shape), area(shape)];
    const seen = sights(o, x.shape.slice(2), shape.slice(2));
    for (let plane = 0; plane < shape[0] * shape[1]; plane++)
      for (let k = 0; k < seen.length; k += 3) {
        const [at, pixel] = [seen[k], seen[k + 1]];
        visit(plane * places + at, pixel < 0 ? -1 : plane * pixels + pixel, at);
      }
  }

  const AveragePool2d = {
    forward([x], o, shape) {
      const y = zeros(shape);
      windowed(x, shape, o, (i, j) => (y.v[i] += j < 0 ? 0 : x.v[j]));
      y.v.forEach((sum, i) => (y.v[i] = sum / o.divisor[i % area(shape)]));
      return y;
    },
    backward(gy, [x], y, o) {
      const gx = zeros(x.shape);
      windowed(x, y.shape, o, (i, j, at) => j >= 0 && (gx.v[j] += gy.v[i] / o.divisor[at]));
      return [gx];
    },
  };

  /** For each output the pixel of x that it is: the first largest, of NaNs the last. */
  function winners(x, shape, o) {
    const best = new Int32Array(size(shape)).fill(-1);
    windowed(x, shape, o, (i, j) => {
      const better = best[i] < 0 || x.v[j] > x.v[best[i]] || Number.isNaN(x.v[j]);
      if (j >= 0 && better) best[i] = j;
    });
    return best;
  }

  const MaxPool2d = {
    forward([x], o, shape) {
      const best = winners(x, shape, o);
      return { shape, v: Float64Array.from(best, (j) => (j < 0 ? -Infinity : x.v[j])) };
    },
    backward(gy, [x], y, o) {
      const gx = zeros(x.shape);
      winners(x, y.shape, o).forEach((j, i) => j >= 0 && (gx.v[j] += gy.v[i]));
      return [gx];
    },
  };

  /** Calls visit(place in y, in x, pixels of the part) for each pixel that an output averages. */
  function parts(x, shape, visit) {
    const [H, W] = x.shape.slice(2);
    const [HO, WO] = shape.slice(2);
    for (let plane = 0; plane < shape[0] * shape[1]; plane++)
      for (let o = 0; o < HO; o++)
        for (let p = 0; p < WO; p++) {
          const [r0, r1] = [Math.floor((o * H) / HO), Math.ceil(((o + 1) * H) / HO)];
          const [q0, q1] = [Math.floor((p * W) / WO), Math.ceil(((p + 1) * W) / WO)];
          for (let r = r0; r < r1; r++)
            for (let q = q0; q < q1; q++)
              visit((plane * HO + o) * WO + p, (plane * H + r) * W + q, (r1 - r0) * (q1 - q0));
        }
  }

  const AdaptiveAveragePool2d = {
    forward([x], o, shape) {
      const y = zeros(shape);
      parts(x, shape, (i, j, n) => (y.v[i] += x.v[j] / n));
      return y;
    },
    backward(gy, [x], y) {
      const gx = zeros(x.shape);
      parts(x, y.shape, (i, j, n) => (gx.v[j] += gy.v[i] / n));
      return [gx];
    },
  };

  /** Per channel: mean, std, and the number of values; xhat and the channel of each element. */
  function normalised(x, o) {
    const C = x.shape[1];
    const count = C ? x.v.length / C : 0;
    const channel = (i) => Math.floor(i / area(x.shape)) % C;
    let [mean, variance] = [o.mean, o.var];
    if (o.training) {
      mean = new Float64Array(C);
      variance = new Float64Array(C);
      x.v.forEach((value, i) => (mean[channel(i)] += value / count));
      x.v.forEach((value, i) => (variance[channel(i)] += (value - mean[channel(i)]) ** 2 / count));
    }
    const std = Array.from(variance, (value) => Math.sqrt(Number(value) + o.eps));
    const xhat = x.v.map((value, i) => (value - Number(mean[channel(i)])) / std[channel(i)]);
    return { count, channel, mean, std, xhat };
  }

  /** What gx is made of: mean(gy) and mean(gy xhat) of each channel, 0 with fixed statistics. */
  function batchnormParts(gy, [x, weight], o) {
    const known = normalised(x, o);
    const { count, channel, xhat, std } = known;
    const [gweight, gbias] = [zeros(weight.shape), zeros(weight.shape)];
    gy.v.forEach((g, i) => {
      gweight.v[channel(i)] += g * xhat[i];
      gbias.v[channel(i)] += g;
    });
    const mean = (sum) => sum.v.map((total) => (o.training ? total / count : 0));
    const scale = weight.v.map((w, c) => w / std[c]);
    return { ...known, gweight, gbias, scale, meanGy: mean(gbias), meanGyXhat: mean(gweight) };
  }

  const BatchNorm = {
    forward([x, weight, bias], o) {
      const { channel, xhat } = normalised(x, o);
      const v = xhat.map((value, i) => weight.v[channel(i)] * value + bias.v[channel(i)]);
      return { shape: x.shape, v };
    },
    backward(gy, xs, y, o) {
      const p = batchnormParts(gy, xs, o);
      const gx = gy.v.map((g, i) => {
        const c = p.channel(i);
        return p.scale[c] * (g - p.meanGy[c] - p.xhat[i] * p.meanGyXhat[c]);
      });
      return [{ shape: y.shape, v: gx }, p.gweight, p.gbias];
    },
  };

  const ops = { Conv2d: convolution, DepthwiseConv2d: convolution, BatchNorm };
  Object.assign(ops, { AveragePool2d, MaxPool2d, AdaptiveAveragePool2d });

  /** The places of x that the window at place k of y sees. */
  function seen(x, shape, o, k) {
    const list = [];
    windowed(x, shape, o, (i, j) => i === k && j >= 0 && list.push(j));
    return list;
  }

  return { ops, batchnormParts, normalised, seen };
})();
