"""OpenAI's own SDK against a real gateway with keys: files, formats, streams, refusals, and who goes first."""

import asyncio
import json
import os
import re
import sys
import urllib.request
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.connection.speech import AUDIO, pcm16, silence
from tests.peers.keys import make_key
from tests.running import RunningGateway
from tests.talking import REFERENCES, error_rate, peer
from tests.test_docs import blocks, read
from tests.upload import files

pytestmark = pytest.mark.slow
WAIT_S = 30
CUE = re.compile(r"(\d\d):(\d\d):(\d\d)[.,](\d\d\d) --> (\d\d):(\d\d):(\d\d)[.,](\d\d\d)")
MOST_BYTES = 16 << 20
MOST_AUDIO_S = 3700


@dataclass
class Office:
    """A gateway with keys, and a client of it."""

    gateway: RunningGateway
    keys: dict[str, str]
    clients: dict[str, OpenAI] = field(default_factory=dict)

    def client(self, key: str = "speaker") -> OpenAI:
        if key not in self.clients:
            url = f"{self.gateway.url}/v1"
            self.clients[key] = OpenAI(base_url=url, api_key=self.keys[key], max_retries=0)
        return self.clients[key]

    def later(self, key: str = "speaker") -> AsyncOpenAI:
        return AsyncOpenAI(base_url=f"{self.gateway.url}/v1", api_key=self.keys[key], max_retries=0)

    def metric(self, name: str, **labels: str) -> float:
        """Of the gateway, as a viewer reads it."""
        request = urllib.request.Request(f"{self.gateway.url}/metrics")
        request.add_header("Authorization", f"Bearer {self.keys['viewer']}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read().decode()
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        lines = [line for line in text.splitlines() if line.startswith(name)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if all(label in line for label in wanted))


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    directory = tmp_path_factory.mktemp("openai-rest")
    keys = {
        "speaker": make_key(directory / "data", "speaker", "3A"),
        "viewer": make_key(directory / "data", "viewer", "*"),
    }
    gateway = RunningGateway.start(
        directory / "log", "--max-uploads", "2", "--max-upload-bytes", str(MOST_BYTES),
        "--max-upload-audio-s", str(MOST_AUDIO_S),
    )  # fmt: skip
    office = Office(gateway, keys | {"nobody": "sk-wrong"})
    yield office
    for client in office.clients.values():
        client.close()
    assert gateway.stop() == 0, gateway.log()


def clip(name: str) -> tuple[str, bytes]:
    return name, (AUDIO / name).read_bytes()


def cues(text: str) -> list[tuple[float, float]]:
    """Start and end of each, in seconds."""
    found = [[int(part) for part in cue] for cue in CUE.findall(text)]
    return [
        (h * 3600 + m * 60 + s + ms / 1000, H * 3600 + M * 60 + S + MS / 1000)
        for h, m, s, ms, H, M, S, MS in found
    ]


# --- formats ----------------------------------------------------------------------------------------------------


def test_json_is_the_transcript(office: Office) -> None:
    """As accurate as the model is, with the seconds that it has."""
    said = office.client().audio.transcriptions.create(model="whisper-1", file=clip("dialog_en.wav"))
    assert error_rate(REFERENCES["dialog_en.wav"]["text"], said.text) < 0.1
    assert said.usage is not None
    assert said.usage.type == "duration"
    assert said.usage.seconds == 39


def test_chinese_is_traditional_and_without_spaces(office: Office) -> None:
    """Detected, or named in any of the ways in which clients name it."""
    name, create = "dialog_zh.wav", office.client().audio.transcriptions.create
    for options in ({}, {"language": "zh"}, {"language": "zh-TW"}):
        said = create(model="gpt-4o-transcribe", file=clip(name), **options)  # type: ignore[call-overload]
        assert " " not in said.text
        assert "從" in said.text
        assert "从" not in said.text


def test_text_srt_and_vtt_are_plain_text(office: Office) -> None:
    """Cues in order, without overlap, with the words between them."""
    create = office.client().audio.transcriptions.create
    bodies = {
        form: create(model="whisper-1", file=clip("dialog_en.wav"), response_format=form)  # type: ignore[call-overload]
        for form in ("text", "srt", "vtt")
    }
    assert all(isinstance(body, str) for body in bodies.values())
    assert bodies["text"].endswith("\n")
    assert bodies["vtt"].startswith("WEBVTT\n\n")
    assert [int(line) for line in bodies["srt"].splitlines() if line.isdigit()] == list(range(1, 12))
    for form in ("srt", "vtt"):
        times = [time for cue in cues(bodies[form]) for time in cue]
        assert len(times) == 2 * len(REFERENCES["dialog_en.wav"]["segments"])
        assert times == sorted(times)
    lines = [line for line in bodies["vtt"].splitlines()[2:] if line and not CUE.match(line)]
    assert " ".join(lines) == bodies["text"].strip()


def test_verbose_json_has_segments_and_words_where_they_were_spoken(office: Office) -> None:
    """Segments as the reference has them, words in them, everything in order."""
    said = office.client().audio.transcriptions.create(
        model="whisper-1", file=clip("dialog_en.wav"), response_format="verbose_json",
        timestamp_granularities=["word", "segment"], prompt="A ward.", temperature=0.0,
    )  # fmt: skip
    reference = REFERENCES["dialog_en.wav"]
    assert abs(said.duration - reference["duration"]) < 0.05
    assert said.language == "english"
    assert said.segments is not None
    assert said.words is not None
    assert "".join(segment.text for segment in said.segments) == said.text
    assert [segment.id for segment in said.segments] == list(range(len(reference["segments"])))
    for segment, spoken in zip(said.segments, reference["segments"], strict=True):
        assert abs(segment.start - spoken["start"]) < 0.3
        assert abs(segment.end - spoken["end"]) < 0.3
        assert -1 < segment.avg_logprob <= 0
        assert segment.compression_ratio > 0
        assert 0 <= segment.no_speech_prob < 0.6
    assert all(a.start <= a.end <= b.start + 0.05 for a, b in pairwise(said.words))
    assert " ".join(word.word for word in said.words) == said.text


def test_only_what_was_asked_for_is_in_verbose_json(office: Office) -> None:
    """Segments if nothing is said; words without segments if only they are asked for."""
    create = office.client().audio.transcriptions.create
    plain = create(model="whisper-1", file=clip("en_02.wav"), response_format="verbose_json")
    words = create(
        model="whisper-1",
        file=clip("en_02.wav"),
        response_format="verbose_json",
        timestamp_granularities=["word"],
    )
    assert plain.segments
    assert plain.words is None
    assert words.words
    assert words.segments is None


async def test_a_stream_gives_each_utterance_as_it_is_decoded(office: Office) -> None:
    """Deltas sum to the text of the one `done`, which comes last."""
    async with office.later() as client:
        events = await client.audio.transcriptions.create(model="x", file=clip("dialog_en.wav"), stream=True)
        said = [event async for event in events]
    deltas = [event.delta for event in said if event.type == "transcript.text.delta"]
    assert len(deltas) == len(REFERENCES["dialog_en.wav"]["segments"])
    assert [event.type for event in said[len(deltas) :]] == ["transcript.text.done"]
    assert "".join(deltas) == said[-1].text  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", files.AVAILABLE)
def test_every_kind_of_file_is_understood(office: Office, kind: str) -> None:
    """By its content: the name that a browser gives it may be wrong."""
    file = files.made(kind, pcm16("en_02.wav"))
    said = office.client().audio.transcriptions.create(
        model="whisper-1", file=("audio.bin", file), language="en"
    )
    assert error_rate(REFERENCES["en_02.wav"]["text"], said.text) <= 0.2


def test_silence_and_nothing_have_an_empty_transcript(office: Office) -> None:
    """In every format; a stream has its delta and its end all the same."""
    create = office.client().audio.transcriptions.create
    for audio in (silence(2), b""):
        assert create(model="whisper-1", file=("a.wav", files.wav(audio))).text == ""
    verbose = create(model="whisper-1", file=("a.wav", files.wav(silence(2))), response_format="verbose_json")
    assert (verbose.segments, verbose.duration) == ([], 2.0)
    assert create(model="whisper-1", file=("a.wav", files.wav(silence(2))), response_format="srt") == ""
    events = list(create(model="whisper-1", file=("a.wav", files.wav(silence(2))), stream=True))
    assert [event.type for event in events] == ["transcript.text.delta", "transcript.text.done"]


def test_translations_have_a_route_of_their_own(office: Office) -> None:
    """Into English, as far as the model can: the demo model was not taught to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        create = office.client().audio.translations.create
        said = create(model="whisper-1", file=clip("en_02.wav"), response_format="verbose_json")
        assert said.language == "english"
        assert error_rate(REFERENCES["en_02.wav"]["text"], said.text) <= 0.2
        assert create(model="whisper-1", file=clip("en_02.wav")).text == said.text


# --- refusals ---------------------------------------------------------------------------------------------------

NO_AUDIO = ("notes.txt", b"The patient slept well.\n" * 100)

WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "text instead of audio": ({"file": NO_AUDIO}, "invalid_audio", "file"),
    "nothing": ({"file": ("a.wav", b"")}, "invalid_audio", "file"),
    "a playlist": (
        {"file": ("a.m3u8", files.references(AUDIO / "en_02.wav")["hls"])},
        "invalid_audio",
        "file",
    ),
    "a picture": ({"file": ("a.png", files.picture(60_000, 60_000))}, "invalid_audio", "file"),
    "a language that the model does not have": ({"language": "ja"}, "invalid_value", "language"),
    "a format that nobody knows": ({"response_format": "xml"}, "invalid_value", "response_format"),
    "a temperature above 1": ({"temperature": 7}, "invalid_value", "temperature"),
    "no model": ({"model": ""}, "missing_required_parameter", "model"),
    "a thousand keywords": (
        {"extra_body": {"keywords": ["Tan"] * 99 + ["Lim" * 400]}},
        "invalid_value",
        "keywords",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_a_bad_request_that_names_the_field(office: Office, case: str) -> None:
    """As the SDK raises it: e.body is OpenAI's error object, and nothing is tried again."""
    options, code, param = WRONG[case]
    fields = {"model": "whisper-1", "file": clip("en_02.wav")} | options
    with pytest.raises(openai.BadRequestError) as wrong:
        office.client().audio.transcriptions.create(**fields)
    body = wrong.value.body
    assert isinstance(body, dict)
    assert set(body) == {"message", "type", "param", "code"}
    assert (body["type"], body["param"], body["code"]) == ("invalid_request_error", param, code)


def test_a_form_without_a_file_names_it(office: Office) -> None:
    form = {"Content-Type": "multipart/form-data"}
    with pytest.raises(openai.BadRequestError) as wrong:
        office.client().post(
            "/audio/transcriptions",
            cast_to=object,
            body={"model": "x"},
            files={"sound": b"x"},
            options={"headers": form},
        )
    assert wrong.value.param == "file"


def test_a_file_that_is_too_large_is_refused(office: Office) -> None:
    """413, by name."""
    with pytest.raises(openai.APIStatusError) as no:
        office.client().audio.transcriptions.create(model="x", file=("a.wav", bytes(MOST_BYTES + 1)))
    assert (no.value.status_code, no.value.code) == (413, "file_too_large")


def test_a_small_file_with_hours_of_silence_is_refused(office: Office) -> None:
    """It says which limit, and leaves nothing running."""
    bomb = files.made("flac", silence(MOST_AUDIO_S + 1))
    assert len(bomb) < MOST_BYTES
    with pytest.raises(openai.BadRequestError, match="3700 s") as no:
        office.client().audio.transcriptions.create(model="x", file=("a.flac", bomb))
    assert no.value.code == "audio_too_long"


def test_a_stream_that_cannot_begin_is_refused_as_plain_http(office: Office) -> None:
    with pytest.raises(openai.BadRequestError) as no:
        office.client().audio.transcriptions.create(model="x", file=NO_AUDIO, stream=True)
    assert no.value.code == "invalid_audio"


def test_a_key_is_asked_for(office: Office) -> None:
    """401 for a wrong one, 403 for a viewer's."""
    for key, error in (("nobody", openai.AuthenticationError), ("viewer", openai.PermissionDeniedError)):
        with pytest.raises(error) as no:
            office.client(key).audio.transcriptions.create(model="x", file=clip("en_00.wav"))
        assert no.value.type == "invalid_request_error"
        assert no.value.body["message"]  # type: ignore[index]


# --- many at once -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hour() -> tuple[str, bytes]:
    """An hour of speech: more than can be decoded while a test runs."""
    minute = files.made("mp3", pcm16("mono_en.wav"))
    return "hour.mp3", minute * (3600 // int(REFERENCES["mono_en.wav"]["duration"]))


async def gone(office: Office) -> None:
    """No job of a file waits any more, and no decoder runs."""
    async with asyncio.timeout(WAIT_S):
        while await asyncio.to_thread(busy, office):  # noqa: ASYNC110 (it is in another process)
            await asyncio.sleep(0.05)


def busy(office: Office) -> bool:
    """A file's jobs wait, or a process decodes one."""
    pid = office.gateway.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    lines = [Path(f"/proc/{child}/cmdline") for child in children]
    decoding = any(b"upload.unpack" in line.read_bytes() for line in lines if line.exists())
    return decoding or office.metric("care_voice_queue_depth", kind="upload") > 0


async def test_a_long_file_does_not_keep_live_captions_waiting(
    office: Office, hour: tuple[str, bytes]
) -> None:
    """While it runs a speaker is understood as if it were not there, the gateway is not overloaded, and the
    bed's page hears nothing of the file. A client that leaves takes its file along."""
    speaker = {"additional_headers": {"Authorization": f"Bearer {office.keys['speaker']}"}}
    viewer = {"additional_headers": {"Authorization": f"Bearer {office.keys['viewer']}"}}
    left = office.metric("care_voice_uploads_total", outcome="left")
    async with office.later() as client, peer(office.gateway.ws, "/v1/captions", **viewer) as page:
        await page.say("watch", beds=["3A"])
        events = await client.audio.transcriptions.create(model="x", file=hour, stream=True)
        stream = aiter(events)
        assert (await anext(stream)).type == "transcript.text.delta"
        async with peer(office.gateway.ws, "/v1/stream", **speaker) as live:
            await live.start(bed="3A", language="en")
            reading = asyncio.create_task(live.end())
            await live.speak(pcm16("dialog_en.wav"), pause_s=0.01)
            await live.say("stop")
            assert (await reading)[0] == 1000
        assert error_rate(REFERENCES["dialog_en.wav"]["text"], live.text()) < 0.1
        assert live.of("partial")
        assert not live.of("notice")
        assert (await anext(stream)).type == "transcript.text.delta"
        assert await asyncio.to_thread(office.metric, "care_voice_load_level") == 0
        await page.until("caption", text=live.of("final")[-1]["text"])
        assert [c["text"] for c in page.of("caption")] == [f["text"] for f in live.of("final")]
        await events.close()
    await gone(office)
    assert office.metric("care_voice_uploads_total", outcome="left") == left + 1


async def test_one_file_too_many_is_asked_to_come_later(office: Office, hour: tuple[str, bytes]) -> None:
    """429 with Retry-After and x-should-retry; others go on, and there is room when they have left."""
    async with office.later() as client:
        streams = [
            await client.audio.transcriptions.create(model="x", file=hour, stream=True) for _ in range(2)
        ]
        for events in streams:
            assert (await anext(aiter(events))).type == "transcript.text.delta"
        with pytest.raises(openai.RateLimitError) as no:
            await client.audio.transcriptions.create(model="x", file=clip("en_00.wav"))
        assert no.value.code == "rate_limit_exceeded"
        headers = no.value.response.headers
        assert int(headers["retry-after"]) > 0
        assert headers["x-should-retry"] == "true"
        for events in streams:
            await events.close()
        await gone(office)
        assert (await client.audio.transcriptions.create(model="x", file=clip("en_00.wav"))).text


async def test_a_client_that_does_not_wait_for_its_answer_stops_the_work(
    office: Office, hour: tuple[str, bytes]
) -> None:
    """Also without a stream: nothing of the file is left when it is gone."""
    async with office.later() as client:
        asking = asyncio.create_task(client.audio.transcriptions.create(model="x", file=hour))
        async with asyncio.timeout(WAIT_S):
            while not await asyncio.to_thread(busy, office):  # noqa: ASYNC110 (in another process)
                await asyncio.sleep(0.02)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    await gone(office)


async def test_the_engine_may_die_under_a_file(office: Office) -> None:
    """Its jobs are asked again: the transcript is whole."""
    async with office.later() as client:
        events = await client.audio.transcriptions.create(model="x", file=clip("dialog_en.wav"), stream=True)
        stream = aiter(events)
        said = [await anext(stream)]
        os.kill(office.gateway.worker_pid(), 9)
        said += [event async for event in stream]
    assert error_rate(REFERENCES["dialog_en.wav"]["text"], said[-1].text) < 0.1  # type: ignore[union-attr]


def test_metrics_and_log_know_files_but_not_what_is_in_them(office: Office) -> None:
    office.client().audio.transcriptions.create(model="x", file=clip("en_02.wav"), prompt="unheard-of")
    assert office.metric("care_voice_uploads_total", outcome="done") > 0
    assert office.metric("care_voice_uploads_total", outcome="refused") > 0
    assert office.metric("care_voice_upload_audio_seconds_total") > 2
    log = [json.loads(line) for line in office.gateway.log().splitlines() if '"upload"' in line]
    assert {"done", "refused", "left"} >= {line["outcome"] for line in log} >= {"done"}
    assert "unheard-of" not in office.gateway.log()


async def test_the_example_of_the_page_works(office: Office, tmp_path: Path) -> None:
    """Saved and run as it stands, it prints what was said."""
    [program] = [text for language, text in blocks(read("docs/openai-rest.md")) if language == "python"]
    script = tmp_path / "file.py"
    script.write_text(program, encoding="utf-8")
    done = await asyncio.create_subprocess_exec(
        sys.executable, str(script), str(AUDIO / "en_02.wav"),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env=os.environ | {
            "GATEWAY": office.gateway.url.removeprefix("http://"), "CARE_VOICE_KEY": office.keys["speaker"],
        },
    )  # fmt: skip
    said, complaints = await done.communicate()
    assert done.returncode == 0, complaints.decode()
    lines = said.decode().splitlines()
    assert error_rate(REFERENCES["en_02.wav"]["text"], lines[0]) <= 0.2, lines
    assert re.fullmatch(r"0\.\d+ to 2\.\d+ s: .*", lines[1])
