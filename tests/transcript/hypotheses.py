"""Hypotheses for the tests: made by hand, and what the demo model said of growing pieces of the test audio.

hypotheses.json: one row per utterance of tests/data/audio; [text, mean log-probability, compression ratio,
no-speech probability] of each partial (0.3 s of speech, then every 0.5 s, greedy) and of the final (beam 5).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.events import Hypothesis, Kind


def heard(text: str, revision: int = 1, kind: Kind = Kind.PARTIAL, **fields: Any) -> Hypothesis:
    """A good hypothesis of utterance 1, unless the fields say otherwise."""
    good = {"utterance": 1, "language": "en", "language_probability": 1.0, "average_logprob": -0.1}
    return Hypothesis(session=1, revision=revision, kind=kind, text=text, **(good | fields))


@dataclass(frozen=True, slots=True)
class Recorded:
    clip: str
    language: str
    reference: str
    speech_s: float
    partials: list[Hypothesis]
    final: Hypothesis


def recorded() -> list[Recorded]:
    """All utterances of the test audio, as utterances 0, 1, 2 ..."""
    rows = json.loads((Path(__file__).parent / "hypotheses.json").read_text())
    result = []
    for utterance, row in enumerate(rows):
        spoken = [*row["partials"], row["final"]]
        hypotheses = [
            heard(
                text,
                revision,
                Kind.FINAL if revision == len(spoken) else Kind.PARTIAL,
                utterance=utterance,
                language=row["language"],
                average_logprob=logprob,
                compression_ratio=ratio,
                no_speech_probability=no_speech,
            )
            for revision, (text, logprob, ratio, no_speech) in enumerate(spoken, 1)
        ]
        facts = row["clip"], row["language"], row["reference"], row["speech_s"]
        result.append(Recorded(*facts, hypotheses[:-1], hypotheses[-1]))
    return result
