// The page: one state, the number of the snapshot; everything is drawn from it.
(() => {
  const { get, make } = dom;
  const data = JSON.parse(get("data").textContent);
  const { frames } = data;
  const last = frames.length - 1;
  const STATISTICS = ["running mean", "running standard deviation", "weight (γ)"];
  const state = { at: 0, statistic: 0, layer: 0 };
  let timer = null;

  const column = (k) => data.curves.map((row) => row[k]);
  const epochs = column(0);
  const scale = charts.powers(frames.flatMap((frame) => frame.gradients));
  const DEVIATION = 1; // of STATISTICS: it is positive, and of many sizes
  const scaled = (k, x) => (k !== DEVIATION || x === null ? x : Math.log10(Math.max(x, 1e-4)));
  const axes = STATISTICS.map((_, k) => {
    const all = frames.flatMap((frame) => frame.norms.flatMap((norm) => norm[k]));
    return k === DEVIATION ? charts.powers(all.map((x) => Math.max(x, 1e-4))) : charts.plain(all);
  });
  const showers = data.images.pixels.map((pixels, i) =>
    pictures.prediction(get("predictions"), pixels, data.images.size, data.labels[i]),
  );

  function sentence(frame) {
    const row = data.curves.find(([epoch]) => epoch === frame.epoch);
    if (!row) return "before the first step: nothing is learnt yet";
    const percent = (share) => (share === null ? "unknown" : `${(100 * share).toFixed(1)} %`);
    const [, lr, train, validation, right, judged] = row;
    const number = (x) => (x === null ? "unknown" : x.toFixed(3));
    return (
      `loss ${number(train)} in training, ${number(validation)} in validation · ` +
      `accuracy ${percent(right)} and ${percent(judged)} · learning rate ${charts.short(lr)}`
    );
  }

  function draw() {
    const frame = frames[state.at];
    get("slider").value = state.at;
    const epoch = `Epoch ${frame.epoch} of ${data.epochs}`;
    get("slider").setAttribute("aria-valuetext", epoch);
    get("now").replaceChildren(make("b", null, epoch), ` · ${sentence(frame)}`);
    get("previous").disabled = state.at === 0;
    get("next").disabled = state.at === last;
    drawCurves(frame.epoch);
    get("filters").replaceChildren(
      ...data.filters.map((bank, i) =>
        pictures.filters(bank, frame[`filters${i}`], frame[`peaks${i}`]),
      ),
    );
    showers.forEach((show, i) =>
      show(
        frame.best[i].map((label) => data.names[label]),
        frame.shares[i],
      ),
    );
    drawGradients(frame);
    const words = `${STATISTICS[state.statistic]} of ${data.norms.length} layers`;
    const k = state.statistic;
    const boxes = frame.norms.map((norm) => norm[k].map((x) => scaled(k, x)));
    charts.boxes(get("norms"), words, boxes, axes[k]);
  }

  function drawCurves(epoch) {
    const most = Math.max(data.epochs, frames[last].epoch);
    const lines = (train, validation) => [
      { style: "train", values: column(train) },
      { style: "validation", values: column(validation) },
    ];
    charts.curves(get("loss"), "loss", epochs, lines(2, 3), epoch, most, false);
    charts.curves(get("accuracy"), "accuracy", epochs, lines(4, 5), epoch, most, true);
  }

  function choose(layer) {
    if (state.layer === layer) return;
    state.layer = layer;
    drawGradients(frames[state.at]);
  }

  function drawGradients(frame) {
    const words = `Gradient of ${data.layers.length} layers at epoch ${frame.epoch}`;
    const { gradients, weights } = frame;
    const home = get("gradients");
    charts.columns(home, words, gradients, frames[0].gradients, scale, state.layer, choose);
    const i = state.layer;
    const size = (x) => (x === null ? "not finite" : charts.short(x));
    get("layer").value = i;
    get("size").textContent = `gradient ${size(gradients[i])}, weights ${size(weights[i])} (root mean squares)`;
  }

  function go(to) {
    state.at = Math.max(0, Math.min(last, to));
    const hash = `#epoch=${frames[state.at].epoch}`;
    if (hash !== location.hash) history.replaceState(null, "", hash);
    draw();
  }

  function restore() {
    const epoch = parseInt(new URLSearchParams(location.hash.slice(1)).get("epoch"), 10);
    const found = frames.findIndex((frame) => frame.epoch >= epoch);
    go(found < 0 ? last : found);
  }

  function play(on) {
    clearInterval(timer);
    timer = on ? setInterval(() => (state.at < last ? go(state.at + 1) : play(false)), 700) : null;
    if (on && state.at === last) go(0);
    get("play").textContent = on ? "Pause" : "Play";
  }

  function stopAndGo(to) {
    play(false);
    go(to);
  }

  const KEYS = {
    ArrowLeft: () => state.at - 1,
    ArrowRight: () => state.at + 1,
    Home: () => 0,
    End: () => last,
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select")) return;
    if (event.key in KEYS) stopAndGo(KEYS[event.key]());
    else if (event.key === " " && !event.target.closest("button")) play(timer === null);
    else return;
    event.preventDefault();
  });
  get("previous").addEventListener("click", () => stopAndGo(state.at - 1));
  get("next").addEventListener("click", () => stopAndGo(state.at + 1));
  get("play").addEventListener("click", () => play(timer === null));
  get("slider").addEventListener("input", () => stopAndGo(Number(get("slider").value)));
  get("statistic").append(...STATISTICS.map((text, i) => new Option(text, i)));
  get("statistic").value = state.statistic;
  get("statistic").addEventListener("change", () => {
    state.statistic = Number(get("statistic").value);
    draw();
  });

  get("layer").append(...data.layers.map((name, i) => new Option(name, i)));
  get("layer").addEventListener("change", () => choose(Number(get("layer").value)));

  get("title").textContent = data.title;
  get("slider").max = last;
  if (data.step > 1) {
    get("notice").hidden = false;
    get("notice").textContent =
      `The training is long: the page has one of ${data.step} epochs. All are in film.npz.`;
  }
  if (!data.norms.length) get("norms").closest("section").hidden = true;
  addEventListener("resize", draw);
  addEventListener("hashchange", restore);
  restore();
})();
