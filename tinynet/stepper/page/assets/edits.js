// What the reader has changed, as text, and the numbers that follow from it.
//
// state.edits lists the changes in order: '0.3:2.5' gives element 3 (read row by row) of node 0
// the value 2.5, or if node 0 is an op with labels, its label 3; 'step:0.1*20' is twenty steps of
// gradient descent with rate 0.1. Undo takes the last one away.
const edits = (() => {
  const { nodes, alive } = data;
  const MOST_STEPS = 10_000; // of gradient descent, so that a link opens soon
  const targets = live.why ? [] : nodes.filter(changeable);
  const learning = moved();
  const start = live.why ? [] : engine.recorded(data);
  const first = { point: start, losses: [] };
  const trail = []; // {edit, point, losses} after each of the edits that are shown
  const me = { targets, learning, why: live.why, point: start, losses: [], left: [], loss: NaN };
  let text = null; // of the edits that are shown

  const lossAt = (point) => engine.weighted(data, engine.forward(data, point)[data.loss]);
  if (!live.why) me.recorded = lossAt(start);

  function changeable(node) {
    const labels = alive.labels[node.number];
    if (node.isOp) return labels !== undefined && data.size(labels.shape) > 0;
    return node.dtype.startsWith("float") && data.size(node.shape) > 0;
  }

  /** What a step of gradient descent moves: the parameters; without any, all that has a gradient. */
  function moved() {
    const wanted = targets.filter((node) => !node.isOp && node.grad);
    const parameters = wanted.filter((node) => node.kind === "parameter");
    return parameters.length ? parameters : wanted;
  }

  /** Whether any value is another than was recorded. */
  me.any = () => me.point !== start;
  me.can = (node) => targets.includes(node);
  me.shape = (node) => (node.isOp ? alive.labels[node.number].shape : node.shape);
  me.title = (node) => (node.isOp ? "labels" : node.name || node.kind);
  me.isClass = (node) => node.isOp && me.shape(node).length === 1; // not shares of the classes
  me.classes = (node) => nodes[node.inputs[0]].shape[1];
  me.value = (node, place) => me.point[node.number].v[place];

  /** Why an element cannot have a value, '' if it can. */
  me.refused = (node, value, place) => {
    if (place >= data.size(me.shape(node))) return "There is no such element.";
    if (!Number.isFinite(value)) return "Type a number, such as 0.25, -1e-3 or 1/3.";
    if (!me.isClass(node) || value === alive.options[node.number].ignored) return "";
    const fits = Number.isInteger(value) && value >= 0 && value < me.classes(node);
    return fits ? "" : `A label is a whole number from 0 to ${me.classes(node) - 1}.`;
  };

  function parse(all) {
    const [good, bad] = [[], []];
    for (const part of all.split(",").filter(Boolean)) {
      const edit = read(part);
      if (edit) good.push(edit);
      else bad.push(part);
    }
    return [good, bad];
  }

  /** One edit, null for a text that does not fit this graph. */
  function read(part) {
    const [, rate, times] = /^step:([^*]+)\*(\d+)$/.exec(part) || [];
    if (times) {
      const fits = learning.length && times >= 1 && times <= MOST_STEPS && isFinite(rate);
      return fits ? { rate: Number(rate), times: Number(times) } : null;
    }
    const [key, place, value] = (/^(\d+)\.(\d+):(.+)$/.exec(part) || []).slice(1).map(Number);
    const fits = nodes[key] && me.can(nodes[key]) && !me.refused(nodes[key], value, place);
    return fits ? { key, place, value } : null;
  }

  const write = ({ key, place, value, rate, times }) =>
    rate === undefined ? `${key}.${place}:${value}` : `step:${rate}*${times}`;
  const current = () => parse(state.edits)[0];

  function become(list) {
    state.edit(list.map(write).join());
    quiz.ask(); // what it asked for has other numbers now
  }

  me.set = (node, place, value) => {
    const list = current();
    const last = list.at(-1);
    if (last && last.key === node.number && last.place === place) list.pop(); // of one drag, say
    become([...list, { key: node.number, place, value }]);
  };

  /** Another step of gradient descent; gives why not, or ''. */
  me.descend = (rate) => {
    if (!Number.isFinite(rate)) return "Type a learning rate, such as 0.1.";
    const list = current();
    const times = list.at(-1)?.rate === rate ? list.pop().times + 1 : 1;
    if (times > MOST_STEPS) return `More than ${data.count(MOST_STEPS)} steps are not kept.`;
    become([...list, { rate, times }]);
    return "";
  };

  me.undo = () => {
    const list = current();
    const last = list.pop();
    if (last && last.times > 1) list.push({ ...last, times: last.times - 1 });
    become(list);
  };

  me.reset = () => become([]);

  /** A value some notches further: a notch is about a hundredth of the largest, 1 for a label. */
  me.stepped = (node, value, notches) => {
    if (me.isClass(node)) return value + notches;
    const top = start[node.number].v.reduce((most, x) => Math.max(most, Math.abs(x) || 0), 0) || 1;
    const digits = Math.max(0, Math.min(12, 1 - Math.floor(Math.log10(top))));
    return Number((value + notches / 10 ** digits).toFixed(digits));
  };

  /** Put the numbers that follow from state.edits into the page, if they are not there yet. */
  me.follow = () => {
    if (live.why || state.edits === text) return;
    text = state.edits;
    const [good, bad] = parse(text);
    me.left = bad;
    ({ point: me.point, losses: me.losses } = after(good));
    me.loss = lossAt(me.point);
    live.show(good.length ? me.point : null);
  };

  /** The point after a list of edits: computed from where these part from those shown. */
  function after(list) {
    let k = 0;
    while (k < list.length && trail[k] && write(trail[k].edit) === write(list[k])) k++;
    const old = trail[k];
    trail.length = k;
    for (const edit of list.slice(k)) {
      let { point, losses } = trail.at(-1) || first;
      if (edit.rate === undefined) point = changed(point, edit);
      else {
        const more = trail.length === k && old?.edit.rate === edit.rate;
        const ahead = more && old.edit.times < edit.times ? old : null; // the same, fewer steps
        if (ahead) ({ point, losses } = ahead);
        for (let taken = ahead ? ahead.edit.times : 0; taken < edit.times; taken++)
          ({ point, losses } = descended(point, losses, edit.rate));
      }
      trail.push({ edit, point, losses });
    }
    return trail.at(-1) || first;
  }

  function changed(point, { key, place, value }) {
    const next = [...point];
    next[key] = tensors.copy(point[key]);
    next[key].v[place] = value;
    return next;
  }

  function descended(point, losses, rate) {
    const values = engine.forward(data, point);
    const { gradients } = engine.backward(data, point, values);
    const numbers = learning.map((node) => node.number);
    const loss = engine.weighted(data, values[data.loss]);
    return {
      point: engine.descended(point, gradients, numbers, rate),
      losses: [...losses.slice(-199), loss],
    };
  }

  return me;
})();
