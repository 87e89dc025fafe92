"""core: frames that are speech or not -> utterances, and snapshots of them.

An utterance begins `pre_roll_ms` before its first speech and counts once `min_speech_ms` of speech was
heard; until then it is a candidate without a number, and may vanish again. It ends after `endpointing_ms` of
silence, at a flush, or at `max_utterance_ms`: then it is cut at its quietest place, and what is behind the
cut goes on as the next utterance, no sample lost or repeated. The audio of two finals never overlaps.
"""

from dataclasses import dataclass, field

import numpy as np

from gateway.config import DetectionSettings
from gateway.detection.features import IncrementalLogMel
from gateway.events import (
    FRAME_SAMPLES,
    SAMPLE_RATE,
    Audio,
    EagerVoided,
    Heard,
    Kind,
    Snapshot,
    SpeechStarted,
    UtteranceEnded,
)

TRAILING_SAMPLES = SAMPLE_RATE * 200 // 1000
"""Silence after the speech that a FINAL snapshot keeps: soft endings; the rest is the next one's pre-roll."""
CUT_SEARCH_SAMPLES = SAMPLE_RATE * 6
"""How far before the maximum the quietest place is looked for, at most (a third of the utterance)."""
CUT_WINDOW_SAMPLES = SAMPLE_RATE * 100 // 1000
"""A place is as quiet as the 100 ms around it."""
_NOTHING = np.zeros(0, np.float32)


def _samples(milliseconds: float) -> int:
    return int(milliseconds * SAMPLE_RATE / 1000)


@dataclass(slots=True)
class _Utterance:
    """The one that is open. Positions are samples of the stream."""

    start: int
    """First sample, pre-roll included."""
    mel: IncrementalLogMel
    continues: bool = False
    """It is the rest of one that was cut: known to be speech, however short."""
    number: int = 0
    """0: a candidate, too short as yet."""
    speech: list[tuple[int, int]] = field(default_factory=list)
    """Stretches of speech, [from, to)."""
    revision: int = 0
    covered: int = 0
    """Where the newest snapshot ends."""
    eager: bool = False
    """The newest snapshot is EAGER and holds all speech."""

    @property
    def speech_end(self) -> int:
        return self.speech[-1][1] if self.speech else self.start

    @property
    def speech_samples(self) -> int:
        return sum(end - start for start, end in self.speech)

    def add_speech(self, start: int, end: int) -> None:
        if self.speech and self.speech[-1][1] == start:
            start = self.speech.pop()[0]
        self.speech.append((start, end))


class Segmenter:
    """Frames, and whether they are speech -> utterances."""

    def __init__(self, settings: DetectionSettings, mel_bands: int) -> None:
        self._mel_bands = mel_bands
        self.configure(settings)
        self._stretch: float | None = 1.0
        self._position = 0
        self._count = 0
        self._open: _Utterance | None = None
        self._before: Audio = _NOTHING
        """The newest audio that no utterance has, as much as a pre-roll needs."""

    def configure(self, settings: DetectionSettings) -> None:
        """Other settings, at once; of an open utterance the pre-roll stays as it is."""
        self._max = _samples(settings.max_utterance_ms)
        self._pre_roll = min(_samples(settings.pre_roll_ms), self._max // 2)
        self._min_speech = min(_samples(settings.min_speech_ms), self._max // 4)
        self._hangover = _samples(settings.endpointing_ms)
        self._eager = _samples(settings.eager_ms) or self._hangover
        self._first_partial = _samples(settings.first_partial_ms)
        self._partial_interval = _samples(settings.partial_interval_ms)

    @property
    def position(self) -> int:
        """Samples pushed and skipped so far."""
        return self._position

    @property
    def decided_samples(self) -> int:
        """Everything before it is silence or belongs to an ended utterance. Never decreases."""
        if self._open:
            return self._open.start
        return self._position - min(len(self._before), self._pre_roll)

    def stretch_partials(self, factor: float | None) -> None:
        """Partials `factor` times as far apart; None: none at all."""
        self._stretch = factor

    def push(self, audio: Audio, flags: list[bool]) -> list[Heard]:
        """Frames of 320 samples (the last may be shorter), for each whether it is speech -> what follows."""
        if self._open is None and True not in flags:
            self._position += len(audio)
            self._keep(np.concatenate([self._before, audio]))
            return []
        heard: list[Heard] = []
        for index, is_speech in enumerate(flags):
            heard += self._push_frame(audio[index * FRAME_SAMPLES : (index + 1) * FRAME_SAMPLES], is_speech)
        return heard

    def _push_frame(self, frame: Audio, is_speech: bool) -> list[Heard]:
        begin, self._position = self._position, self._position + len(frame)
        if self._open is None:
            if not is_speech:
                self._keep(np.concatenate([self._before, frame]))
                return []
            self._open = self._begin(begin)
        utterance = self._open
        utterance.mel.push(frame)
        heard = self._speech(utterance, begin) if is_speech else self._silence(utterance)
        if self._open is utterance and self._position - utterance.start >= self._max:
            heard += self._end_at_maximum(utterance)
        return heard

    def flush(self) -> list[Heard]:
        """End the open utterance now; what is no utterance yet stays as pre-roll."""
        return self._close(self._open) if self._open else []

    def skip(self, samples: int) -> list[Heard]:
        """So many samples were lost: end the open utterance, go on behind the hole."""
        heard = self.flush()
        self._position += samples
        self._before = _NOTHING
        return heard

    def _speech(self, utterance: _Utterance, begin: int) -> list[Heard]:
        heard: list[Heard] = []
        if utterance.eager:
            utterance.eager = False
            heard.append(EagerVoided(utterance.number, utterance.revision))
        utterance.add_speech(begin, self._position)
        return heard + self._confirm(utterance) + self._partial(utterance)

    def _silence(self, utterance: _Utterance) -> list[Heard]:
        silence = self._position - utterance.speech_end
        if silence >= self._hangover:
            return self._close(utterance)
        if silence >= self._eager and utterance.number and not utterance.eager:
            utterance.eager = True
            return [self._snapshot(utterance, Kind.EAGER, self._position)]
        return self._partial(utterance)

    def _confirm(self, utterance: _Utterance) -> list[Heard]:
        """A candidate becomes an utterance once there is enough speech in it."""
        enough = 1 if utterance.continues else self._min_speech
        if utterance.number or utterance.speech_samples < enough:
            return []
        self._count += 1
        utterance.number = self._count
        return [SpeechStarted(self._count, utterance.speech[0][0])]

    def _partial(self, utterance: _Utterance) -> list[Heard]:
        if not utterance.number or self._stretch is None or utterance.speech_end <= utterance.covered:
            return []
        if utterance.revision:
            due = self._position - utterance.covered >= self._partial_interval * self._stretch
        else:
            due = utterance.speech_samples >= self._first_partial
        return [self._snapshot(utterance, Kind.PARTIAL, self._position)] if due else []

    def _snapshot(self, utterance: _Utterance, kind: Kind, end: int) -> Snapshot:
        utterance.revision += 1
        utterance.covered = end
        return Snapshot(
            utterance=utterance.number,
            revision=utterance.revision,
            kind=kind,
            start_samples=utterance.start,
            end_samples=end,
            speech_samples=utterance.speech_samples,
            features=utterance.mel.snapshot(end - utterance.start),
        )

    def _close(self, utterance: _Utterance) -> list[Heard]:
        """End it; what its final does not hold is kept as pre-roll."""
        self._open = None
        audio = utterance.mel.audio
        if not utterance.number:
            self._keep(audio)
            return []
        end = utterance.covered
        heard: list[Heard] = []
        if not utterance.eager:
            end = min(self._position, utterance.speech_end + TRAILING_SAMPLES)
            heard.append(self._snapshot(utterance, Kind.FINAL, end))
        self._keep(audio[end - utterance.start :])
        return [*heard, self._ended(utterance)]

    @staticmethod
    def _ended(utterance: _Utterance, cut: bool = False) -> UtteranceEnded:
        start, end = utterance.speech[0][0], utterance.speech_end
        return UtteranceEnded(utterance.number, start, end, utterance.revision, cut)

    def _end_at_maximum(self, utterance: _Utterance) -> list[Heard]:
        if utterance.eager or not utterance.number:
            return self._close(utterance)
        audio = utterance.mel.audio
        cut = utterance.start + _quietest(audio, utterance.speech[0][0] - utterance.start)
        behind = [(max(start, cut), end) for start, end in utterance.speech if end > cut]
        utterance.speech = [(start, min(end, cut)) for start, end in utterance.speech if start < cut]
        final = self._snapshot(utterance, Kind.FINAL, cut)
        rest = _Utterance(cut, IncrementalLogMel(self._mel_bands), continues=True, speech=behind)
        rest.mel.push(audio[cut - utterance.start :])
        self._open = rest
        return [final, self._ended(utterance, cut=bool(behind)), *self._confirm(rest)]

    def _begin(self, position: int) -> _Utterance:
        mel = IncrementalLogMel(self._mel_bands)
        before = self._before[max(0, len(self._before) - self._pre_roll) :]
        mel.push(before)
        return _Utterance(position - len(before), mel)

    def _keep(self, audio: Audio) -> None:
        """Only this is left of the past."""
        self._before = audio[max(0, len(audio) - self._pre_roll) :].copy()


def _quietest(audio: Audio, speech: int) -> int:
    """Where in the last third (at most 6 s) the 100 ms around have the least energy; the latest of equals.

    It lies behind `speech`, where the first speech begins; the end, if too little is left to choose from.
    """
    first = max(len(audio) - min(CUT_SEARCH_SAMPLES, len(audio) // 3), speech)
    if len(audio) - first < CUT_WINDOW_SAMPLES:
        return len(audio)
    energy = np.concatenate([[0.0], np.cumsum(audio[first:].astype(np.float64) ** 2)])
    around = energy[CUT_WINDOW_SAMPLES:] - energy[:-CUT_WINDOW_SAMPLES]
    latest = len(around) - 1 - int(np.argmin(around[::-1]))
    return first + latest + CUT_WINDOW_SAMPLES // 2
