"""core: why a file gets no transcript, in words for its sender, and how its decoder ends."""

from enum import IntEnum


class UploadFailed(Exception):
    """There will be no transcript: an HTTP status, a name for programs, and words that say what to do."""

    def __init__(self, status: int, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        """The field of the form that is to blame."""


class Verdict(IntEnum):
    """Exit status of the decoder's process."""

    DECODED = 0
    UNREADABLE = 65
    NO_AUDIO = 66
    TOO_LONG = 67
    OUT_OF_MEMORY = 68


_WHY = {
    Verdict.UNREADABLE: (
        "invalid_audio",
        "This file cannot be read as audio. Send flac, mp3, mp4, m4a, mpeg, ogg, wav or webm.",
    ),
    Verdict.NO_AUDIO: ("no_audio", "There is no audio track in this file."),
    Verdict.OUT_OF_MEMORY: (
        "decoder_memory",
        "Decoding this file takes more memory than one may have. Convert it to wav, flac or mp3 first.",
    ),
}


def why_undecoded(status: int, max_audio_s: float) -> UploadFailed:
    """For any other exit status than DECODED; one below 0 is the signal that ended the process."""
    if status == Verdict.TOO_LONG:
        message = f"The audio is longer than {max_audio_s:g} s (max_upload_audio_s). Send it in parts."
        return UploadFailed(400, "audio_too_long", message, "file")
    if status in _WHY:
        code, message = _WHY[Verdict(status)]
        return UploadFailed(400, code, message, "file")
    message = (
        "Decoding this file takes too long, or breaks the decoder. Convert it to wav, flac or mp3 first."
    )
    return UploadFailed(400, "decoder_failed", message, "file")
