"""What the microphone page decides: ring.js, outbox.js and microphone.js, run by the browser that will run them."""

from pathlib import Path

import pytest
from playwright.async_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]
HERE = Path(__file__).parent

# Runs [method, argument ...] on a ring of 10 samples; what `take` gave is listed, sound as its samples.
RING = """(() => { const ring = new m.Ring(10); const out = [];
  for (const [name, ...args] of x) {
    const done = name === "push" ? ring.push(Int16Array.from(args[0])) : ring[name](...args);
    if (name === "take") out.push(done instanceof Int16Array ? Array.from(done) : done); }
  return {out, lost: ring.lostSamples, start: ring.start, end: ring.end, committed: ring.committed}; })()"""

# An outbox of 100 samples/s; each step is [method, arguments ...] and its answer is listed.
OUTBOX = """(() => { const box = new m.Outbox({type: "start", audio: {sample_rate: 100}}, 20); const out = [];
  for (const [name, ...args] of x) {
    const done = name === "push" ? box.push(new Int16Array(args[0])) : box[name](...args);
    out.push(done instanceof Int16Array ? done.length : done ?? null); }
  return out; })()"""
STARTED = {"type": "started", "session": "s", "token": "t", "resume_from": 0, "demo": False}


def opened(now: float, **started: object) -> list[list]:
    return [["connecting", now], ["opened", now], ["receive", STARTED | started, now]]


async def test_every_sample_is_heard_or_declared_whatever_happens(blank: Page) -> None:
    """200 random lives with cuts, dead links and restarts: no hole, no gap while the ring had room, each final once."""
    told = await blank.evaluate((HERE / "outbox_model.js").read_text(), 200)
    assert told.get("runs") == 200, told
    assert min(told.values()) > 50, told


async def test_the_ring_forgets_what_is_committed_and_nothing_else(js) -> None:
    """Sound is sent once, again after a rewind, and not any more once it is final."""
    steps = [
        ["push", [1, 2, 3]],
        ["push", [4, 5]],
        ["take"],
        ["take"],
        ["take"],
        ["commit", 4],
        ["rewind", 4],
        ["take"],
    ]
    ring = await js("ring.js", RING, steps)
    assert ring["out"] == [[1, 2, 3], [4, 5], None, [5]]
    assert (ring["start"], ring["committed"], ring["lost"]) == (3, 4, 0)


async def test_unsent_sound_cannot_be_committed(js) -> None:
    """A gateway that acknowledges too much does not make the page forget."""
    ring = await js("ring.js", RING, [["push", [1, 2]], ["commit", 2], ["take"]])
    assert (ring["committed"], ring["out"]) == (0, [[1, 2]])


async def test_an_overflow_is_declared_before_what_follows_it(js) -> None:
    """The oldest goes; its place is told when it would have been sent; told again, it is no other loss."""
    steps = [["push", [1] * 6], ["push", [2] * 6], ["take"], ["take"], ["rewind", 0], ["take"]]
    ring = await js("ring.js", RING, steps)
    gap = {"type": "gap", "samples": 6}
    assert ring["out"] == [gap, [2] * 6, gap]
    assert ring["lost"] == 6


async def test_what_was_never_recorded_is_a_gap_in_its_place(js) -> None:
    """It takes no room in the ring."""
    ring = await js(
        "ring.js", RING, [["push", [1]], ["skip", 50], ["push", [2]], ["take"], ["take"], ["take"]]
    )
    assert ring["out"] == [[1], {"type": "gap", "samples": 50}, [2]]
    assert (ring["lost"], ring["end"]) == (50, 52)


async def test_a_session_is_continued_with_its_token_and_its_last_final(js) -> None:
    """From where the gateway says; finals that come again are not told again."""
    final = {"type": "final", "number": 1, "start": 0.5}
    steps = [["push", 50], *opened(0), ["take", 0, 0], ["receive", final, 10], ["closed", 1006, "", 20, 0.5],
             *opened(30, resume_from=30), ["receive", final, 40], ["take", 50, 0]]  # fmt: skip
    out = await js("outbox.js", OUTBOX, steps)
    assert out[2] == {"type": "start", "audio": {"sample_rate": 100}}
    assert (out[4], out[5]) == (50, [final | {"agoS": 0}])
    assert out[8]["resume"] == {"session": "s", "token": "t", "after": 1}
    assert out[10:] == [[], 20]


async def test_a_forgotten_session_begins_anew_with_what_is_not_final(js) -> None:
    """4410: a start without `resume`; everything since the last commit is sent again."""
    ack = {"type": "ack", "received": 50, "committed": 20}
    steps = [["push", 50], *opened(0), ["take", 0, 0], ["receive", ack, 10], ["closed", 4410, "", 20, 0],
             *opened(30), ["take", 40, 0]]  # fmt: skip
    out = await js("outbox.js", OUTBOX, steps)
    assert out[6] == {"type": "retry", "delayMs": 100, "opened": True}
    assert "resume" not in out[8]
    assert out[10] == 30


async def test_another_login_begins_a_session_of_its_own(js) -> None:
    """A session belongs to the key that began it, the sound to this page: nothing is lost by a new key."""
    error = {"type": "error", "code": "resume_forbidden", "message": "no", "fatal": True}
    steps = [["push", 50], *opened(0), ["take", 0, 0], ["closed", 4401, "", 10, 0], ["connecting", 20],
             ["opened", 20], ["receive", error, 30], ["closed", 4403, "", 30, 0], ["connecting", 40], ["opened", 40]]  # fmt: skip
    out = await js("outbox.js", OUTBOX, steps)
    assert (out[5]["type"], out[9]["type"]) == ("login", "retry")
    assert ("resume" in out[7], "resume" in out[11]) == (True, False)


async def test_what_was_kept_is_sent_at_four_times_its_pace(js) -> None:
    """One second at once, then 4 s of sound a second; nothing into a full buffer of the browser."""
    chunks = [["push", 10]] * 200
    steps = [*chunks, *opened(0), *([["take", 0, 0]] * 20), *([["take", 1000, 0]] * 60), ["take", 2000, 500]]
    out = await js("outbox.js", OUTBOX, steps)
    assert [out[203:223].count(10), out[223:283].count(10), out[-1]] == [10, 10, None]
    steady = [["take", 100 * i, 0] for i in range(20) for _ in range(8)]
    out = await js("outbox.js", OUTBOX, [*([["push", 10]] * 200), *opened(0), *steady])
    assert sum(n or 0 for n in out[203:]) == 100 + 4 * 190


async def test_a_link_without_answer_is_asked_and_then_given_up(js) -> None:
    """Five seconds of silence; any answer counts; a connection that does not open gets eight."""
    steps = [*opened(0), ["check", 2400], ["check", 2600], ["check", 2700], ["receive", {"type": "pong"}, 2800],
             ["check", 5400], ["check", 7800], ["closed", 1006, "", 7800, 0], ["check", 99_000],
             ["connecting", 100_000], ["check", 107_000], ["check", 108_000]]  # fmt: skip
    out = await js("outbox.js", OUTBOX, steps)
    assert [out[i] for i in (3, 4, 5, 7, 8, 10, 12, 13)] == [
        None,
        "ping",
        None,
        "ping",
        "dead",
        None,
        None,
        "dead",
    ]


async def test_stop_sends_the_rest_and_waits_for_the_last_word(js) -> None:
    """`stop` comes after all sound; without progress for ten seconds it is given up."""
    steps = [["push", 50], *opened(0), ["stop", 0], ["push", 50], ["take", 0, 0], ["take", 0, 0], ["take", 0, 0],
             ["check", 2000], ["check", 10_000]]  # fmt: skip
    out = await js("outbox.js", OUTBOX, steps)
    assert out[6:] == [50, {"type": "stop"}, None, None, "finish"]
    steps[-2:] = [["receive", {"type": "stopped", "received": 50, "finals": 0}, 100], ["check", 100]]
    assert (await js("outbox.js", OUTBOX, steps))[-1] == "finish"


async def test_a_gateway_that_stops_by_itself_is_not_the_end(js) -> None:
    """`stopped` without a stop (it drains) and close 1001: come back."""
    steps = [*opened(0), ["receive", {"type": "stopped", "received": 0, "finals": 0}, 5], ["check", 6],
             ["closed", 1001, "", 7, 0]]  # fmt: skip
    out = await js("outbox.js", OUTBOX, steps)
    assert out[4] is None
    assert out[5]["type"] == "retry"


async def test_waits_grow_and_a_link_that_held_begins_again(js) -> None:
    """Full jitter up to 0.25, 0.5, 1, 2, 5 s; ten good seconds count as well again."""
    failures = [step for i in range(6) for step in (["connecting", i], ["closed", 1006, "", i, 1])]
    out = await js("outbox.js", OUTBOX, failures + opened(10) + [["closed", 1006, "", 10_010, 1]])
    assert [step["delayMs"] for step in out[1:12:2]] == [350, 600, 1100, 2100, 5100, 5100]
    assert out[-1]["delayMs"] == 350


async def test_close_codes_mean_retry_unless_retrying_is_useless(js) -> None:
    """Those whom a login helps are told so; a microphone that goes on elsewhere is left alone."""
    codes = [1000, 1001, 1006, 1012, 1013, 4408, 4410, 4429, 1008, 1009, 4401, 4403, 4409]
    meanings = await js("outbox.js", "x.map(m.closeMeaning)", codes)
    assert meanings == ["retry"] * 8 + ["refused"] * 2 + ["login", "forbidden", "superseded"]


async def test_a_refusal_carries_the_gateways_words(js) -> None:
    """The error before the close, not the code alone."""
    error = {"type": "error", "code": "bad_bed", "message": "no", "fatal": True}
    out = await js("outbox.js", OUTBOX, [*opened(0), ["receive", error, 1], ["closed", 1008, "", 1, 0]])
    assert out[-1] == {"type": "refused", "code": "bad_bed", "message": "no"}


async def test_the_page_is_told_how_far_behind_it_is(js) -> None:
    """Seconds unsent and lost; a ring that overflows says so."""
    steps = [
        *([["push", 100]] * 10),
        ["status"],
        *([["push", 100]] * 15),
        ["status"],
        *opened(0),
        ["take", 0, 0],
        ["status"],
    ]
    out = await js("outbox.js", OUTBOX, steps)
    assert out[10] == {"ready": False, "behind": True, "unsentS": 10, "lostS": 0, "full": False}
    assert out[26] == {"ready": False, "behind": True, "unsentS": 20, "lostS": 5, "full": True}
    assert out[-1] == {"ready": True, "behind": True, "unsentS": 20, "lostS": 5, "full": False}


async def test_level_is_zero_at_silence_and_one_at_full_scale(js) -> None:
    """In decibels, so that a quiet voice is seen."""
    assert await js("microphone.js", "[0, 0.001, 1, 2].map(m.meterLevel)") == pytest.approx([0, 0, 1, 1])
    assert await js("microphone.js", "m.meterLevel(0.1)") == pytest.approx(2 / 3)


async def test_every_microphone_failure_has_its_advice(js) -> None:
    """Denied, missing, busy and unknown say what to do next."""
    names = ["NotAllowedError", "NotFoundError", "NotReadableError", "SomethingNew"]
    keys = await js("microphone.js", "x.map(m.failureText)", names)
    assert keys == ["mic_denied_help", "mic_missing_help", "mic_busy_help", "mic_failed_help"]


async def test_a_notice_stands_until_its_end_is_told(js) -> None:
    """Of each subject the newest; every notice of the gateway has words in both languages."""
    codes = [
        "journal_failing",
        "degraded_slower",
        "degraded_finals_only",
        "journal_ok",
        "decode_failed",
        "new_one",
    ]
    standing = "x.map((c) => ({code: c, detail: c})).reduce(m.noticesAfter, []).map((n) => n.code)"
    assert await js("microphone.js", standing, codes) == ["degraded_finals_only", "new_one"]
    keys = await js(
        "microphone.js", "x.map(m.noticeText)", [*codes[:3], "engine_restarting", "going_away", "new_one"]
    )
    texts = await js("i18n.js", "m.TEXTS.en")
    assert set(keys) <= texts.keys()
    assert keys[-1] == "notice"


async def test_a_device_that_slept_is_noticed_and_a_slow_one_is_not(js) -> None:
    """Wall time without samples is missing sound; samples that come late are not, nor clocks that drift."""
    hear = "(() => { const p = new m.Pauses(); return x.map((at) => p.missingAt(at, 0.08)).reduce((a, b) => a + b, 0); })()"
    steady = [80 * i for i in range(100)]
    slept = steady + [steady[-1] + 30_000 + 80 * i for i in range(1, 30)]
    late = (
        steady
        + [steady[-1] + 3000 + i for i in range(37)]
        + [steady[-1] + 3000 + 80 * i for i in range(1, 50)]
    )
    drifting = [80.01 * i for i in range(100_000)]
    assert await js("microphone.js", hear, slept) == pytest.approx(30, abs=0.5)
    assert await js("microphone.js", hear, late) == 0
    assert await js("microphone.js", hear, drifting) == 0
