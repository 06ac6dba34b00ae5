// Talking to the server that sent the page: same origin, below the same path.

export const base = new URL(".", document.baseURI).href.replace(/\/$/, "");

const PLACE = "qvec-key"; // in sessionStorage: this tab only, gone when it is closed

/** A request that was refused, in the server's own words. status 0: no answer came. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }

  get title() {
    if (!this.status) return "The server did not answer";
    if (this.status === 401) return "The server did not take the key";
    if (this.status === 429 || this.status === 503) return "The server is busy";
    return this.status < 500 ? "The server did not take this" : "The server failed";
  }
}

export function key() {
  return sessionStorage.getItem(PLACE) ?? "";
}

export function setKey(value) {
  sessionStorage.setItem(PLACE, value);
}

/** Each dialect of the server has its own place for the message. */
function messageOf(answer) {
  const error = answer?.error;
  return error?.message ?? (typeof error === "string" ? error : null) ?? answer?.message ?? answer?.detail ?? null;
}

/** GET, or POST when there is a body: the decoded answer. Throws Refused, or AbortError when `signal` fires. */
export async function ask(path, body, signal) {
  const headers = {Accept: "application/json"};
  if (key()) headers.Authorization = `Bearer ${key()}`;
  if (body) headers["Content-Type"] = "application/json";
  let response, answer = null;
  try {
    response = await fetch(`${base}${path}`, {method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal});
    const text = await response.text();
    answer = text ? JSON.parse(text) : null;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (!response) throw new Refused(0, "It may be down or restarting, or the network is. Try again.");
  }
  if (response.ok && answer) return answer;
  throw new Refused(response.status, messageOf(answer) ?? `${response.status} ${response.statusText}`.trim());
}
