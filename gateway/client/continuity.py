"""core: what makes one stream of many connections: the session, where it stands, which finals were seen.

The gateway counts samples since the beginning of its session. When it has forgotten a session, a new one
begins in the middle of the source: `offset` is what leads from its positions to those of the source.
"""

import msgspec

from gateway.client.ring import Ring
from gateway.connection.messages import Final, Partial, Resume, ServerMessage, Speech, Started


class Continuity:
    def __init__(self) -> None:
        self._session: Started | None = None
        self._number = 0
        self._shown_s = 0.0
        self.sessions = 0
        """How many were begun; more than one: the gateway has forgotten some."""
        self.offset = 0
        """Position in the source minus position in the session."""

    def resume(self) -> Resume | None:
        """What to ask for on a new connection; None: a session of its own."""
        if self._session is None:
            return None
        return Resume(self._session.session, self._session.token, self._number)

    def begin(self, started: Started, ring: Ring) -> bool:
        """The gateway is ready: put the ring where it wants audio from. False: the session is a new one."""
        resumed = self._session is not None and self._session.session == started.session
        self._session = started
        if resumed:
            wanted = self.offset + started.resume_from
            self.offset += ring.rewind(wanted) - wanted
        else:
            self.offset = ring.rewind(ring.committed) - started.resume_from
            self._number = 0
            self.sessions += 1
        return resumed

    def forget(self) -> None:
        """The gateway does not know the session any more."""
        self._session = None

    def is_repeat(self, final: Final) -> bool:
        """Whether a final (with times of the source) was seen before.

        Its number says so, or that a new session decodes audio again. But one that is about later audio than
        any before is news, whatever its number: it went back because a journal failed.
        """
        if final.start + final.end > 2 * self._shown_s:
            return False
        return final.number <= self._number or self.sessions > 1

    def see(self, final: Final) -> str:
        """Take note of a final. Returns what is wrong with its number, if anything."""
        expected, self._number = self._number + 1, final.number
        self._shown_s = max(self._shown_s, final.end)
        if final.number == expected:
            return ""
        return f"caption {expected} was to come, but {final.number} came: some may be missing here"


def shifted(message: ServerMessage, by_s: float) -> ServerMessage:
    """The same message with its times counted from `by_s` earlier on."""
    if not by_s:
        return message
    match message:
        case Speech():
            return msgspec.structs.replace(message, at=message.at + by_s)
        case Partial():
            return msgspec.structs.replace(message, start=message.start + by_s, end=message.end + by_s)
        case Final():
            words = message.words and tuple(
                msgspec.structs.replace(word, start=word.start + by_s, end=word.end + by_s)
                for word in message.words
            )
            return msgspec.structs.replace(
                message, start=message.start + by_s, end=message.end + by_s, words=words
            )
    return message
