"""A server with known manners for `qvec bench serve`: it notes what comes in, and answers as a function says."""
import asyncio
import json
import threading
import time


class Stub:
    """handle(stub, number, body) is a coroutine that gives (status, body bytes) or None: hang up. Times are time.monotonic().
    tls: an ssl.SSLContext; `secure` has the ssl object of each connection."""

    def __init__(self, handle=None, tls=None, keep_alive=True):
        self.handle = handle or (lambda stub, number, body: ok(body))
        self.requests, self.open, self.peak, self.times, self.secure = [], 0, 0, [], []
        self.tls, self.keep_alive = tls, keep_alive
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        assert self.ready.wait(10)
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)

    def _run(self):
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=4096, ssl=self.tls))
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        self.loop.run_forever()
        server.close()
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self.loop.run_until_complete(asyncio.sleep(0))  # transports say that they are lost
        self.loop.close()

    async def _serve(self, reader, writer):
        self.secure.append(writer.get_extra_info("ssl_object"))
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _one(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        came = time.monotonic()
        headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if head[0].startswith("GET"):
            answer = json.dumps({"data": [{"id": "stub-model", "root": "/nowhere"}]}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer))
            return True
        number = len(self.requests)
        self.requests.append((head[0], headers, json.loads(body)))
        self.open += 1
        self.peak = max(self.peak, self.open)
        try:
            found = await self.handle(self, number, json.loads(body))
        finally:
            self.open -= 1
        if found is None:
            writer.transport.abort()
            return False
        status, answer = found
        close = b"" if self.keep_alive else b"Connection: close\r\n"
        writer.write(b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s" % (status, close, len(answer), answer))
        self.times.append((came, time.monotonic()))
        return self.keep_alive


async def ok(body, tokens=7):
    inputs = body.get("input", body.get("documents", "one"))
    count = len(inputs) if isinstance(inputs, list) else 1
    return 200, json.dumps({"data": [{"index": i, "embedding": [0.5]} for i in range(count)], "usage": {"prompt_tokens": tokens * count}}).encode()
