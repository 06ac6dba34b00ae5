// Making elements. Texts only ever become text nodes, so nothing that was typed or answered is read as HTML.

/** element("p", {className: "hint"}, "text", child, …); properties that begin with "aria-" or "data-" are attributes. */
export function element(name, properties, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties ?? {})) {
    if (value === undefined) continue;
    if (/^(aria-|data-|role$|scope$|colspan$)/.test(key)) made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const SVG = "http://www.w3.org/2000/svg";
const ICONS = {
  picture: "M4 5h16v14H4z M4 16l5-5 4 4 2.5-2.5L20 17 M15.5 9.5h.01",
  remove: "M6 6l12 12 M18 6L6 18",
};

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg"), path = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** A button with a picture for a face and words for its name. */
export function iconButton(name, label, onclick) {
  return element("button", {type: "button", className: "quiet", "aria-label": label, title: label, onclick}, icon(name));
}

export function find(id) {
  return document.getElementById(id);
}

/** How an item is called in results: its first picture, then its text or the names of its pictures. */
export function labelOf(item) {
  const names = item.pictures.map((picture) => picture.name).join(", ");
  const [first] = item.pictures;
  return element("span", {className: "label-of"},
    first && element("img", {className: "thumb", src: first.url, alt: item.text ? first.name : ""}),
    element("span", {className: "text-of", title: item.text || names}, item.text || names));
}

/** Words of an item for a sentence: at most about `limit` characters. */
export function wordsOf(item, limit = 40) {
  const words = item.text || item.pictures.map((picture) => picture.name).join(", ");
  return words.length <= limit ? words : words.slice(0, limit - 1).trimEnd() + "…";
}

/** Browsers lend the clipboard to secure origins only; elsewhere the old command does it. */
export async function copy(text) {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  const area = element("textarea", {value: text, className: "hidden", readOnly: true});
  const focused = document.activeElement;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  focused?.focus();
  if (!done) throw new Error("The browser did not let the text be copied.");
}

export function save(name, text) {
  const url = URL.createObjectURL(new Blob([text], {type: "application/json"}));
  element("a", {href: url, download: name}).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}
