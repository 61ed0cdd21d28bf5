// Pictures of pixels: the filters, and the images with what the network says of them.
const pictures = (() => {
  const { make } = dom;
  const bytes = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));

  /** Filters (count, depth, height, width) as one canvas, a pixel of it for each weight. */
  function filters({ layer, shape }, text, peaks) {
    const [count, depth, H, W] = shape;
    const weights = bytes(text);
    const columns = Math.min(count, count > 32 ? 16 : 8);
    const rows = Math.ceil(count / columns);
    const canvas = make("canvas", {
      role: "img",
      width: columns * (W + 1) - 1,
      height: rows * (H + 1) - 1,
      "aria-label": `${count} filters of ${layer}`,
    });
    const context = canvas.getContext("2d");
    const image = context.createImageData(canvas.width, canvas.height);
    for (let n = 0; n < count; n++) {
      for (let i = 0; i < H * W; i++) {
        const row = Math.floor(n / columns) * (H + 1) + Math.floor(i / W);
        const at = 4 * (row * canvas.width + (n % columns) * (W + 1) + (i % W));
        for (let c = 0; c < 3; c++) {
          image.data[at + c] = weights[(n * depth + (depth === 3 ? c : 0)) * H * W + i];
        }
        image.data[at + 3] = 255;
      }
    }
    context.putImageData(image, 0, 0);
    const known = charts.known(peaks);
    const span = [Math.min(...known), Math.max(...known)].map(charts.short).join(" to ");
    const kind = depth === 3 ? "on red, green and blue" : "one per channel";
    const words = `${layer}: ${count} filters of ${H}×${W}, ${kind}; largest weight ${span}`;
    return make("div", null, make("p", null, words), canvas);
  }

  function photo(text, [H, W]) {
    const canvas = make("canvas", { width: W, height: H, "aria-hidden": "true" });
    const pixels = bytes(text);
    const image = canvas.getContext("2d").createImageData(W, H);
    for (let i = 0; i < H * W; i++) {
      for (let c = 0; c < 3; c++) image.data[4 * i + c] = pixels[3 * i + c];
      image.data[4 * i + 3] = 255;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }

  /** A function that shows what is said of an image: {classes, shares} by name, in order. */
  function prediction(home, text, size, label) {
    const words = make("figcaption");
    const figure = make("figure", null, photo(text, size), words);
    home.append(figure);
    return (classes, shares) => {
      const right = classes[0] === label;
      figure.className = right ? "right" : "wrong";
      const line = (name, i) =>
        make(
          "div",
          { class: name === label ? "said true" : "said" },
          make("span", null, name),
          `${Math.round(100 * shares[i])} %`,
          make("i", { style: `width:${100 * shares[i]}%`, "aria-hidden": "true" }),
        );
      const mark = right ? "✓ " : "✗ ";
      words.replaceChildren(make("b", null, mark + label), ...classes.map(line));
    };
  }

  return { filters, prediction };
})();
