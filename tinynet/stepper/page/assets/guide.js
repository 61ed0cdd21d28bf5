// The lesson's own words: beside each step its text, before some a question, at the end the summary.
const guide = (() => {
  const { make, get } = dom;
  const lesson = JSON.parse(get("lesson").textContent);
  const last = timeline.frames.length - 1;
  const guesses = new Map(); // frame -> what the reader predicted for it; null: asked to be told
  let followed = null; // the numbers at the reader's own values, and whether all claims hold there
  let fits = false;
  let chosen = null; // among the choices of the fault
  let revealed = false;
  const WHAT_THE_TEXT_DOES = [
    "the numbers of this text follow.",
    "some words would not be true of them, so the text keeps the lesson's own numbers.",
  ];
  const LEAST = 120; // pixels of the text that are always seen: two lines in a lecture
  get("guide").hidden = !lesson;
  get("guide").setAttribute("aria-live", "polite");

  /** 'start', 'forward 3', 'seed', 'backward 0' or 'backward 0 again'. */
  function moment(number) {
    const frame = timeline.frames[number];
    if (frame.phase === "forward") return `forward ${frame.node}`;
    if (frame.phase !== "backward") return frame.phase;
    const again = timeline.frames[number - 1].step === frame.step;
    return `backward ${frame.step}${again ? " again" : ""}`;
  }

  /** The numbers at the reader's own values, if the lesson's words are true of them too. */
  function follow() {
    const numbers = live.numbers();
    if (!lesson?.follows || !numbers) return null;
    if (followed !== numbers) {
      followed = numbers;
      fits = lesson.follows.claims.every((claim) => expressions.of(claim, numbers));
    }
    return fits ? numbers : null;
  }

  function told(number) {
    const numbers = follow();
    if (!numbers) return (lesson && lesson.told[moment(number)]) || {};
    const { text, note, ask } = lesson.follows.told[moment(number)];
    const filled = (parts) => parts && expressions.text(parts, numbers);
    return {
      text: filled(text),
      note: filled(note),
      ask: ask && {
        question: filled(ask.question),
        answer: expressions.of(ask.answer, numbers),
        why: filled(ask.why),
      },
    };
  }

  function summary() {
    const numbers = follow();
    return numbers ? expressions.text(lesson.follows.summary, numbers) : lesson.summary;
  }

  const text = (number) => told(number).text || timeline.sentence(number);

  /** Text in which `this` is code. */
  const words = (sentence) =>
    sentence.split("`").map((part, i) => (i % 2 ? make("code", null, part) : part));

  const say = (kind, ...content) => make("p", { class: kind }, ...content);

  /** The question before a frame, asked at the frame before it. */
  function question(number) {
    const { ask } = told(number);
    if (!ask || guesses.has(number)) return null;
    const answer = make("input", {
      id: "prediction",
      type: "text",
      autocomplete: "off",
      "aria-describedby": "prediction-note",
    });
    const note = make("span", { id: "prediction-note", role: "status" });
    const reveal = (guess) => {
      guesses.set(number, guess);
      state.go(number);
    };
    return make(
      "form",
      {
        class: "ask",
        onsubmit: (event) => {
          event.preventDefault();
          const guesses = quiz.parse(answer.value); // "1,517" can be read in two ways
          if (!guesses.length) note.textContent = "Please type a number, such as 0.25 or 1/3.";
          else reveal(guesses.find((guess) => quiz.right(guess, ask.answer)) ?? guesses[0]);
        },
      },
      make("label", { for: "prediction" }, make("b", null, "Predict: "), words(ask.question)),
      make(
        "div",
        { class: "row" },
        answer,
        make("button", { type: "submit", class: "main" }, "Predict and step"),
        dom.button("Just show me", () => reveal(null)),
        note,
      ),
    );
  }

  /** At the frame that answers a question: whether the prediction was right, and why. */
  function verdict(number) {
    const { ask } = told(number);
    if (!ask) return null;
    const guess = guesses.get(number);
    const truth = data.format(ask.answer, 4);
    const right = guess !== undefined && guess !== null && quiz.right(guess, ask.answer);
    const said =
      guess === undefined || guess === null
        ? `The answer is ${truth}.`
        : right
          ? `You predicted ${data.format(guess)}: right.`
          : `You predicted ${data.format(guess)}; it is ${truth}.`;
    return say(`verdict ${right ? "good" : ""}`, make("b", null, said), " ", words(ask.why));
  }

  function neighbour(other, label, rel) {
    if (!other) return null;
    return say(
      rel,
      lesson.linked
        ? make("a", { href: `${other.name}.html`, rel }, `${label}: ${other.title}`)
        : `${label}: ${other.title} (--lesson ${other.name})`,
    );
  }

  function table({ title, head, rows }) {
    const whose = edits.any() ? " (the lesson's own numbers)" : "";
    return make("details", { open: true }, make("summary", null, title + whose), [
      make("div", { class: "scroll" }, dom.table(head, rows, { class: "terms" })),
    ]);
  }

  function choose({ question, choices, right, why, code }) {
    return make(
      "div",
      { class: "ask", role: "group", "aria-label": "Where is the fault?" },
      say("", make("b", null, "Find the fault: "), words(question)),
      choices.map((choice) =>
        dom.button(
          choice,
          () => {
            chosen = choice;
            draw();
            get("fault").focus();
          },
          { class: "choice-of-fault", "aria-pressed": String(choice === chosen) },
        ),
      ),
      make(
        "div",
        { id: "fault", tabindex: "-1", role: "status" },
        chosen !== null && chosen !== right && say("verdict", "Not that. Look at the table again."),
        chosen === right && [
          say("verdict good", make("b", null, revealed ? "It is this." : "Found."), " ", words(why)),
          make("pre", null, make("code", null, code)),
        ],
      ),
      chosen !== right &&
        dom.button("Reveal", () => {
          revealed = true;
          chosen = right;
          draw();
          get("fault").focus();
        }),
    );
  }

  const ending = () => [
    lesson.table && table(lesson.table),
    lesson.choose && choose(lesson.choose),
    (!lesson.choose || chosen === lesson.choose.right) &&
      say("summary", make("b", null, "To keep: "), words(summary())),
    neighbour(lesson.next, "Next lesson", "next"),
  ];

  function draw() {
    if (!lesson) return;
    const frame = state.frame;
    const other = edits.any() && !follow(); // then what is asked has another answer
    get("guide").replaceChildren(
      make(
        "div",
        { class: "place" },
        make("span", null, `${lesson.place} · ${lesson.minutes} min`),
        lesson.linked && make("a", { href: "index.html" }, "All lessons"),
        dom.button("Notes", notes.toggle, {
          id: "notes-toggle",
          class: "quiet",
          "aria-pressed": String(notes.shown()),
          title: "Speaker notes (N); a second window (W)",
        }),
      ),
      ...[
        frame === 0 && neighbour(lesson.previous, "Before", "prev"),
        frame === 0 && say("aim", make("b", null, "Aim: "), words(lesson.aim)),
        edits.any() && say("changed", `You have changed values: ${WHAT_THE_TEXT_DOES[Number(other)]}`),
        say("told", words(text(frame))),
        !other && verdict(frame),
        frame === last ? ending() : !other && question(frame + 1),
        notes.shown() && notes.here(frame),
      ]
        .flat()
        .filter(Boolean),
    );
    notes.follow();
    fit();
  }

  /** The picture that a text speaks of stays in sight below it: a long text scrolls, and where that
   * is not enough the picture comes before what flows. */
  function fit() {
    const place = get("guide");
    place.style.maxHeight = "";
    place.removeAttribute("tabindex");
    const picture = get("panel").querySelector(".paths, .slide");
    const scrolls = getComputedStyle(get("side")).overflowY === "auto"; // not on a phone
    if (!lesson || !scrolls || !picture) return;
    if (room(picture) < LEAST) get("panel").querySelector(".first").before(picture.closest("details"));
    place.style.maxHeight = `${Math.max(LEAST, room(picture))}px`;
    if (place.scrollHeight > place.clientHeight) place.tabIndex = 0; // the arrow keys scroll it
  }

  /** How high the text may be, so that all of the picture is seen. */
  function room(picture) {
    const [end, text] = [picture, get("guide")].map((one) => one.getBoundingClientRect().bottom);
    return get("side").clientHeight - (end - text) - 4;
  }

  state.listen((what) => {
    if (what === "edit") guesses.clear();
    if (what === "frame" || what === "edit") draw();
    if (what === "frame") get("guide").scrollTop = 0;
  });
  return { lesson, told, text, summary, words, draw, fit, last, moment };
})();
