// The playground: reads the model's facts, collects items, asks, and shows what came.
import {element, find, wordsOf} from "./dom.js";
import {examples} from "./examples.js";
import {ItemList, readPicture} from "./items.js";
import {code, cosine, download, heatMap, ranking, readings, similarities} from "./results.js";
import {ask, base, key, setKey} from "./server.js";

const model = {name: "", ranks: false, size: 0, needsKey: false};
const chosen = {language: "curl"};
let running = null; // the AbortController of the request under way

// ---- lists ----

const lists = Object.fromEntries([["items", "item"], ["query", "query", true], ["documents", "document"]].map(([id, noun, single]) =>
  [id, new ItemList(find(id), {noun, single, onchange: grewOld, choose: chooseFiles})]));

const task = () => document.querySelector("[name=task]:checked").value;
const mainList = () => (task() === "rank" ? lists.documents : lists.items);

/** The list and item that have the focus, or a fresh item of the main list. */
function target() {
  for (const list of Object.values(lists)) if (list.current) return [list, list.current];
  return [mainList(), null];
}

let wanted = null; // where the files that are being chosen go

function chooseFiles(list, item) {
  wanted = [list, item];
  find("files").value = "";
  find("files").click();
}

const isPicture = (file) => file.type.startsWith("image/");

/** To `item`, or each to an item of its own. */
async function takePictures(files, list, item) {
  for (const picture of await Promise.all(files.map((file) => readPicture(file)))) list.addPicture(item ?? list.empty, picture);
}

async function loadExample(name) {
  const example = await examples[name]();
  if (example.items) lists.items.set(example.items);
  if (!example.query) return;
  lists.query.set([example.query]);
  lists.documents.set(example.documents);
}

// ---- drop and paste ----

function watchDrops() {
  // Text that is dropped into a field is the browser's own business.
  const holds = ({target, dataTransfer: {types}}) =>
    types.includes("Files") || (types.includes("text/plain") && !target.closest?.("input, textarea"));
  let depth = 0;
  const over = (change) => document.body.classList.toggle("dropping", (depth = Math.max(0, depth + change)) > 0);
  addEventListener("dragenter", (event) => holds(event) && over(1));
  addEventListener("dragleave", (event) => holds(event) && over(-1));
  addEventListener("dragover", (event) => holds(event) && event.preventDefault());
  addEventListener("drop", async (event) => {
    if (!holds(event)) return;
    event.preventDefault();
    over(-depth);
    const row = event.target.closest?.(".item");
    const list = Object.values(lists).find((one) => row && one.list.contains(row)) ?? mainList();
    const item = list.items.find((one) => one.row === row) ?? null;
    const files = [...event.dataTransfer.files], text = event.dataTransfer.getData("text/plain");
    await takePictures(files.filter(isPicture), list, item);
    for (const file of files.filter((one) => one.type.startsWith("text/"))) list.setText(list.empty, await file.text());
    if (!files.length && text) list.setText(item && !item.text ? item : list.empty, text);
  });
}

function watchPaste() {
  addEventListener("paste", async (event) => {
    const files = [...event.clipboardData.files].filter(isPicture);
    const [list, item] = target();
    if (files.length) {
      event.preventDefault();
      await takePictures(files, list, item);
    } else if (!event.target.closest?.("input, textarea")) {
      const text = event.clipboardData.getData("text/plain");
      if (text) list.setText(list.empty, text);
    }
  });
}

// ---- settings ----

function settings() {
  const raw = !model.ranks && document.querySelector("[name=prompt]:checked").value === "raw";
  const instruction = raw ? undefined : find("instruction").value.trim() || undefined;
  const dimensions = model.ranks ? undefined : Number(find("dimensions").value) || undefined;
  return {prompt: raw ? "raw" : "official", instruction, dimensions};
}

function showSettings() {
  const {prompt} = settings(), rank = task() === "rank";
  find("compare").hidden = rank;
  find("rank").hidden = !rank;
  find("run").textContent = rank ? "Rank" : "Compare";
  find("prompt-row").hidden = find("dimensions-row").hidden = model.ranks;
  find("instruction").disabled = prompt === "raw";
  find("prompt-hint").textContent = prompt === "raw" ? "The text and an end token, as plain OpenAI requests are embedded. Not to be mixed with official vectors."
    : "The models’ published recipe around each item.";
  find("instruction-hint").textContent = prompt === "raw" ? "A raw prompt has no place for one."
    : rank && !model.ranks ? "Of the query; documents keep the default." : "";
  find("dimensions").max = model.size || "";
  find("dimensions").placeholder = model.size ? `${model.size}, all` : "All";
  find("dimensions-hint").textContent = model.size > 64 ? `64 to ${model.size}. Fewer are the first ones, of unit length again.` : "";
}

// ---- requests ----

/** Plain strings where that says it all; else objects. */
function inputs(items, instructions) {
  if (items.every((item, i) => !item.pictures.length && !instructions[i])) return items.map(({text}) => text);
  return items.map((item, i) => input(item, instructions[i]));
}

function input({text, pictures}, instruction) {
  const image = pictures.length > 1 ? pictures : pictures[0];
  return {text: text || undefined, image, instruction};
}

function embeddingCall(items, ranks) {
  const {prompt, instruction, dimensions} = settings();
  const own = items.map((_, i) => (ranks && i === 0 ? instruction : undefined));
  const body = {model: model.name, input: inputs(items, own), prompt, instruction: ranks ? undefined : instruction, dimensions};
  return {base, path: "/v1/embeddings", body, needsKey: model.needsKey, ranks};
}

function rerankCall(query, documents) {
  const plain = (item) => (item.pictures.length ? input(item) : item.text);
  const body = {model: model.name, query: plain(query), documents: documents.map(plain), instruction: settings().instruction};
  return {base, path: "/v1/rerank", body, needsKey: model.needsKey, ranks: true};
}

/** What is sent beyond what is shown as code: the page wants the prompts told. */
const send = (call, signal) => ask(call.path, {...call.body, echo: "prompts", return_documents: model.ranks ? false : undefined}, signal);

const vectorsOf = (answer) => answer.data.map((one) => one.embedding);

function entriesOf(items, answer) {
  const {prompts, pictures} = answer.qvec;
  return items.map((item, i) => ({item, prompt: prompts[i], vector: vectorsOf(answer)[i], pictures: pictures?.[i]}));
}

function vectorFile(items, call, answer) {
  const {prompt, instruction, dimensions} = settings();
  return {model: answer.model, prompt, instruction, dimensions: dimensions ?? model.size, items: items.map((item, i) => ({
    text: item.text || undefined, pictures: item.pictures.map((picture) => picture.name),
    tokens: answer.qvec.prompts[i].tokens, embedding: vectorsOf(answer)[i]}))};
}

// ---- compare and rank ----

async function compare(signal) {
  const items = lists.items.filled;
  if (!items.length) throw new Error("Type a text or add a picture first.");
  const call = embeddingCall(items, false), answer = await send(call, signal);
  const found = similarities(vectorsOf(answer));
  const pair = found.best && ` Nearest: ${found.best.map((i) => i + 1).join(" and ")}, ${found.high.toFixed(3)}.`;
  return {said: `${count(items.length, "item")} compared.${pair ?? ""}`, answer, cards: [
    heatMap(items, found), ...tail(items, call, answer)]};
}

function tail(items, call, answer) {
  const reading = readings(entriesOf(items, answer));
  reading.append(element("div", {className: "end"}, download("vectors.json", vectorFile(items, call, answer))));
  return [reading, code(call, items.some((item) => item.pictures.length), chosen)];
}

async function rank(signal) {
  const [query] = lists.query.filled, documents = lists.documents.filled;
  if (!query) throw new Error("Type a query first.");
  if (!documents.length) throw new Error("Add a document to rank first.");
  const found = await (model.ranks ? rerank(query, documents, signal) : rankByCosine(query, documents, signal));
  const [best] = found.ranked;
  return {...found, said: `${count(documents.length, "document")} ranked. Best: ${wordsOf(best.item)}, ${best.score.toFixed(3)}.`,
    cards: [ranking(found.ranked, found.unit), ...found.rest]};
}

async function rerank(query, documents, signal) {
  const call = rerankCall(query, documents), answer = await send(call, signal);
  const ranked = answer.results.map(({index, relevance_score: score, error}) => ({item: documents[index], index, score, error}));
  const entries = documents.map((item, i) => ({item, prompt: answer.qvec.prompts[i]}));
  const pictures = [query, ...documents].some((item) => item.pictures.length);
  return {answer, ranked, unit: "Relevance, 0 to 1", rest: [readings(entries), code(call, pictures, chosen)]};
}

async function rankByCosine(query, documents, signal) {
  const items = [query, ...documents], call = embeddingCall(items, true), answer = await send(call, signal);
  const [first, ...others] = vectorsOf(answer);
  const ranked = others.map((vector, index) => ({item: documents[index], index, score: cosine(first, vector)}));
  ranked.sort((a, b) => b.score - a.score || a.index - b.index);
  return {answer, ranked, unit: "Cosine similarity", rest: tail(items, call, answer)};
}

const count = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;

// ---- showing ----

/** A key that was never asked for is no problem yet: the field for it says enough. */
function showProblem(error) {
  const locked = error?.status === 401;
  find("problem").hidden = !error || (locked && !key());
  find("problem").replaceChildren();
  find("key-form").hidden = !locked;
  if (!error) return;
  find("problem").append(...(error.title ? [element("strong", {}, error.title)] : []), error.message);
  if (!locked) return;
  model.needsKey = true;
  find("key").focus();
}

function grewOld() {
  const answer = find("answer");
  if (!answer.querySelector(".card") || answer.classList.contains("old")) return;
  answer.classList.add("old");
  find("status").append(" ", element("span", {className: "stale"}, "The question has changed since."));
}

function setRunning(controller) {
  running = controller;
  find("run").disabled = controller !== null;
  find("cancel").hidden = controller === null;
  find("answer").setAttribute("aria-busy", controller !== null);
}

function showAnswer({said, answer, cards}, milliseconds) {
  find("answer").classList.remove("old");
  find("answer").replaceChildren(...cards);
  const cut = answer.qvec.truncated.length;
  find("status").replaceChildren(element("strong", {}, said), ` ${Math.max(1, Math.round(milliseconds)).toLocaleString("en")} ms.`,
    cut ? ` ${count(cut, "input")} had to be cut.` : "");
}

async function run() {
  if (running) return;
  const controller = new AbortController(), start = performance.now();
  showProblem(null);
  setRunning(controller);
  find("status").textContent = "Computing…";
  try {
    if (!model.name) await readModel();
    const answer = await (task() === "rank" ? rank : compare)(controller.signal);
    showAnswer(answer, performance.now() - start);
    if (matchMedia("(max-width: 59.99rem)").matches) find("results").scrollIntoView();
  } catch (error) {
    find("status").textContent = error.name === "AbortError" ? "Cancelled." : "";
    if (error.name !== "AbortError") showProblem(error);
  } finally {
    setRunning(null);
  }
}

// ---- start ----

async function readModel() {
  const info = await ask("/info");
  model.name = info.served_model_name;
  model.ranks = "reranker" in info.model_type;
  model.size = info.embedding_size;
  model.needsKey ||= key() !== "";
  find("model").replaceChildren(element("strong", {}, model.name),
    ` ${model.ranks ? "reranker" : `embeddings of ${model.size.toLocaleString("en")} values`}, up to ${info.max_input_length.toLocaleString("en")} tokens`);
  document.title = `${model.name} · qvec`;
  if (model.ranks) document.querySelector("[name=task][value=rank]").checked = true;
  find("task").hidden = model.ranks;
  showSettings();
}

function watchControls() {
  find("ask").addEventListener("submit", (event) => { event.preventDefault(); run(); });
  find("cancel").onclick = () => running?.abort();
  find("add-text").onclick = () => mainList().add().area.focus();
  find("add-picture").onclick = () => chooseFiles(mainList(), null);
  find("files").onchange = () => takePictures([...find("files").files], ...wanted);
  for (const radio of document.querySelectorAll("[name=task], [name=prompt]")) radio.addEventListener("change", () => { showSettings(); grewOld(); });
  for (const id of ["instruction", "dimensions"]) find(id).addEventListener("input", grewOld);
  for (const button of document.querySelectorAll("[data-example]")) button.onclick = () => loadExample(button.dataset.example);
  find("modifier").textContent = /Mac|iPhone|iPad/.test(navigator.platform) ? "⌘" : "Ctrl";
  addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    find("ask").requestSubmit();
  });
  find("key-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    setKey(find("key").value.trim());
    find("key").value = "";
    find("key-form").hidden = true;
    await begin();
    if (model.name) find("run").focus();
  });
}

async function begin() {
  showProblem(null);
  await readModel().catch(showProblem);
}

watchControls();
watchDrops();
watchPaste();
showSettings();
await loadExample("sentences");
await loadExample("answers");
await begin();
document.body.dataset.ready = "true";
