"""core: where a reader of server-sent events stands, as the text of an event's `id`.

`epoch;bed=number;bed=number`: browsers give it back as Last-Event-ID. Bed names are percent-encoded.
"""

from urllib.parse import quote, unquote


def encode(epoch: str, numbers: dict[str, int]) -> str:
    """The last caption seen of each bed."""
    return ";".join([epoch, *(f"{quote(bed, safe='')}={number}" for bed, number in numbers.items())])


def decode(text: str) -> tuple[str, dict[str, int]]:
    """Epoch and numbers; of a text that is no cursor, an empty epoch and no numbers."""
    epoch, *pairs = text.split(";")
    numbers = {}
    for pair in pairs:
        bed, _, number = pair.partition("=")
        if not (bed and number.isascii() and number.isdigit() and len(number) < 16):
            return "", {}
        numbers[unquote(bed)] = int(number)
    return epoch, numbers
