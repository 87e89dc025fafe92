"""shell: the audio of beds that an operator records (`--record-beds`), on its way to the recorder.

It decodes the stream a second time, so that nothing of this stands in the way of captions.
"""

from gateway.config import JournalSettings
from gateway.detection.audio import AudioDecoder, AudioError
from gateway.events import AudioFormat
from gateway.resources import data_dir
from gateway.ward.recording import Recorder

FOLDER = "recordings"


def build_recorder(settings: JournalSettings) -> Recorder | None:
    """None unless beds are named: audio is never written otherwise. Raises OSError."""
    beds = [bed.strip() for bed in settings.record_beds.split(",") if bed.strip()]
    if not beds:
        return None
    directory = data_dir(settings.data_dir) / FOLDER
    return Recorder(directory, beds, settings.record_max_minutes, settings.record_retention_h)


class Tap:
    """One session's audio."""

    def __init__(self, recorder: Recorder, session: str, bed: str, audio: AudioFormat) -> None:
        self._recorder = recorder
        self._session = session
        self._bed = bed
        self._decoder = AudioDecoder(audio)

    def hear(self, payload: bytes) -> None:
        """A binary message; one that cannot be read is the session's to answer."""
        try:
            audio = self._decoder.receive(payload)
        except AudioError:
            return
        self._recorder.record(self._session, self._bed, audio)

    def end(self) -> None:
        """The session is over."""
        self._recorder.end(self._session, self._bed)
