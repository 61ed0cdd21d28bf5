// How large and how much: the lecture mode, the page within another page (?embed=1), what flags
// of the address stand for as classes of the page.
const view = (() => {
  const page = document.documentElement;
  const lecture = state.flag("lecture", show);
  const embedded = new URLSearchParams(location.search).get("embed") === "1";
  page.classList.toggle("embed", embedded);

  function show(on) {
    page.classList.toggle("lecture", on);
    dom.get("lecture-toggle").setAttribute("aria-pressed", String(on));
  }

  function toggle() {
    lecture.on = !lecture.on;
    show(lecture.on);
    state.changed("folding");
  }

  // Where the reader has scrolled to, in pixels: graph left, graph top, panel.
  const [picture, side] = [dom.get("graph"), dom.get("side")];
  let placed = [0, 0], // where the page itself has scrolled the graph to
    wanted = null;
  state.keep("scroll", where, (text) => (wanted = text ? text.split("_").map(Number) : null));

  function where() {
    const at = [picture.scrollLeft, picture.scrollTop].map(Math.round);
    const moved = Math.hypot(at[0] - placed[0], at[1] - placed[1]) > 4;
    return moved || side.scrollTop > 4 ? [...at, Math.round(side.scrollTop)].join("_") : "";
  }

  /** The page itself has scrolled the graph. */
  function settle() {
    placed = [picture.scrollLeft, picture.scrollTop];
  }

  /** After the address was read: back to where its reader had scrolled to. */
  function scrollBack() {
    const [left, top, down] = wanted || [...placed, 0];
    Object.assign(picture, { scrollLeft: left, scrollTop: top });
    side.scrollTop = down;
    state.remember();
  }

  let pause = null;
  for (const place of [picture, side]) {
    place.addEventListener("scroll", () => {
      clearTimeout(pause);
      pause = setTimeout(state.remember, 200);
    });
  }

  dom.get("lecture-toggle").addEventListener("click", toggle);
  return {
    toggle,
    settle,
    scrollBack,
    get lecture() {
      return lecture.on;
    },
    /** Pixels of the smallest text; pictures leave out numbers that would be smaller. */
    get least() {
      return lecture.on ? 20 : 0;
    },
  };
})();
