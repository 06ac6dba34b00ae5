#!/usr/bin/env python3
"""A small internet in a network namespace, and qvec serve in it: a name server, a web server on public addresses, and a
"secret" one on addresses that nobody outside must reach. Run below `unshare -rnm`; reads commands as lines of JSON, and
answers each with one:
    {"start": [flags]}            qvec serve with a dummy model, in place of the last one   {}
    {"post": path, "body": ...}   a request                                                {"status", "answer", "seconds"}
    {"hang_up": path, "body", "after"}  a request whose client leaves after so many seconds {}
    {"log": null}                 what the web servers saw since the last time              {"paths", "secret", "heads"}
Arguments: a folder for files, the qvec program, the model's folder, a picture."""
import contextlib
import http.server
import json
import os
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zlib

PUBLIC = ["93.184.216.34", "151.101.1.69", "2606:2800:220:1::1"]
SECRET = ["127.0.0.1", "10.0.0.5", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.7", "198.18.0.1", "203.0.113.9", "fd00::1",
          "fe80::77", "64:ff9b::a00:5", "2002:a00:5::1"]
PORT = 8000
# Public, and noted by its web server when it is asked: qvec must not.
PROXIES = {name: f"http://{PUBLIC[1]}:8080" for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")}

# name: one list of addresses for each look-up in turn; the last stays
NAMES = {
    "pictures.example": [["93.184.216.34"]],
    "mirror.example": [["151.101.1.69"]],
    "six.example": [["2606:2800:220:1::1"]],
    "many.example": [["10.0.0.5", "93.184.216.34"]],
    "rebinding.example": [["93.184.216.34"], ["127.0.0.1"]],
    "silent.example": [None],
    **{f"inside{i}.example": [[address]] for i, address in enumerate(SECRET)},
}

seen = {"paths": [], "secret": [], "heads": []}


# ---- names ----

def answer_name(query, looked_up):
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode())
        at += query[at] + 1
    kind = struct.unpack_from(">H", query, at + 1)[0]
    name = ".".join(labels).lower()
    rounds = NAMES.get(name)
    count = looked_up[name, kind] = looked_up.get((name, kind), 0) + 1
    found = rounds[min(count, len(rounds)) - 1] if rounds else []
    if found is None:
        return None
    records = b""
    for address in found:
        six = ":" in address
        if kind == (28 if six else 1):
            data = socket.inet_pton(socket.AF_INET6 if six else socket.AF_INET, address)
            records += struct.pack(">HHHIH", 0xC00C, kind, 1, 0, len(data)) + data
    flags = 0x8180 if rounds else 0x8183
    return query[:2] + struct.pack(">HHHHH", flags, 1, records.count(b"\xc0\x0c"), 0, 0) + query[12:at + 5] + records


def name_server():
    looked_up = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 53))
        while True:
            query, client = s.recvfrom(2048)
            reply = answer_name(query, looked_up)
            if reply:
                s.sendto(reply, client)


# ---- web ----

packer = zlib.compressobj(9, zlib.DEFLATED, 31)
BOMB = packer.compress(bytes(16 << 20)) + packer.flush()  # 16 KB

class Public(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    picture = b""

    def log_message(self, *_):
        pass

    def body(self, data, status=200, length=None, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(data)

    def do_GET(self):
        seen["paths"].append(self.path)
        seen["heads"].append(dict(self.headers))
        self.close_connection = True
        parts = self.path.partition("?")[0].split("/", 2)
        getattr(self, "get_" + parts[1], self.get_none)(parts[2] if len(parts) > 2 else "")

    def get_none(self, rest):
        self.body(b"<secret>no such page</secret>", 404)

    def get_picture(self, rest):
        self.body(self.picture, Content_Type="image/png")

    def get_typed(self, rest):
        """A picture that calls itself something else."""
        self.body(self.picture, Content_Type="text/html")

    def get_page(self, rest):
        """Something else that calls itself a picture."""
        self.body(b"<secret>words</secret>", Content_Type="image/png")

    def get_status(self, rest):
        self.body(b"<secret>error</secret>", int(rest))

    def get_to(self, rest):
        self.body(b"", 302, Location=rest)

    def get_nowhere(self, rest):
        self.body(b"", 302)

    def get_hops(self, rest):
        """That many redirects, then the picture."""
        self.body(b"", 307, Location=f"/hops/{int(rest) - 1}" if int(rest) > 1 else "/picture")

    def get_cookie(self, rest):
        self.body(b"", 302, Location="/picture", Set_Cookie="a=b; Path=/")

    def stream(self, headers, chunk, pause=0.0):
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(chunk)
                self.wfile.flush()
                time.sleep(pause)

    def get_endless(self, rest):
        self.stream({"Content-Type": "image/png"}, b"x" * 65536)

    def get_drip(self, rest):
        self.stream({"Content-Length": "100000"}, b"x", 0.2)

    def get_headers(self, rest):
        self.send_response(200)
        self.flush_headers()
        with contextlib.suppress(OSError):
            for i in range(1000000):
                self.wfile.write(b"X-%d: %s\r\n" % (i, b"y" * 1000))

    def get_wait(self, rest):
        time.sleep(float(rest))
        self.get_picture("")

    def get_long(self, rest):
        """Says it is longer than it is."""
        self.body(self.picture, length=len(self.picture) + 100)

    def get_short(self, rest):
        """Says it is shorter than it is."""
        self.body(self.picture, length=len(self.picture) - 40)

    def get_huge(self, rest):
        self.body(b"", length=1 << 40)

    def get_big(self, rest):
        self.body(b"x" * int(rest))

    def get_padded(self, rest):
        self.body(self.picture + bytes(int(rest)))

    def get_gzip(self, rest):
        self.body(BOMB, **{("Transfer_Encoding" if rest == "transfer" else "Content_Encoding"): "gzip"})


class Secret(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def setup(self):
        seen["secret"].append(self.request.getsockname()[0])
        super().setup()

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(Public.picture)


class Web(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass


class Web6(Web):
    address_family = socket.AF_INET6


def web(address, port, handler, context=None):
    server = (Web6 if ":" in address else Web)((address, port), handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def certificates(folder):
    """A key and certificate for pictures.example, trusted by the machine; the same for mirror.example is by nobody."""
    contexts = []
    for name in ("pictures", "mirror"):
        key, certificate = os.path.join(folder, name + ".key"), os.path.join(folder, name + ".pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key, "-out", certificate,
                        "-subj", f"/CN={name}.example", "-addext", f"subjectAltName=DNS:{name}.example"], check=True, capture_output=True)
        contexts.append(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        contexts[-1].load_cert_chain(certificate, key)
    trusted = "/etc/ssl/certs/ca-certificates.crt"
    if os.path.exists(trusted):
        subprocess.run(["mount", "--bind", os.path.join(folder, "pictures.pem"), trusted], check=True)
    return contexts


def build(folder):
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in PUBLIC + SECRET[1:]:
        bits = "/128" if ":" in address else "/32"
        subprocess.run(["ip", "address", "add", address + bits, "dev", "lo", *(["nodad"] if ":" in address else [])], check=True)
    resolver = os.path.join(folder, "resolv.conf")
    with open(resolver, "w", encoding="ascii") as f:
        f.write("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    subprocess.run(["mount", "--bind", resolver, "/etc/resolv.conf"], check=True)
    threading.Thread(target=name_server, daemon=True).start()
    trusted, unknown = certificates(folder)
    for address in PUBLIC:
        web(address, 80, Public)
        web(address, 8080, Public)
        web(address, 443, Public, unknown if address == PUBLIC[1] else trusted)
    for address in SECRET:
        if not address.startswith("fe80"):  # that one needs a zone to be bound
            web(address, 80, Secret)


# ---- commands ----

class Qvec:
    def __init__(self, folder, program, model):
        self.folder, self.program, self.model, self.process = folder, program, model, None

    def start(self, flags):
        self.stop()
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = subprocess.Popen([self.program, "serve", self.model, "--load-format", "dummy", "--host", "127.0.0.1", "--port",
                                             str(PORT), *flags], stdout=log, stderr=log, env={**os.environ, **PROXIES})
        for _ in range(1200):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health", timeout=2).close()
                return {}
            if self.process.poll() is not None:
                return {"failed": self.process.returncode}
            time.sleep(0.05)
        return {"failed": "never healthy"}

    def stop(self):
        if self.process:
            self.process.terminate()
            assert self.process.wait(40) == 0
            self.process = None

    def post(self, path, body):
        request = urllib.request.Request(f"http://127.0.0.1:{PORT}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
        start = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                status, answer = response.status, json.load(response)
        except urllib.error.HTTPError as e:
            status, answer = e.code, json.loads(e.read() or b"null")
        return {"status": status, "answer": answer, "seconds": time.monotonic() - start}

    def hang_up(self, path, body, after):
        data = json.dumps(body).encode()
        with socket.create_connection(("127.0.0.1", PORT)) as s:
            s.sendall(b"POST %s HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (path.encode(), len(data)) + data)
            time.sleep(after)
        return {}


def main():
    folder, program, model, picture = sys.argv[1:5]
    with open(picture, "rb") as f:
        Public.picture = f.read()
    build(folder)
    qvec = Qvec(folder, program, model)
    print("{}", flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        if "start" in command:
            reply = qvec.start(command["start"])
        elif "post" in command:
            reply = qvec.post(command["post"], command["body"])
        elif "hang_up" in command:
            reply = qvec.hang_up(command["hang_up"], command["body"], command["after"])
        else:
            reply = {name: list(value) for name, value in seen.items()}
            for value in seen.values():
                value.clear()
        print(json.dumps(reply), flush=True)
    qvec.stop()


if __name__ == "__main__":
    main()
