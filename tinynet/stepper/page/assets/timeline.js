// The steps of the page ("frames") and what is known at each: values first, then gradients.
const timeline = (() => {
  const { nodes, steps } = data;
  const frames = [{ phase: "start", node: nodes[0].number }];
  const valueAt = new Array(nodes.length).fill(0); // the frame that makes a node's value
  const ranAt = new Map(); // an op's number -> the frame of its backward, the first one
  const arrivals = nodes.map(() => []); // node -> [{frame, step, input}], in order

  for (const node of nodes) {
    if (!node.isOp) continue;
    valueAt[node.number] = frames.length;
    frames.push({ phase: "forward", node: node.number });
  }
  const seed = frames.length;
  arrivals[data.loss].push({ frame: seed, step: null, input: null });
  frames.push({ phase: "seed", node: data.loss });
  steps.forEach((step, number) => {
    ranAt.set(step.node, frames.length);
    // An op that has the same node twice among its inputs takes a frame for each of them:
    // otherwise that gradient would never be seen half complete.
    const inputs = nodes[step.node].inputs;
    let sent = [];
    const push = () => {
      for (const input of sent) {
        arrivals[inputs[input]].push({ frame: frames.length, step: number, input });
      }
      frames.push({ phase: "backward", node: step.node, step: number, sent, frees: false });
      sent = [];
    };
    step.gifts.forEach((gift, i) => {
      if (!gift) return;
      if (sent.some((j) => inputs[j] === inputs[i])) push();
      sent.push(i);
    });
    push();
    frames[frames.length - 1].frees = true; // an op of two frames frees once, at the end
  });

  /** What is known of a node at a frame. state: 'idle', 'value', 'partial' or 'complete'. */
  function status(number, frame) {
    const of = arrivals[number].length;
    let got = 0;
    while (got < of && arrivals[number][got].frame <= frame) got++;
    const value = frame >= valueAt[number];
    const state = got && got === of ? "complete" : got ? "partial" : value ? "value" : "idle";
    return { value, got, of, state };
  }

  /** The gradient of a node so far: {sample, elements} of the sum, null if nothing has arrived. */
  function gradient(number, frame) {
    const { got, of } = status(number, frame);
    const node = nodes[number];
    if (!got) return null;
    if (got === of) return { sample: node.grad, elements: node.elements.map((e) => e.g) };
    const { step, input } = arrivals[number][got - 1];
    const gift = steps[step].gifts[input];
    return { sample: gift.total || node.grad, elements: gift.elements.map((e) => e.sum) };
  }

  /** The frame at which the gradient of a node is complete, null if it never gets one. */
  function completeAt(number) {
    const list = arrivals[number];
    return list.length ? list[list.length - 1].frame : null;
  }

  /** 'a (1 of 2)' for each gradient that a frame sends. */
  function sentTo(frame) {
    return frame.sent.map((input) => {
      const target = nodes[nodes[frame.node].inputs[input]];
      const list = arrivals[target.number];
      const k = list.findIndex((a) => a.step === frame.step && a.input === input) + 1;
      return data.called(target) + (list.length > 1 ? ` (${k} of ${list.length})` : "");
    });
  }

  function sentence(number) {
    const frame = frames[number];
    const node = nodes[frame.node];
    const where = node.path ? ` in ${node.path}` : "";
    if (frame.phase === "start")
      return "The inputs and parameters are given; nothing is computed yet.";
    if (frame.phase === "forward")
      return `${node.name}${where} computes ${node.symbol}.`;
    if (frame.phase === "seed") {
      const one = node.grad.v.length === 1 ? data.format(node.grad.v[0]) : "the one given";
      return `The gradient of ${node.symbol} with respect to itself is ${one}. Now it flows back.`;
    }
    const to = sentTo(frame);
    const freed = frame.frees && steps[frame.step].freed;
    return (
      `${node.name}${where} sends ` +
      (to.length
        ? `${to.length > 1 ? "gradients" : "a gradient"} to ${to.join(", ")}`
        : "no gradient on") +
      (freed ? ` and frees ${data.plural(freed, "byte")}.` : ".")
    );
  }

  const PHASES = { start: "Start", forward: "Forward", seed: "Backward", backward: "Backward" };
  const phase = (number) => PHASES[frames[number].phase];

  return {
    frames,
    seed,
    valueAt,
    ranAt,
    arrivals,
    status,
    gradient,
    completeAt,
    sentence,
    phase,
  };
})();
