// Answers made visible: the heat map, the ranking, what the model read, and the same call in code.
import {copy, element, labelOf, save, wordsOf} from "./dom.js";
import {curl, python} from "./snippets.js";

export function cosine(a, b) {
  let dot = 0, aa = 0, bb = 0;
  for (let i = 0; i < a.length; i++) {
    dot += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  return dot / Math.sqrt(aa * bb || 1);
}

const digits = (value, places) => value.toFixed(places).replace("-", "−");

function card(title, aside, ...children) {
  return element("section", {className: "card"},
    element("div", {className: "card-head"}, element("h3", {}, title), aside), ...children);
}

// ---- compare ----

/** All pairs: {values[i][j], low, high, best: [i, j] or null}; low and high leave the diagonal out. */
export function similarities(vectors) {
  const values = vectors.map((a) => vectors.map((b) => cosine(a, b)));
  let low = Infinity, high = -Infinity, best = null;
  for (let i = 0; i < vectors.length; i++)
    for (let j = 0; j < i; j++) {
      low = Math.min(low, values[i][j]);
      if (values[i][j] > high) [high, best] = [values[i][j], [j, i]];
    }
  return {values, low, high, best};
}

function headCell(item, i) {
  const cell = element("th", {scope: "col"});
  const [first] = item.pictures;
  if (first) cell.append(element("img", {className: "thumb", src: first.url, alt: ""}));
  cell.append(element("span", {"aria-hidden": "true"}, String(i + 1)),
    element("span", {className: "hidden"}, `${i + 1}: ${wordsOf(item)}`));
  cell.title = wordsOf(item, 200);
  return cell;
}

function valueCell(items, {values, low, high, best}, i, j, places) {
  const value = values[i][j];
  const cell = element("td", {title: `${i + 1} and ${j + 1}: ${value.toFixed(6)}`}, digits(value, places));
  if (i === j) cell.className = "self";
  else cell.style.setProperty("--heat", high > low ? (value - low) / (high - low) : 0);
  if (best && items.length > 2 && ((best[0] === i && best[1] === j) || (best[0] === j && best[1] === i))) {
    cell.classList.add("best");
    cell.append(element("span", {className: "hidden"}, ", the nearest pair"));
  }
  return cell;
}

/** Rows and columns are the items; the colours run from the least to the greatest likeness of two different ones. */
export function heatMap(items, found) {
  const places = items.length > 8 ? 2 : 3;
  const body = items.map((item, i) => element("tr", {},
    element("th", {scope: "row"}, element("span", {className: "label-of"},
      element("span", {className: "number"}, String(i + 1)), labelOf(item))),
    ...items.map((_, j) => valueCell(items, found, i, j, places))));
  const table = element("table", {className: items.length > 8 ? "matrix dense" : "matrix"},
    element("caption", {className: "hidden"}, "Cosine similarity of each item with each other"),
    element("thead", {}, element("tr", {}, element("td", {className: "self"}), ...items.map(headCell))),
    element("tbody", {}, ...body));
  const scale = items.length > 2 && element("span", {className: "scale"}, digits(found.low, places), element("i"), digits(found.high, places));
  const scroll = element("div", {className: "scroll", role: "region", "aria-label": "Similarities, scrollable", tabIndex: 0}, table);
  return card("Cosine similarity", scale || null, scroll);
}

// ---- rank ----

/** ranked: [{item, index, score, error}] best first. unit: what the score is. */
export function ranking(ranked, unit) {
  const rows = ranked.map(({item, index, score, error}, i) => {
    const bar = element("i");
    bar.style.setProperty("--share", Math.max(0, Math.min(1, score)));
    return element("li", {},
      element("span", {className: "number", title: `Document ${index + 1}`}, `${i + 1}.`), labelOf(item),
      error ? null : element("span", {className: "score", title: String(score)}, digits(score, 4)),
      error ? element("span", {className: "failed"}, error.message) : element("div", {className: "bar", "aria-hidden": "true"}, bar));
  });
  return card("Best first", element("span", {className: "hint"}, unit), element("ol", {className: "ranking"}, ...rows));
}

// ---- what the model read ----

/** Special tokens stand out; a run of one that repeats is told by its number. */
function promptText(text) {
  const pre = element("pre", {tabIndex: 0, role: "group", "aria-label": "Exact prompt"});
  for (const [part, pad] of text.matchAll(/(<\|(?:image|video)_pad\|>)\1*|<\|[a-z_]+\|>|[^<]+|</g)) {
    const times = pad ? part.length / pad.length : 1, special = part.startsWith("<|") && part.endsWith("|>");
    pre.append(special ? element("span", {className: "special"}, times > 1 ? `${pad} × ${times}` : part) : part);
  }
  return pre;
}

function facts(item, {vector, pictures}) {
  const rows = [];
  (pictures ?? []).forEach(({width, height, tokens}, i) => {
    rows.push(element("dt", {}, item.pictures[i]?.name ?? "Picture"), element("dd", {}, `${width} × ${height} pixels, ${tokens} tokens`));
  });
  if (vector) {
    const first = vector.slice(0, 6).map((value) => digits(value, 4)).join("  ");
    rows.push(element("dt", {}, "Vector"), element("dd", {}, `${first}  … ${vector.length} values`));
  }
  return rows.length ? element("dl", {}, ...rows) : null;
}

/** entries: [{item, prompt: {tokens, text}, vector?, pictures?}] */
export function readings(entries) {
  const total = entries.reduce((sum, {prompt}) => sum + (prompt?.tokens ?? 0), 0);
  const rows = entries.filter(({prompt}) => prompt).map((entry) => element("details", {className: "read"},
    element("summary", {}, labelOf(entry.item), element("span", {className: "tokens"}, `${entry.prompt.tokens} tokens`)),
    promptText(entry.prompt.text), facts(entry.item, entry)));
  return card("What the model read", element("span", {className: "hint"}, `${total.toLocaleString("en")} tokens`), element("div", {}, ...rows));
}

// ---- the same call ----

const LANGUAGES = [["curl", "curl", curl], ["python", "Python", python]];

function copyButton(text) {
  const button = element("button", {type: "button", id: "copy"}, "Copy");
  button.setAttribute("aria-live", "polite");
  button.onclick = async () => {
    button.textContent = await copy(text()).then(() => "Copied", () => "Not copied");
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  };
  return button;
}

/** call: what snippets.js takes. chosen: {language}, kept from one answer to the next. */
export function code(call, pictures, chosen) {
  const pre = element("pre", {tabIndex: 0, role: "group", "aria-label": "The same call"});
  const show = (language) => {
    chosen.language = language;
    pre.textContent = LANGUAGES.find(([name]) => name === language)[2](call);
  };
  const switches = element("div", {className: "segments small", role: "radiogroup", "aria-label": "Language"},
    ...LANGUAGES.map(([name, label]) => element("label", {},
      element("input", {type: "radio", name: "language", value: name, checked: name === chosen.language, onchange: () => show(name)}), ` ${label}`)));
  show(chosen.language);
  const made = card("The same call", switches, pre, element("div", {className: "end"}, copyButton(() => pre.textContent)));
  if (pictures) made.append(element("p", {className: "hint"}, "Pictures are read from the working directory; the names beside the thumbnails save them."));
  if (call.needsKey) made.append(element("p", {className: "hint"}, "The key is taken from the variable QVEC_API_KEY."));
  made.classList.add("code");
  return made;
}

export function download(name, value) {
  return element("button", {type: "button", id: "download", onclick: () => save(name, `${JSON.stringify(value, null, 1)}\n`)}, "Download vectors (JSON)");
}
