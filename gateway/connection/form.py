"""shell: a multipart form with one file in it, read part by part into bounded memory, never onto a disk."""

import asyncio
from dataclasses import dataclass, field

from aiohttp import BodyPartReader, ClientPayloadError, web
from aiohttp.http import HttpProcessingError

from gateway.upload.failure import UploadFailed

FILE = "file"
BLOCK_BYTES = 1 << 16
MAX_PARTS = 1000
MAX_FIELD_BYTES = 1 << 16
"""All fields together, the file left out."""
LEAST_BYTES_PER_S = 1 << 14
"""Of a whole form, after a grace of GRACE times the longest pause: a place is not held by a trickle."""
GRACE = 6
NOT_A_FORM = "Send multipart/form-data with the audio as `file`."


@dataclass(slots=True)
class Form:
    fields: dict[str, list[str]] = field(default_factory=dict)
    """Brackets at the end of a name are left out."""
    file: bytearray | None = None


class Pace:
    """How long the next bytes may take."""

    def __init__(self, timeout_s: float) -> None:
        self.received = 0
        self._timeout_s = timeout_s
        self._begun = asyncio.get_running_loop().time()

    def wait(self) -> asyncio.Timeout:
        """Raises TimeoutError when it is over: a pause too long, or the whole too slow."""
        slowest_s = GRACE * self._timeout_s + self.received / LEAST_BYTES_PER_S
        now = asyncio.get_running_loop().time()
        return asyncio.timeout_at(min(now + self._timeout_s, self._begun + slowest_s))


async def read_form(request: web.Request, max_file_bytes: int, timeout_s: float) -> Form:
    """The whole form. Raises UploadFailed: 400, 408 (nothing came for `timeout_s`), 413, 415."""
    if request.content_type != "multipart/form-data":
        raise UploadFailed(415, "unsupported_media_type", NOT_A_FORM)
    if (request.content_length or 0) > max_file_bytes + MAX_FIELD_BYTES:
        raise _too_big(max_file_bytes)
    form, pace = Form(), Pace(timeout_s)
    try:
        parts = await request.multipart()
        for _ in range(MAX_PARTS):
            async with pace.wait():
                part = await parts.next()
            if part is None:
                return form
            if isinstance(part, BodyPartReader):
                await _take(part, form, max_file_bytes, pace)
    except TimeoutError:
        raise UploadFailed(408, "timeout", "The file did not come in time. Send it again.") from None
    except (ValueError, AssertionError, RuntimeError, HttpProcessingError, ClientPayloadError):
        raise UploadFailed(400, "bad_form", f"The form cannot be read. {NOT_A_FORM}") from None
    raise UploadFailed(400, "bad_form", f"The form has more than {MAX_PARTS} parts.")


async def _take(part: BodyPartReader, form: Form, max_file_bytes: int, pace: Pace) -> None:
    name = (part.name or "").removesuffix("[]")
    if name == FILE and form.file is None:
        form.file = await _read(part, max_file_bytes, pace, _too_big(max_file_bytes))
        return
    used = sum(len(value) for values in form.fields.values() for value in values)
    too_much = UploadFailed(413, "form_too_large", f"The fields are above {MAX_FIELD_BYTES} bytes.")
    value = await _read(part, MAX_FIELD_BYTES - used, pace, too_much)
    form.fields.setdefault(name, []).append(value.decode(errors="replace"))


async def _read(part: BodyPartReader, most: int, pace: Pace, too_much: UploadFailed) -> bytearray:
    data = bytearray()
    while True:
        async with pace.wait():
            block = await part.read_chunk(BLOCK_BYTES)
        pace.received += len(block)
        if not block:
            return data
        data += block
        if len(data) > most:
            raise too_much


def _too_big(max_file_bytes: int) -> UploadFailed:
    message = f"The file is above {max_file_bytes} bytes (max_upload_bytes). Send it in parts, or compressed."
    return UploadFailed(413, "file_too_large", message, FILE)
