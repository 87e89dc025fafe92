"""core: a session's captions -> Deepgram's results, which tile the stream: each begins where the last final
ended, silence before the words included, and no final covers what another one has covered.
"""

from collections import deque

from gateway.connection.messages import Final, Partial, Speech
from gateway.connection.protocols.codec import Say, Step
from gateway.connection.protocols.deepgram_query import Asked
from gateway.connection.protocols.deepgram_shapes import Said, Shapes, Stretch, said_finally, said_so_far

EMPTY_S = 0.001
"""Less than this is left over by rounding."""


class Results:
    """One connection's results. Positions are seconds of its stream."""

    def __init__(self, asked: Asked, shapes: Shapes) -> None:
        self._asked = asked
        self._shapes = shapes
        self._covered_s = 0.0
        """Where the last final ended."""
        self._finals = 0
        self._speech: deque[float] = deque()
        """Where the utterances begin that have no final yet."""
        self._sent_s = 0.0
        self._heard_s = 0.0
        """The session has heard everything before it."""
        self._last_word_s: float | None = None
        """Where the last word ends; None: an UtteranceEnd was said since, or there was no word."""
        self._finalizing = 0
        """Finalizes without their answer."""
        self._held: Final | None = None
        """The newest final since a Finalize: it is the answer if no other comes before the flush is done."""

    def advance(self, sent_s: float) -> list[Step]:
        """The client goes on: it has sent so much, and the session has heard all but its newest frame."""
        self._heard_s, self._sent_s = self._sent_s, sent_s
        return self._end_utterance()

    def speech(self, speech: Speech) -> list[Step]:
        if speech.state != "started":
            return []
        self._speech.append(speech.at)
        return [Say(self._shapes.speech_started(speech.at))] if self._asked.vad_events else []

    def partial(self, partial: Partial) -> list[Step]:
        """Only of the utterance whose final is next: others would cover what that one will."""
        if not self._asked.interim or partial.utterance != self._finals + 1:
            return []
        said = said_so_far(partial, self._speech[0] if self._speech else self._covered_s)
        stretch = Stretch(self._covered_s, max(self._covered_s, partial.end), is_final=False)
        return [Say(self._shapes.results(stretch, said), "interim")] if said.text.strip() else []

    def final(self, final: Final) -> list[Step]:
        steps = self.release()
        if not self._finalizing:
            return steps + self._give(final)
        self._held = final
        return steps

    def finalize(self) -> None:
        """Everything so far is to become final."""
        self._finalizing += 1

    def flushed(self, at_s: float) -> list[Step]:
        """It has. Each Finalize has one answer, be it empty."""
        self._finalizing = max(0, self._finalizing - 1)
        if self._held:
            return self.release(from_finalize=True)
        end = max(self._covered_s, min(at_s, self._sent_s))
        return [self._cover(end, Said(), speech_final=True, from_finalize=True)]

    def release(self, from_finalize: bool = False) -> list[Step]:
        """Give the final that was held back."""
        held, self._held = self._held, None
        return self._give(held, from_finalize) if held else []

    def finish(self) -> list[Step]:
        """Nothing more comes: the silence behind the last words is final too."""
        if self._sent_s - self._covered_s < EMPTY_S:
            return []
        return [self._cover(self._sent_s, Said())]

    def _give(self, final: Final, from_finalize: bool = False) -> list[Step]:
        self._finals += 1
        if self._speech:
            self._speech.popleft()
        said = said_finally(final, self._asked.multi)
        end = max(final.end, *(word.end_s for word in said.words)) if said.words else final.end
        end = max(self._covered_s, min(round(end, 3), self._sent_s))
        if said.words:
            self._last_word_s = min(end, max(self._covered_s, round(said.words[-1].end_s, 3)))
        pause = not final.cut and (self._asked.endpointing or from_finalize)
        step = self._cover(end, said, speech_final=pause, from_finalize=from_finalize)
        return [step, *self._end_utterance()]

    def _cover(
        self, end: float, said: Said, *, speech_final: bool = False, from_finalize: bool = False
    ) -> Step:
        stretch = Stretch(self._covered_s, end, True, speech_final, from_finalize)
        self._covered_s = end
        return Say(self._shapes.results(stretch, said))

    def _end_utterance(self) -> list[Step]:
        """The pause after the last word is long enough: once, counted in audio."""
        gap_s, last_s = self._asked.utterance_end_s, self._last_word_s
        quiet_s = self._speech[0] if self._speech else self._heard_s
        if gap_s is None or last_s is None or quiet_s - last_s < gap_s:
            return []
        self._last_word_s = None
        return [Say(self._shapes.utterance_end(last_s))]
