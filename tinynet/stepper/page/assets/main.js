// Putting it together: the transport buttons, the keys, the address, and who redraws when.
(() => {
  const { get } = dom;
  const last = timeline.frames.length - 1;
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  let timer = null;

  get("title").textContent = data.heading || "Backprop, step by step";
  const slider = get("slider");
  slider.max = last;
  get("phase-forward").style.flexGrow = timeline.seed;
  get("phase-backward").style.flexGrow = last - timeline.seed + 1;
  if (!data.recorded) {
    get("notice").hidden = false;
    get("notice").textContent =
      "The values of this graph were not recorded, so the page shows its shape and " +
      "its gradients only. Compute the loss inside `with stepper.record():` to see " +
      "all.";
  }

  function play(on) {
    clearInterval(timer);
    timer = on
      ? setInterval(
          () => {
            if (state.frame >= last) play(false);
            else state.go(state.frame + 1);
          },
          calm.matches ? 2000 : 1200,
        )
      : null;
    if (on && state.frame >= last) state.go(0);
    get("play").textContent = on ? "Pause" : "Play";
    get("play").setAttribute("aria-label", on ? "Pause" : "Play");
  }

  const moves = {
    first: () => state.go(0),
    previous: () => state.go(state.frame - 1),
    next: () => state.go(state.frame + 1),
    last: () => state.go(last),
  };
  for (const [id, move] of Object.entries(moves)) {
    get(id).addEventListener("click", () => {
      play(false);
      move();
    });
  }
  get("play").addEventListener("click", () => play(timer === null));
  slider.addEventListener("input", () => {
    play(false);
    state.go(Number(slider.value));
  });

  const KEYS = { ArrowLeft: "previous", ArrowRight: "next", Home: "first", End: "last" };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || get("closeup").open) return;
    if (event.target.matches("input[type=text], select, textarea")) return;
    if (event.key in KEYS) {
      play(false);
      moves[KEYS[event.key]]();
    } else if (
      event.key === " " &&
      !event.target.closest("button, summary, input, [role=button]")
    ) {
      play(timer === null);
    } else if (event.key === "l" || event.key === "L") view.toggle();
    else if (event.key === "f" || event.key === "F") graph.fit();
    else return;
    event.preventDefault();
  });

  get("help-toggle").addEventListener("click", () => {
    const help = get("help");
    help.hidden = !help.hidden;
    get("help-toggle").setAttribute("aria-expanded", String(!help.hidden));
  });
  get("zoom-in").addEventListener("click", () => graph.zoom(1.2));
  get("zoom-out").addEventListener("click", () => graph.zoom(1 / 1.2));
  get("zoom-fit").addEventListener("click", graph.fit);
  const fold = (open) => () => {
    folding.setAll(open);
    state.changed("folding");
  };
  get("fold-all").addEventListener("click", fold(false));
  get("open-all").addEventListener("click", fold(true));
  get("open-all").hidden = data.nodes.length > 600; // more than a browser draws smoothly
  const anyGroup = folding.groups.length > 1;
  if (!anyGroup) get("fold-all").hidden = get("open-all").hidden = true;

  function sayNow() {
    slider.value = state.frame;
    const phase = timeline.phase(state.frame);
    slider.setAttribute("aria-valuetext", `Step ${state.frame} of ${last}, ${phase}`);
    get("now").replaceChildren(
      dom.make("b", { class: phase.toLowerCase() }, `Step ${state.frame} of ${last} · ${phase}`),
      ` ${timeline.sentence(state.frame)}`,
    );
    get("first").disabled = get("previous").disabled = state.frame === 0;
    get("last").disabled = get("next").disabled = state.frame === last;
  }

  state.listen((what) => {
    if (what === "restored") return view.scrollBack();
    if (what === "frame") {
      sayNow();
      quiz.ask();
    }
    if (what === "folding") graph.arrange();
    else if (what === "zoom") graph.rescale();
    else if (what !== "section") graph.draw();
    if (["frame", "folding", "zoom"].includes(what)) graph.follow();
    if (what === "zoom") return;
    flags.draw();
    panel.draw();
    guide.fit();
    table.draw(what === "frame");
  });

  addEventListener("hashchange", state.restore);
  addEventListener("resize", () => state.changed("folding"));
  graph.legend();
  state.restore();
})();
