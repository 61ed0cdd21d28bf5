// Changing a value on its heat map: a click chooses it, dragging sideways changes it, and what is
// typed on a cell goes to the field of the bar.
const grab = (() => {
  const { nodes } = data;
  const PIXELS = 3; // of a drag, to a notch
  let drag = null;

  /** The node and the flat place of the cell that an element of the page shows, or null. */
  function under(target) {
    const board = target.closest?.("[data-edit]");
    const cell = target.closest?.("[data-at]");
    if (!board || !cell) return null;
    const node = nodes[Number(board.dataset.edit)];
    return { node, place: tensors.place(node.shape, cell.dataset.at.split(",").map(Number)) };
  }

  document.addEventListener("pointerdown", (event) => {
    const cell = event.button === 0 && under(event.target);
    if (!cell) return;
    const from = edits.value(cell.node, cell.place);
    drag = { ...cell, from, x: event.clientX, going: false };
  });

  document.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const { node, place, from } = drag;
    const notches = Math.trunc((event.clientX - drag.x) / PIXELS);
    if (!drag.going && Math.abs(notches) < 2) return;
    if (!drag.going) edit.pick(node, place);
    drag.going = true;
    const value = edits.stepped(node, from, notches);
    if (value !== edits.value(node, place)) edits.set(node, place, value);
  });

  for (const end of ["pointerup", "pointercancel"])
    document.addEventListener(end, () => (drag = null));

  document.addEventListener("click", (event) => {
    const cell = under(event.target);
    if (cell) edit.pick(cell.node, cell.place);
  });

  document.addEventListener("keydown", keyed, true); // before the heat map takes Enter

  function keyed(event) {
    const command = event.ctrlKey || event.metaKey;
    if (command && event.key === "z" && state.edits && !event.target.dataset?.typed) {
      event.preventDefault();
      edits.undo();
    }
    if (command || event.altKey) return;
    const cell = event.target.closest?.("[data-edit]")?.querySelector(".here[data-at]");
    const typing = /^[-.\d]$/.test(event.key);
    if (!cell || !(typing || event.key === "Enter")) return;
    const { node, place } = under(cell);
    edit.pick(node, place);
    const field = dom.get("edit-value");
    field.focus();
    field.select(); // what is typed takes the place of the old value
    if (!typing) event.preventDefault();
  }

  return { under };
})();
