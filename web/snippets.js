// The same call as a command and as a program. Pictures are read from files; a key comes from the environment, so that
// none is ever in what is copied.
import {Picture} from "./items.js";

const KEY = "QVEC_API_KEY";

const JSON_STYLE = {true: "true", false: "false", null: "null"};
const PYTHON_STYLE = {true: "True", false: "False", null: "None"};

/** A value as JSON or Python source; `picture` writes a Picture. JSON's strings are Python's as well. */
function write(value, style, picture, indent = "") {
  if (value instanceof Picture) return picture(value);
  if (value === null || typeof value === "boolean") return style[value];
  if (typeof value !== "object") return JSON.stringify(value);
  const inner = indent + (style === PYTHON_STYLE ? "    " : "  ");
  const list = Array.isArray(value);
  const entries = list ? value.map((one) => write(one, style, picture, inner))
    : Object.entries(value).filter(([, one]) => one !== undefined)
      .map(([name, one]) => `${JSON.stringify(name)}: ${write(one, style, picture, inner)}`);
  const [open, close] = list ? "[]" : "{}", line = open + entries.join(", ") + close;
  if (indent.length + line.length < 72 && !line.includes("\n")) return line;
  return `${open}\n${entries.map((entry) => inner + entry).join(",\n")}\n${indent}${close}`;
}

const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function hasPicture(value) {
  if (value instanceof Picture) return true;
  return value !== null && typeof value === "object" && Object.values(value).some(hasPicture);
}

/** call: {base, path, body, needsKey} */
export function curl({base, path, body, needsKey}) {
  const head = [`curl -s ${quote(base + path)}`, "-H 'Content-Type: application/json'"];
  if (needsKey) head.push(`-H "Authorization: Bearer $${KEY}"`);
  if (!hasPicture(body)) return [...head, `-d ${quote(write(body, JSON_STYLE))}`].join(" \\\n  ");
  // The shell puts the pictures in, so everything else that it would read as its own is escaped.
  const holes = [];
  const json = write(body, JSON_STYLE, (picture) => `"\u0000${holes.push(picture) - 1}\u0000"`);
  const text = json.replace(/[\\$`]/g, "\\$&").replace(/\u0000(\d+)\u0000/g, (_, i) =>
    `data:${holes[i].type};base64,$(base64 < ${quote(holes[i].name)} | tr -d '\\n')`);
  return [...head, `-d @- <<JSON\n${text}\nJSON`].join(" \\\n  ");
}

const PICTURE = `
def picture(name, kind):
    with open(name, "rb") as file:
        return f"data:{kind};base64," + base64.b64encode(file.read()).decode()

`;

const asPython = (value, indent) => write(value, PYTHON_STYLE,
  ({name, type}) => `picture(${JSON.stringify(name)}, ${JSON.stringify(type)})`, indent);

function imports(body, needsKey, ...names) {
  if (hasPicture(body)) names.push("base64");
  if (needsKey) names.push("os");
  return names.sort().map((name) => `import ${name}`);
}

/** With OpenAI's client; what it does not know goes into extra_body. `ranks`: the first input is a query. */
function embedding({base, body, needsKey, ranks}) {
  const {model, input, dimensions, ...extra} = body;
  const given = Object.fromEntries(Object.entries(extra).filter(([, value]) => value !== undefined));
  const lines = ["answer = client.embeddings.create(", `    model=${asPython(model)},`, `    input=${asPython(input, "    ")},`];
  if (dimensions) lines.push(`    dimensions=${dimensions},`);
  lines.push(`    extra_body=${asPython(given, "    ")},`, ")", "vectors = [item.embedding for item in answer.data]", "");
  const after = ranks
    ? ["query, *documents = vectors",
      "scores = [sum(x * y for x, y in zip(query, document)) for document in documents]",
      "for index in sorted(range(len(scores)), key=lambda i: -scores[i]):",
      "    print(f\"{scores[index]:.4f}\", index)"]
    : ["for a in vectors:",
      "    print(*(f\"{sum(x * y for x, y in zip(a, b)):6.3f}\" for b in vectors))"];
  return [...imports(body, needsKey), ...(imports(body, needsKey).length ? [""] : []), "from openai import OpenAI", "",
    ...(hasPicture(body) ? [PICTURE] : []),
    `client = OpenAI(base_url=${asPython(`${base}/v1`)}, api_key=${needsKey ? `os.environ["${KEY}"]` : '"none"'})`,
    ...lines, ...after, ""].join("\n");
}

/** No client is needed: the standard library does. */
function reranking({base, path, body, needsKey}) {
  const key = needsKey ? `, "Authorization": "Bearer " + os.environ["${KEY}"]` : "";
  return [...imports(body, needsKey, "json", "urllib.request"), "",
    ...(hasPicture(body) ? [PICTURE] : []),
    `body = ${asPython(body)}`,
    `headers = {"Content-Type": "application/json"${key}}`,
    `request = urllib.request.Request(${asPython(base + path)}, json.dumps(body).encode(), headers)`,
    "with urllib.request.urlopen(request) as response:",
    "    answer = json.load(response)",
    "for result in answer[\"results\"]:",
    "    print(f\"{result['relevance_score']:.4f}\", result[\"index\"])", ""].join("\n");
}

export function python(call) {
  return call.path === "/v1/embeddings" ? embedding(call) : reranking(call);
}
