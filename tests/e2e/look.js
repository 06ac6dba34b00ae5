// What test_browser.py asks of a page as it is painted. Each function gives a list of what is wrong, or of what there is.

const all = (selector) => [...document.querySelectorAll(selector)];

function isSeen(e) {
  if (!e.checkVisibility({opacityProperty: true, visibilityProperty: true})) return false;
  for (let p = e; p; p = p.parentElement) if (getComputedStyle(p).clipPath !== "none") return false;
  return e.getClientRects().length > 0;
}

const nameOf = (e) => `${e.tagName.toLowerCase()}${e.id ? `#${e.id}` : ""}.${e.className} "${e.textContent.trim().slice(0, 30)}"`;

// ---- colours ----

const pixel = Object.assign(document.createElement("canvas"), {width: 1, height: 1}).getContext("2d", {willReadFrequently: true});

/** [r, g, b, a], 0 to 1, of any CSS colour. */
function colour(text) {
  pixel.clearRect(0, 0, 1, 1);
  pixel.fillStyle = text;
  pixel.fillRect(0, 0, 1, 1);
  return [...pixel.getImageData(0, 0, 1, 1).data].map((v) => v / 255);
}

const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];

function background(e) {
  if (!e) return colour("canvas");
  const own = colour(getComputedStyle(e).backgroundColor);
  return own[3] === 1 ? own : over(own, background(e.parentElement));
}

function luminance([r, g, b]) {
  const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
}

function contrast(front, back) {
  const [a, b] = [luminance(over(colour(front), back)), luminance(back)];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}

function lowContrast() {
  const bad = [];
  const need = (e, what, value, least) => { if (!(value >= least)) bad.push(`${nameOf(e)}: ${what} ${value.toFixed(2)}`); };
  let seen = 0;
  for (const e of all("body *").filter(isSeen)) {
    const style = getComputedStyle(e);
    if ([...e.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) {
      need(e, "text", contrast(style.color, background(e)), 4.5);
      seen++;
    }
    if (e.matches("input, textarea") && e.placeholder) need(e, "placeholder", contrast(getComputedStyle(e, "::placeholder").color, background(e)), 4.5);
    if (e.matches("button:not(.quiet, .primary, .examples button), input:not([type=radio], .items *)"))
      need(e, "edge", contrast(style.borderTopColor, background(e.parentElement)), 3);
  }
  return seen > 10 ? bad : ["nothing was looked at"];
}

// ---- names ----

function accessibleName(e) {
  const by = (e.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => id && document.getElementById(id)?.textContent).join(" ");
  return (e.getAttribute("aria-label") || by.trim() || [...(e.labels ?? [])].map((label) => label.textContent).join(" ") || e.alt ||
    e.querySelector(":scope > legend, :scope > caption")?.textContent || (e.matches("button, a, summary") ? e.textContent : "")).trim();
}

function structure() {
  const bad = [];
  for (const e of all("button, input, textarea, a[href], summary, [role=region], [role=radiogroup], fieldset, [tabindex='0'], section[aria-labelledby], table.matrix, ol.items"))
    if (e.checkVisibility() && !accessibleName(e)) bad.push(`no name: ${nameOf(e)}`);
  for (const e of all("img")) if (!e.hasAttribute("alt")) bad.push(`no alt: ${e.src.slice(0, 40)}`);
  const ids = all("[id]").map((e) => e.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) bad.push(`twice: #${id}`);
  for (const attribute of ["aria-labelledby", "aria-describedby", "for"])
    for (const e of all(`[${attribute}]`))
      for (const id of e.getAttribute(attribute).split(" ")) if (!ids.includes(id)) bad.push(`${attribute}="${id}" points nowhere`);
  let level = 0;
  for (const e of all("h1, h2, h3, h4").filter((heading) => heading.checkVisibility())) {
    if (+e.tagName[1] > level + 1) bad.push(`after h${level}: ${nameOf(e)}`);
    level = +e.tagName[1];
  }
  return bad;
}

/** Controls smaller than 24 by 24, links inside a sentence aside. */
function smallTargets() {
  return all("button, input:not([type=radio]), textarea, .segments label, summary, nav a").filter(isSeen).filter((e) => {
    const {width, height} = e.getBoundingClientRect();
    return width < 24 || height < 24;
  }).map(nameOf);
}

// ---- focus ----

const STOPS = "button, input, textarea, a[href], summary, [tabindex='0']";

/** One stop for each group of radio buttons: the one that is checked. */
function stops() {
  return all(STOPS).filter((e) => !e.disabled && e.checkVisibility() && !(e.type === "radio" && !e.checked));
}

const tabStops = () => stops().map(nameOf);
const focusedStop = () => nameOf(document.activeElement);

function showsFocus() {
  const e = document.activeElement;
  return [e, e.parentElement].some((one) => getComputedStyle(one).outlineStyle !== "none" && parseFloat(getComputedStyle(one).outlineWidth) >= 2);
}
