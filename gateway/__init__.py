"""Care Voice: a real-time speech gateway.

The folders, sorted by name, are the path of a sound; each file is a core (pure: time is an argument,
effects are returned) or a shell (does I/O, decides nothing).

    client/       the other end: a bedside device that streams to a gateway
    commands/     the command line, one file per subcommand
    connection/   one client, from its first byte to its last caption
    detection/    where the speech is: bytes -> frames -> utterances -> log-mel snapshots
    inference/    one accelerator, shared by everybody: jobs -> batches -> hypotheses
    transcript/   what may be shown: hypotheses -> stable and tentative text
    ward/         who reads it: beds, viewers, captions
    app.py        the one place that knows all parts: build, warm up, ready, drain, stop
    chronicle.py  from a session's records to the journal, and from there to viewers and back
    doors.py      where clients come in; discovery.py: how Home Assistant finds its own
    config.py     every setting, once: flag = environment = TOML key
    events.py     the vocabulary between the stages
    metrics.py    what is counted; vitals.py: how the gateway is; logs.py: what it says
    overload.py   the overload contract: slower partials, none, no new speakers
    roster.py     who speaks now
    tapping.py    the audio of beds that an operator records
    tls.py        certificates; local_ca.py makes them

The life of a sound: websocket -> protocol codec -> Session.receive(message, now) -> Hearing, Listener ->
Snapshot -> Batcher -> worker process -> Hypothesis, by (session, utterance, revision) so that a stale
answer is ignored -> Captioner -> partials at once; finals as Record -> journal -> viewers, speaker, ack.
"""

__version__ = "0.1.0"
