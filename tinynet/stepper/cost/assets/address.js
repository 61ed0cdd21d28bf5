// The address: it says what the controls are set to, and a link sets them.

const OWN = ["kernel", "in", "out", "size", "stride"].map((name) => `own-${name}`);

/** Set the controls as the address says, "#width=0.5&layer=stem"; what it does not name stays. */
function restore() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const network = networks.findIndex(({ title }) => title === asked.get("network"));
  if (network >= 0) {
    $("network").value = network;
    choose(networks[network]);
  }
  const kernel = document.querySelector(`[name=kernel][value="${Number(asked.get("kernel"))}"]`);
  if (kernel) {
    kernel.checked = true;
    state.kernel = Number(kernel.value);
  }
  for (const id of [...Object.keys(FIELDS), ...OWN]) {
    if (asked.has(id)) $(id).value = asked.get(id);
  }
  const layer = state.network.layers.findIndex(({ name }) => name === asked.get("layer"));
  if (layer >= 0) state.chosen = layer;
  read();
  showOwn();
  if (OWN.some((id) => asked.has(id))) $("h-own").scrollIntoView();
  else if (layer >= 0) $("layers").querySelector(".chosen").scrollIntoView();
}

function remember() {
  const { network, width, resolution, classes, kernel, chosen } = state;
  const layer = network.layers[chosen].name;
  const parts = { network: network.title, width, resolution, classes, kernel, layer };
  for (const id of OWN) if ($(id).value !== $(id).defaultValue) parts[id] = $(id).value;
  history.replaceState(null, "", `#${new URLSearchParams(parts)}`);
}

prepare();
restore();
addEventListener("hashchange", restore);
document.addEventListener("input", remember);
document.addEventListener("click", remember);
