"""A model hub on a local port: the metadata API, and files by resolve, redirect and Range, as the real one does."""

import hashlib
import json
import re
import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LFS_FROM_BYTES = 50_000
"""Larger files are kept by sha256 and served from another host, smaller ones lie in git."""


@dataclass
class StandinHub:
    """What it holds (`files`), how it misbehaves (`faults`, one a request for a file), and what it was asked."""

    repository: str
    files: dict[str, bytes]
    faults: deque[str] = field(default_factory=deque)
    """A status | cut (ends in the middle) | stall (stops there) | long (too many) | whole (no Range) | damage."""
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""
    released: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "StandinHub":
        hub = self

        class Handler(_Handler):
            standin = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def asked_for(self, part: str) -> list[dict[str, str]]:
        """The headers of the requests whose path contains `part`."""
        return [headers for path, headers in self.requests if part in path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    standin: StandinHub

    def do_GET(self) -> None:
        hub, path = self.standin, unquote(self.path)
        hub.requests.append((path, {name.lower(): value for name, value in self.headers.items()}))
        base = f"/api/models/{hub.repository}"
        if path == f"{base}/revision/main":
            self._json({"id": hub.repository, "sha": COMMIT})
        elif path == f"{base}/tree/{COMMIT}":
            self._json([{"type": "directory", "path": "extra", "size": 0, "oid": "0" * 40}, *self._tree()])
        elif match := re.fullmatch(f"/{hub.repository}/resolve/{COMMIT}/(.+)", path):
            self._resolve(match[1])
        elif path.startswith("/cdn/"):
            self._send(hub.files[path.removeprefix("/cdn/")])
        else:
            self._empty(404, {"X-Error-Code": "RevisionNotFound"})

    def _tree(self) -> list[dict[str, object]]:
        rows = []
        for name, content in self.standin.files.items():
            git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            row: dict[str, object] = {"type": "file", "path": name, "size": len(content), "oid": git}
            if len(content) >= LFS_FROM_BYTES:
                sha256 = hashlib.sha256(content).hexdigest()
                row |= {"oid": "1" * 40, "lfs": {"oid": sha256, "size": len(content), "pointerSize": 134}}
            rows.append(row)
        return rows

    def _resolve(self, name: str) -> None:
        content = self.standin.files.get(name)
        if content is None:
            return self._empty(404, {"X-Error-Code": "EntryNotFound"})
        if len(content) < LFS_FROM_BYTES:
            return self._send(content)
        sha256 = hashlib.sha256(content).hexdigest()
        place = f"http://localhost:{self.standin.port}/cdn/{name}"
        linked = {"X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": str(len(content)), "X-Repo-Commit": COMMIT}
        return self._empty(302, linked | {"Location": place})

    def _send(self, content: bytes) -> None:
        fault = self.standin.faults.popleft() if self.standin.faults else ""
        if fault.isdigit():
            return self._empty(int(fault), {})
        if fault == "damage":
            content = bytes([content[0] ^ 1]) + content[1:]
        if fault == "long":
            content += b"and more"
        start = int(re.findall(r"\d+", self.headers.get("Range", "bytes=0-"))[0])
        start = 0 if fault == "whole" else start
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        rest = content[start:]
        self.wfile.write(rest[: len(rest) // 2] if fault in ("cut", "stall") else rest)
        if fault == "stall":
            self.standin.released.wait()
        self.close_connection = fault in ("cut", "stall")
        return None

    def _json(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _empty(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": "0"}).items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""
