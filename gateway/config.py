"""core: every setting of the gateway, once.

One frozen section per stage; each field is at the same time a flag (`--endpointing-ms`), an environment
variable (`CARE_VOICE_ENDPOINTING_MS`) and a TOML key (`endpointing_ms` under `[detection]`): the command line
is made from this file (commands/options.py). Field names are unique over all sections. Reading files and the
environment is not done here.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ServerSettings(Section):
    """Where the gateway listens, and how much one client may ask of it."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(
        8001, ge=0, le=65535, description="Port for everything: pages, WebSockets, metrics. 0: any free one."
    )
    max_sessions: int = Field(200, ge=1, description="Speakers at the same time; one more is refused (503).")
    max_viewers: int = Field(
        1000, ge=1, description="Caption viewers at the same time; one more is refused (503)."
    )
    max_connections: int = Field(
        2000, ge=1, description="WebSockets and event streams at the same time; one more is refused (503)."
    )
    max_connections_per_address: int = Field(
        256,
        ge=0,
        description="Of them from one address (IPv6: one /64); one more is refused (429). 0: any number. "
        "Behind a proxy set `trusted_proxies`, or all clients are one address.",
    )
    max_connections_per_key: int = Field(
        500, ge=0, description="Of them with one API key; one more is refused (429). 0: any number."
    )
    handshake_timeout_s: float = Field(
        10,
        gt=0,
        description="A connection without a whole request (or TLS handshake) for so long is closed.",
    )
    max_message_bytes: int = Field(
        1 << 20, ge=4096, description="Largest WebSocket message; a larger one closes 1009."
    )
    max_hotwords: int = Field(100, ge=0, description="Hotwords a session may give.")
    max_prompt_chars: int = Field(
        1000, ge=0, description="Characters of prompt, and of all hotwords together."
    )
    start_timeout_s: float = Field(
        10, gt=0, description="Time a new speaker has to send `start`, and a new viewer `watch`."
    )
    idle_timeout_s: float = Field(
        60,
        gt=0,
        description="A speaker that sends nothing for so long is closed 4408. Silence as audio is not idle.",
    )
    resume_grace_s: float = Field(
        60, ge=0, description="A speaker that lost its socket may continue its session for so long."
    )
    max_ahead_s: float = Field(
        150, gt=0, description="Audio that a client may send at once, to replay what it kept."
    )
    max_audio_rate: float = Field(
        4, ge=1, description="Seconds of audio per second beyond that; a faster client is closed 4429."
    )
    max_session_h: float = Field(
        24,
        gt=0,
        description="A longer session is ended between two utterances (1012); its client begins a new one.",
    )
    send_timeout_s: float = Field(10, gt=0, description="A client that does not read for so long is cut off.")
    max_unsent_bytes: int = Field(
        4 << 20,
        ge=65_536,
        description="Messages waiting for a client that reads slowly; beyond that it is closed 1013.",
    )
    drain_grace_s: float = Field(
        10, ge=0, description="On SIGTERM: time for open utterances to get their finals."
    )


class AccessSettings(Section):
    """Who may speak and who may read. Lists are separated by commas."""

    insecure: bool = Field(
        False,
        description="Listen beyond this machine although there are no keys: everybody may speak and read.",
    )
    token_ttl_s: int = Field(
        43_200, ge=60, le=43_200, description="How long a login, or a token that names no time, lasts."
    )
    query_tokens: bool = Field(
        False, description="Also take `?token=` in addresses, where proxies and histories keep it."
    )
    allowed_origins: str = Field(
        "", description="Other sites whose pages may use this gateway, like `https://ward.example`."
    )
    allowed_hosts: str = Field(
        "", description="Other names this gateway may be called by while it has no keys."
    )
    trusted_proxies: str = Field(
        "", description="Addresses or networks whose X-Forwarded-For and X-Forwarded-Proto are believed."
    )


class TlsSettings(Section):
    """HTTPS, without which browsers give no microphone beyond this machine."""

    tls_cert: str = Field("", description="Certificate chain (PEM). Read again on SIGHUP.")
    tls_key: str = Field("", description="Its private key (PEM).")
    tls_self_signed: bool = Field(
        False, description="Make a local CA and a certificate for this machine's names and addresses."
    )
    tls_names: str = Field("", description="More names and addresses for that certificate.")


class ModelSettings(Section):
    """Which model runs, and on what. Nothing is ever replaced silently."""

    model: str = Field(
        "auto",
        description="A name of `care-voice models list`, a directory, or `auto` (large-v3-turbo, or small).",
    )
    device: Literal["auto", "cuda", "cpu"] = Field(
        "auto", description="`auto` takes the GPU when there is one; `cuda` refuses to start without."
    )
    compute_type: Literal[
        "auto", "float16", "bfloat16", "int8", "int8_float16", "int8_bfloat16", "int8_float32", "float32"
    ] = Field("auto", description="`auto`: float16 on the GPU, int8 on the CPU.")
    cpu_threads: int = Field(
        0, ge=0, description="Threads of the engine on the CPU. 0: all cores, one for the demo model."
    )
    models_dir: str = Field(
        "",
        description="Where models are kept. Empty: /app/models if there, else ~/.cache/care-voice/models.",
    )


class DetectionSettings(Section):
    """Where an utterance begins and ends. The starred (*) ones can be set per session."""

    pre_roll_ms: int = Field(300, ge=0, le=2000, description="Audio kept from before the speech. *")
    endpointing_ms: int = Field(
        500, ge=100, le=5000, description="Silence (hangover) that closes an utterance. *"
    )
    min_speech_ms: int = Field(80, ge=20, le=2000, description="Less speech than this is no utterance. *")
    max_utterance_ms: int = Field(
        28_000, ge=2000, le=29_000, description="A longer utterance is cut at its quietest place. *"
    )
    first_partial_ms: int = Field(300, ge=100, le=5000, description="Speech before the first partial.")
    partial_interval_ms: int = Field(500, ge=100, le=10_000, description="New audio between two partials.")
    eager_ms: int = Field(
        160, ge=0, le=5000, description="Silence after which the final is decoded in advance. 0: never."
    )
    vad_aggressiveness: int = Field(1, ge=0, le=3, description="webrtcvad: 0 hears everything, 3 is strict.")
    silero: bool = Field(True, description="Ask Silero for a second opinion while webrtcvad hears speech.")
    silero_threshold: float = Field(
        0.4, gt=0, lt=1, description="Silero's probability from which it is speech."
    )


class InferenceSettings(Section):
    """How the jobs of all sessions share the engine."""

    max_batch_size: int = Field(
        0, ge=0, le=256, description="Jobs in one pass. 0: 32 on the GPU, 8 on the CPU."
    )
    target_pass_ms: int = Field(
        100, ge=10, description="A pass is kept under about this long, so that no final waits behind it."
    )
    max_queued_finals: int = Field(
        1000, ge=1, description="Finals waiting, over all sessions; at half of it new sessions are refused."
    )
    final_beam_size: int = Field(5, ge=1, le=10, description="Beam for finals; partials are greedy.")
    final_context: Literal["auto", "short", "full"] = Field(
        "auto",
        description="Encoder context of finals: as short as the audio, 30 s, or as the model wants it.",
    )
    encoder: Literal["auto", "ctranslate2", "torch"] = Field(
        "auto",
        description="`auto`: PyTorch's, the faster, on a GPU in float16 if installed; else CTranslate2's.",
    )
    pass_timeout_s: float = Field(
        60, gt=0, description="A pass that takes longer means that the worker hangs: it is restarted."
    )


class TranscriptSettings(Section):
    """What may be shown."""

    script: Literal["twp", "tw", "hk", "cn", "off"] = Field(
        "twp",
        description="Chinese script: Taiwan and its words, Taiwan, Hong Kong, simplified, as decoded. *",
    )
    guard: bool = Field(True, description="Suppress and count hallucinations.")
    max_no_speech_probability: float = Field(
        0.6, gt=0, le=1, description="Above it, with a low log-probability, nothing was said."
    )
    min_average_logprob: float = Field(-1.0, le=0, description="Below it a decode is not trusted.")
    max_compression_ratio: float = Field(2.4, gt=1, description="Above it a text repeats itself.")
    max_chars_per_s: float = Field(
        35, gt=0, description="More text than anybody can say (Latin letters; a third of it for Chinese)."
    )


class UploadSettings(Section):
    """Files that are sent whole, to be transcribed behind everything live."""

    max_uploads: int = Field(4, ge=1, description="Files at the same time; one more is refused (429).")
    max_upload_bytes: int = Field(25 << 20, ge=1024, description="Largest file; a larger one gets 413.")
    max_upload_audio_s: float = Field(7200, gt=0, description="Longest audio in a file; else 400.")
    upload_timeout_s: float = Field(1800, gt=0, description="From first byte to transcript; else 504.")


class WardSettings(Section):
    """Beds and those who watch them."""

    kept_captions: int = Field(200, ge=0, description="Captions per bed that a late viewer gets.")
    max_beds: int = Field(500, ge=1, description="Beds the gateway keeps in memory.")
    max_known_beds: int = Field(
        10_000, ge=1, description="Beds whose captions are numbered; a speaker for one more is refused."
    )
    max_beds_per_viewer: int = Field(64, ge=1, description="Beds one viewer may watch.")
    max_viewer_backlog: int = Field(
        500, ge=10, description="Captions waiting for a slow viewer; beyond that it is closed 1013."
    )
    heartbeat_s: float = Field(2, gt=0, description="A viewer hears something at least so often.")


class JournalSettings(Section):
    """What is kept of what was said."""

    data_dir: str = Field(
        "",
        description="For journal, keys and certificates. Empty: /app/data if there, else "
        "~/.local/share/care-voice.",
    )
    retention_h: float = Field(
        24, ge=0, description="Captions are deleted after so many hours. 0: kept in memory only, no file."
    )
    journal_synchronous: Literal["normal", "full"] = Field(
        "normal", description="full: captions survive a power cut too, at some milliseconds each."
    )
    record_beds: str = Field(
        "", description="Beds (3A, 3*, with commas) whose AUDIO is written to disk. Empty: none, never."
    )
    record_max_minutes: float = Field(60, gt=0, description="Recorded audio kept of each bed.")
    record_retention_h: float = Field(24, gt=0, description="Recorded audio is deleted after so many hours.")


class WyomingSettings(Section):
    """A port for Home Assistant. Its protocol knows no keys: who may speak is known by address."""

    wyoming_port: int = Field(-1, ge=-1, le=65535, description="Usually 10300. -1: none; 0: any free one.")
    wyoming_host: str = Field(
        "127.0.0.1", description="Address to listen on. Beyond loopback: name `wyoming_allow`."
    )
    wyoming_allow: str = Field(
        "", description="Addresses or networks that may speak, with commas. Empty: this machine alone."
    )
    wyoming_bed: str = Field("", description="Bed at which the speakers are heard. Empty: none.")
    wyoming_announce: bool = Field(False, description="Tell the network by mDNS that it is here.")


class LogSettings(Section):
    """What the gateway says of itself. Never transcript text or audio."""

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level that is logged."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="`auto`: console on a terminal, else JSON lines."
    )


class Settings(Section):
    """All of it."""

    server: ServerSettings = ServerSettings()
    access: AccessSettings = AccessSettings()
    tls: TlsSettings = TlsSettings()
    model: ModelSettings = ModelSettings()
    detection: DetectionSettings = DetectionSettings()
    inference: InferenceSettings = InferenceSettings()
    transcript: TranscriptSettings = TranscriptSettings()
    upload: UploadSettings = UploadSettings()
    ward: WardSettings = WardSettings()
    journal: JournalSettings = JournalSettings()
    wyoming: WyomingSettings = WyomingSettings()
    log: LogSettings = LogSettings()
