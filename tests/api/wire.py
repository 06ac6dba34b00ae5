"""A connection on which a test writes exactly the bytes it wants."""
import json
import socket


def post(body=b"", path="/v1/embeddings", headers=(), length=True, version="1.1"):
    """The bytes of a POST; `headers` are whole lines."""
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/{version}", "Host: here", "Content-Type: application/json", *headers]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(*pieces):
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


class Wire:
    def __init__(self, port, timeout=10, source="127.0.0.1"):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout, source_address=(source, 0))
        self.rest = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def _more(self):
        data = self.socket.recv(65536)
        self.rest += data
        return data

    def answer(self):
        """The next whole answer; None when the server closed before one began."""
        while b"\r\n\r\n" not in self.rest:
            if not self._more():
                assert not self.rest, f"half a head: {self.rest!r}"
                return None
        head, self.rest = self.rest.split(b"\r\n\r\n", 1)
        first, *lines = head.decode("latin-1").split("\r\n")
        status = int(first.split()[1])
        headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines)}
        if status == 100:
            return Answer(100, headers, b"")
        size = int(headers.get("content-length", "0"))
        while len(self.rest) < size:
            assert self._more(), "the body stops short"
        body, self.rest = self.rest[:size], self.rest[size:]
        return Answer(status, headers, body)

    def closed(self):
        """True when the server ends the connection, with nothing more sent."""
        try:
            return self._more() == b""
        except ConnectionResetError:
            return True
