"""A server for the tests of downloads, which misbehaves as it is told."""

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Serves the server's content; the attributes of the server say how it misbehaves."""

    def do_GET(self):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._answer(self.server)

    def _answer(self, server):
        field = self.headers.get("Range")
        server.requests.append(field)
        if server.codes:
            self.send_error(server.codes.pop(0), server.reason)
            return
        if server.onward:
            self.send_response(302)
            self.send_header("Location", server.onward.pop(0))
            self.send_header("Content-Length", str(1 << 40))  # which nobody should wait for
            self.end_headers()
            return
        start = int(field.removeprefix("bytes=").removesuffix("-")) if field else 0
        if field and server.ranges == "refused":
            self.send_error(416)
            return
        if field and server.ranges == "ignored":
            start = field = None
        start = max(0, (start or 0) + server.shift) if field else 0
        body = server.content[start:]
        self.send_response(206 if field else 200)
        if field:
            end = len(server.content)
            self.send_header("Content-Range", server.extent or f"bytes {start}-{end - 1}/{end}")
        if server.announce:
            length = len(body) if server.announce is True else server.announce
            self.send_header("Content-Length", str(length))
        if server.drip == "headers":
            self._drip(b"X: y\r\n")
        self.end_headers()
        if server.drip == "bytes":
            self._drip(b"x")
        if server.drops:
            body = body[: server.drops.pop(0)]
        self.wfile.write(body)
        self.wfile.flush()
        if server.stalls:
            server.waited_in_vain = not server.stalls.pop().wait(20)
        self.close_connection = True

    def _drip(self, what):
        """Send a little again and again, until the other side has had enough."""
        self.flush_headers()
        while not self.server.over.wait(0.02):
            self.wfile.write(what)

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def serving(content):
    """A server on this machine that has `content` at its `url`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.content = content
    server.ranges = "served"  # or "ignored" (answers 200), "refused" (answers 416)
    server.shift = 0  # added to the first byte of a range
    server.extent = None  # a Content-Range to send instead of the right one
    server.announce = True  # send a Content-Length: True, False or what to send instead
    server.codes = []  # answer the first requests with these errors
    server.reason = None  # the text of these errors
    server.onward = []  # redirect the first requests to these addresses
    server.drip = None  # or what comes endlessly, bit by bit: "headers" or "bytes"
    server.over = threading.Event()
    server.drops = []  # close the connection after so many bytes, request by request
    server.stalls = []  # wait for these events before closing the connection
    server.waited_in_vain = False
    server.requests = []  # the Range fields that came
    server.url = f"http://127.0.0.1:{server.server_address[1]}/some/file.tar.gz"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
