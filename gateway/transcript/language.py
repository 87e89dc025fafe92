"""core: which language a session speaks, once that is certain.

While nobody knows, every job detects it: that costs an encoder pass of its own and errs on short
utterances. A wrong lock would spoil all that follows, so it takes either one long and clear hypothesis,
or two finals in a row that agree. Partials of less than 1.5 s of speech decide nothing.
"""

from gateway.events import Hypothesis, Kind

CERTAIN = 0.9
"""Probability at which a single hypothesis decides, given enough speech."""
CERTAIN_SPEECH_S = 1.5
LIKELY = 0.7
"""Probability at which two finals in a row decide."""


class LanguageLock:
    """`language`: the one named at the start, or the one locked later, or None."""

    def __init__(self, language: str | None) -> None:
        self.language = language or None
        self._likely: str | None = None

    def receive(self, hypothesis: Hypothesis, speech_s: float) -> None:
        """Learn from a hypothesis that was not suppressed; the caller leaves out those that were."""
        if self.language or not hypothesis.language or hypothesis.failure:
            return
        heard, probability = hypothesis.language, hypothesis.language_probability
        if probability >= CERTAIN and speech_s >= CERTAIN_SPEECH_S:
            self.language = heard
        elif hypothesis.kind is not Kind.PARTIAL:
            likely = heard if probability >= LIKELY else None
            if likely and likely == self._likely:
                self.language = likely
            self._likely = likely
