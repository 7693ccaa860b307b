// The calculator of the bridge. `estimate` computes what `alignlab.course.quant.estimate` does; stored cases hold the
// two together.
const BITS = { f32: 32, f16: 16, q8_0: 8.5, q4_1: 5, q4_0: 4.5 }, CACHE_BYTES = 2, WORD_BYTES = 33;
function estimate(shape, kind, context, bandwidth, sequences) {
  const bits = BITS[kind], rest = shape.parameters - shape.embedding;
  const weights = (rest * bits + shape.embedding * Math.max(bits, BITS.q8_0)) / 8;
  const cache = 2 * shape.layers * shape.heads * shape.head * context * CACHE_BYTES * sequences;
  const file = weights + WORD_BYTES * shape.vocabulary;
  return { weights, cache, file, tokens: (sequences * bandwidth) / (weights + cache) };
}
function inWords(size) {
  for (const [unit, bytes] of [["GB", 1e9], ["MB", 1e6]]) if (size >= bytes) return `${(size / bytes).toFixed(1)} ${unit}`;
  return `${(size / 1e3).toFixed(0)} kB`;
}
function tokensInWords(tokens) {
  const digits = tokens < 10 ? 1 : 0;
  return tokens.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
for (const box of document.querySelectorAll(".calculator")) {
  const field = (name) => box.querySelector(`[name="${name}"]`), shown = (name) => box.querySelector(`[data-shows="${name}"]`);
  const numbers = ["parameters", "embedding", "layers", "heads", "head", "vocabulary"];
  const known = (option) => JSON.parse(option.dataset.shape);
  const show = () => {
    const inputs = [...box.querySelectorAll("input")], wrong = inputs.filter((input) => !input.checkValidity());
    for (const input of inputs) input.setAttribute("aria-invalid", String(wrong.includes(input)));
    if (wrong.length) return;
    const shape = Object.fromEntries(numbers.map((name) => [name, Number(field(name).value)]));
    const found = estimate(
      shape, field("kind").value, Number(field("context").value), 1e9 * Number(field("bandwidth").value),
      Number(field("sequences").value),
    );
    for (const name of ["weights", "cache", "file"]) shown(name).textContent = inWords(found[name]);
    shown("memory").textContent = inWords(found.weights + found.cache);
    shown("tokens").textContent = tokensInWords(found.tokens);
  };
  const take = () => {
    const shape = known(field("model").selectedOptions[0]);
    for (const name of numbers) field(name).value = shape[name];
    show();
  };
  box.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
  box.addEventListener("input", (event) => (event.target === field("model") ? take() : show()));
  take();
}
