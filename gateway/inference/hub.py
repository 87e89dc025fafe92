"""shell: the model hub over HTTP: what a repository holds, and its files, resumed after a cut.

huggingface_hub's own download throws a partial file away when the process ends (its temporary names are
unique to a process), so an interrupted pull of 3 GB would begin again. Its session is used (proxies,
HF_ENDPOINT, HF_HUB_OFFLINE), with our own transfer on top: Range requests, backoff, a bound on the bytes.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx2
from huggingface_hub import constants, get_session
from huggingface_hub.errors import OfflineModeIsEnabled

from gateway import __version__

PAUSES_S = (1.0, 2.0, 4.0, 8.0)
"""Between tries that brought nothing; a try that brought data starts the count again."""
TIMEOUT = httpx2.Timeout(30.0, connect=10.0)
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})

T = TypeVar("T")
Advance = Callable[[int], None]
"""Called with the bytes of the file that are here."""


class HubError(Exception):
    """The hub could not give what was asked; the message says why."""


class Unreachable(HubError):
    """No answer from the hub: no network, or it is down."""


class _Cut(Exception):
    """This try did not work; another may."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as the hub describes it."""

    bytes: int
    sha256: str
    """Empty for small files, which the hub keeps in git."""
    git_sha1: str
    """Of the git blob; for large files that of a pointer, of no use here."""


@dataclass(frozen=True, slots=True)
class Hub:
    """A model hub. Every method raises HubError."""

    endpoint: str = field(default_factory=lambda: constants.ENDPOINT)
    token: str = field(default_factory=lambda: os.environ.get("HF_TOKEN", ""), repr=False)
    note: Callable[[str], None] = lambda text: None
    """Told when a try failed and another follows."""
    pauses_s: tuple[float, ...] = PAUSES_S
    sleep: Callable[[float], None] = time.sleep

    def commit(self, repository: str, revision: str) -> str:
        """The commit that a branch or tag stands for now."""
        path = f"/api/models/{repository}/revision/{quote(revision, safe='')}"
        return self._ask(path, lambda answer: str(answer["sha"]))

    def tree(self, repository: str, commit: str) -> dict[str, RemoteFile]:
        """The files at the top of a repository, by name."""
        path = f"/api/models/{repository}/tree/{quote(commit, safe='')}"
        return self._ask(path, _remote_files)

    def fetch(
        self, repository: str, commit: str, name: str, partial: Path, size_bytes: int, advance: Advance
    ) -> None:
        """Brings `partial` to `size_bytes`, going on from what it already holds. Its content is not checked.

        Whatever ends this early, KeyboardInterrupt too, leaves a `partial` to go on from.
        """
        url = f"{self.endpoint}/{repository}/resolve/{quote(commit, safe='')}/{quote(name)}"

        def attempt() -> None:
            if _size(partial) < size_bytes:
                self._append(url, partial, size_bytes, advance)

        if _size(partial) > size_bytes:
            partial.unlink()
        advance(_size(partial))
        self._persist(attempt, lambda: _size(partial))

    def _append(self, url: str, partial: Path, size_bytes: int, advance: Advance) -> None:
        here = _size(partial)
        headers = self._headers() | ({"Range": f"bytes={here}-"} if here else {})
        with get_session().stream("GET", url, headers=headers, timeout=TIMEOUT) as answer:
            if answer.status_code == 416:
                partial.unlink()
                raise _Cut("the hub does not know that part of the file")
            _accept(answer, url)
            if here and answer.status_code != 206:
                here = 0  # the whole file comes instead of the rest
            with partial.open("ab" if here else "wb") as file:
                for chunk in answer.iter_raw():  # as it comes: a chunk being filled is lost by a cut
                    here += len(chunk)
                    if here > size_bytes:
                        raise HubError(f"{url} sends more than the {size_bytes} bytes that it should have")
                    file.write(chunk)
                    advance(here)
        if here < size_bytes:
            raise _Cut(f"the connection ended after {here} of {size_bytes} bytes")

    def _ask(self, path: str, parse: Callable[[Any], T]) -> T:
        url = self.endpoint + path

        def attempt() -> T:
            answer = get_session().get(url, headers=self._headers(), timeout=TIMEOUT)
            _accept(answer, url)
            try:
                return parse(answer.json())
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                raise HubError(f"{url} does not answer like a model hub") from error

        return self._persist(attempt, lambda: 0)

    def _persist(self, attempt: Callable[[], T], progress: Callable[[], int]) -> T:
        """Tries again after a transient failure, longer and longer; progress starts the count again."""
        failures = 0
        while True:
            before = progress()
            try:
                return attempt()
            except OfflineModeIsEnabled as error:
                raise Unreachable("HF_HUB_OFFLINE is set: no network is used") from error
            except (_Cut, httpx2.TransportError) as error:
                failures = 1 if progress() > before else failures + 1
                reason = str(error) or type(error).__name__
                if failures > len(self.pauses_s):
                    raise Unreachable(f"no answer from {self.endpoint} ({reason})") from error
                pause_s = self.pauses_s[failures - 1]
                self.note(f"{reason}; trying again in {pause_s:.0f} s")
                self.sleep(pause_s)
            except (httpx2.HTTPError, httpx2.InvalidURL) as error:
                raise HubError(f"{self.endpoint}: {error}") from error

    def _headers(self) -> dict[str, str]:
        """The token goes to the hub only: the session drops it when a redirect leads to another host."""
        headers = {"User-Agent": f"care-voice/{__version__}", "Accept-Encoding": "identity"}
        return headers | ({"Authorization": f"Bearer {self.token}"} if self.token else {})


def _accept(answer: httpx2.Response, url: str) -> None:
    if answer.status_code in _TRANSIENT:
        raise _Cut(f"the hub answers {answer.status_code}")
    if answer.status_code in (401, 403):
        raise HubError(
            f"the hub refuses {url} ({answer.status_code}): it does not exist, or wants a token in HF_TOKEN"
        )
    if answer.status_code == 404:
        code = answer.headers.get("X-Error-Code", "not found")
        raise HubError(f"the hub does not have {url} ({code})")
    if answer.is_error:
        raise HubError(f"the hub answers {answer.status_code} to {url}")


def _remote_files(answer: list[dict[str, Any]]) -> dict[str, RemoteFile]:
    return {
        item["path"]: RemoteFile(int(item["size"]), item.get("lfs", {}).get("oid", ""), item["oid"])
        for item in answer
        if item["type"] == "file"
    }


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
