"""Audio files of every kind, made here: what clients send, and what nobody should."""

import io
import struct
from pathlib import Path

import av
import numpy as np

RATE = 16_000
CODECS = {
    "wav": ("wav", "pcm_s16le", RATE),
    "flac": ("flac", "flac", RATE),
    "mp3": ("mp3", "libmp3lame", RATE),
    "ogg": ("ogg", "flac", RATE),
    "opus": ("ogg", "libopus", 48_000),
    "webm": ("webm", "libopus", 48_000),
    "m4a": ("ipod", "aac", RATE),
    "mp4": ("mp4", "aac", RATE),
    "aac": ("adts", "aac", RATE),
    "mka": ("matroska", "flac", RATE),
}
"""Extension -> container, codec, rate."""
AVAILABLE = [name for name, (_, codec, _) in CODECS.items() if codec in av.codecs_available]


def made(kind: str, pcm: bytes) -> bytes:
    """16 kHz mono s16 as a file of this kind."""
    container, codec, rate = CODECS[kind]
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate, layout="mono")
        resampler = av.AudioResampler(
            stream.codec_context.format, "mono", rate, stream.codec_context.frame_size or None
        )
        samples = np.frombuffer(pcm, np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return file.getvalue()


def wav(pcm: bytes, said_bytes: int | None = None, rate: int = RATE, channels: int = 1) -> bytes:
    """A WAV file by hand; its header may lie about the length."""
    size = len(pcm) if said_bytes is None else said_bytes
    riff = struct.pack("<4sI4s", b"RIFF", min(36 + size, 0xFFFFFFFF), b"WAVE")
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, 2 * rate * channels, 2 * channels, 16)
    return riff + form + struct.pack("<4sI", b"data", size) + pcm


def film(width: int, height: int, pcm: bytes) -> bytes:
    """A Matroska film whose picture says that it is this large, with sound."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as out:
        picture = out.add_stream("mpeg4", rate=1)
        picture.width, picture.height, picture.pix_fmt = 272, 258, "yuv420p"
        sound = out.add_stream("pcm_s16le", rate=RATE, layout="mono")
        image = av.VideoFrame(272, 258, "yuv420p")
        image.pts = 0
        for stream, frame in ((picture, image), (sound, _frame(pcm))):
            out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
    small, large = (
        b"\xb0\x82\x01\x10\xba\x82\x01\x02",
        struct.pack(">BBHBBH", 0xB0, 0x82, width, 0xBA, 0x82, height),
    )
    assert small in file.getvalue()
    return file.getvalue().replace(small, large)


def picture(width: int, height: int) -> bytes:
    """A PNG that says that it is this large, and nothing of it."""
    return (
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0) + bytes(100)
    )


def glutton(size: int) -> bytes:
    """A Matroska file that announces an attachment of this size (below 2**28), and has nothing of it."""

    def element(name: bytes, content: bytes, said: int | None = None) -> bytes:
        length = len(content) if said is None else said
        return name + (length | 0x10000000).to_bytes(4, "big") + content

    data = element(b"\x46\x5c", b"", size)
    name, kind = element(b"\x46\x6e", b"a.bin"), element(b"\x46\x60", b"application/x")
    file = element(b"\x61\xa7", name + kind + data, size + len(name + kind + data))
    attachments = element(b"\x19\x41\xa4\x69", file, size + len(file))
    return element(b"\x1a\x45\xdf\xa3", element(b"\x42\x82", b"matroska")) + (
        b"\x18\x53\x80\x67\x01" + b"\xff" * 7 + attachments
    )


def references(target: Path) -> dict[str, bytes]:
    """Files that are no audio themselves, but say where some is."""
    path = str(target)
    return {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{path}\n#EXT-X-ENDLIST\n".encode(),
        "hls, file:": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{path}\n#EXT-X-ENDLIST\n".encode(),
        "hls, http:": b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
        "concat": f"ffconcat version 1.0\nfile '{path}'\n".encode(),
        "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
        "dash": b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
        + f'<AdaptationSet mimeType="audio/mp4"><Representation id="a"><BaseURL>{path}</BaseURL>'.encode()
        + b"</Representation></AdaptationSet></Period></MPD>",
        "pls": f"[playlist]\nFile1={path}\nNumberOfEntries=1\n".encode(),
        "asx": f'<asx version="3.0"><entry><ref href="{path}"/></entry></asx>'.encode(),
        "svg": f'<svg xmlns="http://www.w3.org/2000/svg"><image href="file://{path}"/></svg>'.encode(),
    }


def _frame(pcm: bytes) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(
        np.frombuffer(pcm, np.int16).reshape(1, -1), format="s16", layout="mono"
    )
    frame.sample_rate, frame.pts = RATE, 0
    return frame
