// A list of inputs that can be typed, dropped and pasted into: each a text, pictures, or both.
import {element, iconButton} from "./dom.js";

/** A picture as it came, byte for byte. In a request it is its data: URL; in a snippet, the file it is read from. */
export class Picture {
  constructor(name, type, url) {
    Object.assign(this, {name, type, url});
  }

  toJSON() {
    return this.url;
  }
}

const taken = new Map(); // name -> url: two different pictures on this page never have one name

function freeName(name, url) {
  const [, stem, end] = /^(.*?)(\.[^.]*)?$/s.exec(name || "picture.png");
  for (let n = 1; ; n++) {
    const tried = n === 1 ? `${stem}${end ?? ""}` : `${stem}-${n}${end ?? ""}`;
    if (!taken.has(tried) || taken.get(tried) === url) return taken.set(tried, url), tried;
  }
}

function readUrl(blob) {
  return new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = () => failed(reader.error);
    reader.readAsDataURL(blob);
  });
}

/** A Picture of a File or Blob. Names lose what a shell or a path would trip over. */
export async function readPicture(blob, name = blob.name) {
  const type = blob.type || "application/octet-stream";
  const url = (await readUrl(blob)).replace(/^data:[^,]*,/, `data:${type};base64,`);
  const plain = (name ?? "").split(/[\\/]/).pop().replace(/[\p{C}]/gu, "").replace(/^[-.]+/, "");
  return new Picture(freeName(plain || `pasted.${type.split("/")[1].split("+")[0]}`, url), type, url);
}

export class ItemList {
  /** list: an <ol>. onchange: called after every edit. single: exactly one item, which stays. */
  constructor(list, {noun, onchange, choose, single = false}) {
    Object.assign(this, {list, noun, onchange, choose, single, items: []});
  }

  /** Those that hold something, in order: [{text, pictures}]. */
  get filled() {
    return this.items.filter((item) => item.text.trim() || item.pictures.length)
      .map((item) => ({text: item.text.trim() ? item.text : "", pictures: [...item.pictures]}));
  }

  set(items) {
    this.items = [];
    this.list.replaceChildren();
    for (const item of items) this.add(item.text ?? "", item.pictures ?? []);
  }

  add(text = "", pictures = []) {
    const item = {text, pictures: [...pictures]};
    item.area = element("textarea", {value: text, rows: 1, spellcheck: false,
      oninput: () => { item.text = item.area.value; this.grow(item); this.onchange(); }});
    item.number = element("span", {className: "number", "aria-hidden": "true"});
    item.attach = iconButton("picture", "", () => this.choose(this, item));
    item.drop = iconButton("remove", "", () => this.remove(item));
    item.shown = element("ul", {className: "pictures"});
    item.row = element("li", {className: "item"}, item.number, item.area,
      element("span", {className: "tools"}, item.attach, this.single ? null : item.drop), item.shown);
    this.items.push(item);
    this.list.append(item.row);
    this.showPictures(item);
    this.renumber();
    this.grow(item);
    this.onchange();
    return item;
  }

  /** The keyboard goes on where it was: at the next item, or the one before. */
  remove(item) {
    const at = this.items.indexOf(item);
    this.items.splice(at, 1);
    item.row.remove();
    if (!this.items.length) this.add();
    this.renumber();
    this.items[Math.min(at, this.items.length - 1)].area.focus();
    this.onchange();
  }

  addPicture(item, picture) {
    item.pictures.push(picture);
    this.showPictures(item);
    this.onchange();
  }

  /** The item that has the focus, if any. */
  get current() {
    return this.items.find((item) => item.row.contains(document.activeElement));
  }

  /** An item for something new: the last one while it is empty, else one more. */
  get empty() {
    const last = this.items.at(-1);
    if (this.single || (last && !last.text && !last.pictures.length)) return last;
    return this.add();
  }

  setText(item, text) {
    item.text = item.area.value = text;
    this.grow(item);
    this.onchange();
  }

  showPictures(item) {
    item.area.placeholder = item.pictures.length ? "Words to go with it, if any" : `Text of the ${this.noun}`;
    item.shown.replaceChildren(...item.pictures.map((picture) => element("li", {},
      element("img", {className: "thumb", src: picture.url, alt: picture.name}),
      iconButton("remove", `Remove picture ${picture.name}`, () => {
        item.pictures.splice(item.pictures.indexOf(picture), 1);
        this.showPictures(item);
        item.area.focus();
        this.onchange();
      }),
      element("a", {href: picture.url, download: picture.name, title: `Save ${picture.name}`}, picture.name))));
  }

  renumber() {
    this.items.forEach((item, i) => {
      const name = this.single ? `the ${this.noun}` : `${this.noun} ${i + 1}`;
      item.number.textContent = i + 1;
      item.area.setAttribute("aria-label", this.single ? `Text of the ${this.noun}` : `Text of ${name}`);
      for (const [button, label] of [[item.attach, `Add pictures to ${name}`], [item.drop, `Remove ${name}`]]) {
        button.setAttribute("aria-label", label);
        button.title = label;
      }
    });
  }

  /** Where the browser does not size a textarea by what it holds. */
  grow({area}) {
    if (CSS.supports("field-sizing", "content")) return;
    area.style.height = "auto";
    area.style.height = `${area.scrollHeight}px`;
  }
}
