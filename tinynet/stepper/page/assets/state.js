// What the reader looks at: the frame, the selected node, the chosen elements and inputs, and what
// other parts keep here. All of it stands in the address, so that a link opens the same view.
const state = (() => {
  const listeners = [];
  const kept = []; // {key, write, read} of other parts, in the order of the address
  const chosen = new Map(); // node number -> rank of the chosen element
  const inputs = new Map(); // op number -> which of its inputs the chain rule is shown for
  const me = { frame: 0, selected: data.nodes[0].number, pinned: false, secret: null, inputs };
  me.edits = ""; // what the reader has changed, as edits.js writes it

  const clamp = (n) => Math.max(0, Math.min(timeline.frames.length - 1, n));
  const tell = (what) => listeners.forEach((listener) => listener(what));
  const changed = (what) => {
    tell(what);
    remember();
  };

  /** Go to a frame; its node becomes the selected one unless the reader keeps another. */
  me.go = (frame) => {
    me.frame = clamp(Math.round(frame) || 0);
    if (!me.pinned) me.selected = timeline.frames[me.frame].node;
    changed("frame");
  };

  me.select = (number) => {
    me.selected = number;
    changed("node");
  };

  me.pin = (on) => {
    me.pinned = on;
    changed("node");
  };

  me.edit = (edits) => {
    me.edits = edits;
    changed("edit");
  };

  me.rank = (number) => chosen.get(number) || 0;
  me.choose = (number, rank) => {
    chosen.set(number, rank);
    changed("element");
  };

  /** What the quiz asks for, {node, step, input, rank}, or null: nothing else may show it. */
  me.hide = (secret) => {
    me.secret = secret;
    changed("quiz");
  };
  me.hides = (number) => me.secret !== null && me.secret.node === number;

  me.remember = remember; // for what changes the address and no other picture
  me.listen = (listener) => listeners.push(listener);
  me.changed = changed;

  /**
   * A part of the page keeps something of its own in the address, as `key=text`.
   * write(): the text, "" for what a page begins with; read(text) takes it back.
   */
  me.keep = (key, write, read) => kept.push({ key, write, read });

  /** A yes or no kept in the address: {on}, and read by `me.restore`. */
  me.flag = (key, onread = () => {}) => {
    const one = { on: false };
    me.keep(
      key,
      () => (one.on ? "1" : ""),
      (text) => {
        one.on = text === "1";
        onread(one.on);
      },
    );
    return one;
  };

  const pairs = (map, usual) =>
    [...map]
      .filter(([, value]) => value !== usual)
      .map((pair) => pair.join("."))
      .join("_");
  const unpair = (map, text, fits) => {
    map.clear();
    for (const pair of text.split("_")) {
      const [key, value] = pair.split(".").map(Number);
      if (data.nodes[key] && fits(data.nodes[key], value)) map.set(key, value);
    }
  };

  me.keep(
    "edit",
    () => me.edits,
    (text) => (me.edits = text),
  );
  me.keep(
    "keep",
    () => (me.pinned ? "1" : ""),
    (text) => (me.pinned = text === "1"),
  );
  me.keep(
    "element",
    () => pairs(chosen, 0),
    (text) => unpair(chosen, text, (node, rank) => Boolean(node.elements[rank])),
  );
  me.keep(
    "tab",
    () => pairs(inputs),
    (text) => unpair(inputs, text, (node, i) => node.inputs[i] !== undefined),
  );

  function address() {
    const own = me.selected === timeline.frames[me.frame].node ? [] : [`node=${me.selected}`];
    const more = kept
      .map(({ key, write }) => [key, write()])
      .filter(([, text]) => text)
      .map(([key, text]) => `${key}=${encodeURIComponent(text)}`.replace(/%3A/g, ":"))
      .map((part) => part.replace(/%2C/g, ","));
    return `#${[`step=${me.frame}`, ...own, ...more].join("&")}`;
  }

  // Browsers refuse an address that changes too often (Safari: 100 times in 30 seconds), which a
  // held arrow key does: after 25 changes within 10 seconds the last one waits its turn.
  const MOST = 25,
    WITHIN = 10_000;
  const times = [];
  let waiting = null;

  function remember() {
    if (waiting !== null) return;
    const now = Date.now();
    while (times.length && times[0] <= now - WITHIN) times.shift();
    if (times.length < MOST) return write();
    waiting = setTimeout(
      () => {
        waiting = null;
        write();
      },
      times[0] + WITHIN - now,
    );
  }

  function write() {
    const hash = address();
    if (hash === location.hash) return;
    times.push(Date.now());
    history.replaceState(null, "", hash);
  }

  me.restore = () => {
    const parts = new URLSearchParams(location.hash.slice(1));
    me.frame = clamp(parseInt(parts.get("step"), 10) || 0);
    const node = parseInt(parts.get("node"), 10);
    me.selected = data.nodes[node] ? node : timeline.frames[me.frame].node;
    for (const { key, read } of kept) read(parts.get(key) || "");
    for (const what of ["folding", "frame", "restored"]) tell(what);
  };

  return me;
})();
