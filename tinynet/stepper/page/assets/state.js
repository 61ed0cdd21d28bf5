// What the reader looks at: the frame, the selected node, the chosen element. Kept in the address.
const state = (() => {
  const listeners = [];
  const chosen = new Map(); // node number -> rank of the chosen element
  const me = { frame: 0, selected: data.nodes[0].number, pinned: false, secret: null };

  const clamp = (n) => Math.max(0, Math.min(timeline.frames.length - 1, n));
  const changed = (what) => listeners.forEach((listener) => listener(what));

  /** Go to a frame; its node becomes the selected one unless the reader keeps another. */
  me.go = (frame) => {
    me.frame = clamp(Math.round(frame) || 0);
    if (!me.pinned) me.selected = timeline.frames[me.frame].node;
    remember();
    changed("frame");
  };

  me.select = (number) => {
    me.selected = number;
    remember();
    changed("node");
  };

  me.pin = (on) => {
    me.pinned = on;
    changed("node");
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

  me.listen = (listener) => listeners.push(listener);
  me.changed = changed;

  function remember() {
    const node = me.selected === timeline.frames[me.frame].node ? "" : `&node=${me.selected}`;
    const hash = `#step=${me.frame}${node}`;
    if (hash !== location.hash) history.replaceState(null, "", hash);
  }

  me.restore = () => {
    const parts = new URLSearchParams(location.hash.slice(1));
    me.frame = clamp(parseInt(parts.get("step"), 10) || 0);
    const node = parseInt(parts.get("node"), 10);
    me.selected = data.nodes[node] ? node : timeline.frames[me.frame].node;
    remember();
    changed("frame");
  };

  return me;
})();
