// What the page begins with: texts whose likenesses anybody can judge, and pictures drawn here, so that no file is needed.
import {readPicture} from "./items.js";

const SIZE = 224;

const SHAPES = {
  circle: (c) => c.arc(112, 112, 72, 0, 2 * Math.PI),
  square: (c) => c.rect(46, 46, 132, 132),
  triangle: (c) => polygon(c, [[112, 36], [190, 178], [34, 178]]),
  star: (c) => polygon(c, Array.from({length: 10}, (_, i) => {
    const radius = i % 2 ? 34 : 86, angle = (i * Math.PI) / 5 - Math.PI / 2;
    return [112 + radius * Math.cos(angle), 118 + radius * Math.sin(angle)];
  })),
};

const COLOURS = {red: "#d62f2f", blue: "#2f5fd6", green: "#2f9e4f", yellow: "#f2c417"};

function polygon(c, points) {
  points.forEach(([x, y], i) => (i ? c.lineTo(x, y) : c.moveTo(x, y)));
  c.closePath();
}

/** A Picture of one shape on white. */
async function draw(colour, shape) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIZE;
  const c = canvas.getContext("2d");
  c.fillStyle = "#ffffff";
  c.fillRect(0, 0, SIZE, SIZE);
  c.fillStyle = COLOURS[colour];
  c.beginPath();
  SHAPES[shape](c);
  c.fill();
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  return readPicture(blob, `${colour}-${shape}.png`);
}

const texts = (...list) => list.map((text) => ({text}));
const drawings = async (...list) => Promise.all(list.map(async ([colour, shape]) => ({pictures: [await draw(colour, shape)]})));

/** Each: {items}, or {query, documents}. */
export const examples = {
  sentences: async () => ({items: texts(
    "A dog runs along the beach.",
    "A puppy is playing in the sand by the sea.",
    "Share prices fell sharply on Monday.",
    "The stock market dropped at the start of the week.")}),
  shapes: async () => ({items: [
    ...texts("a red circle", "a blue square", "a green triangle"),
    ...await drawings(["red", "circle"], ["blue", "square"], ["green", "triangle"])]}),
  answers: async () => ({query: {text: "How do I keep bread fresh?"}, documents: texts(
    "The bakery opens at seven on weekdays.",
    "Store the loaf in a paper bag and slice only what you eat.",
    "Freeze what you will not eat within two days.",
    "Wild yeast makes sourdough rise.",
    "Trains to the coast leave every hour.")}),
  find: async () => ({query: {text: "a yellow star"},
    documents: await drawings(["red", "circle"], ["blue", "square"], ["yellow", "star"], ["green", "triangle"])}),
};
