"""core: stub"""

from gateway.loadtest.results import Document


def render(document: Document) -> bytes:
    return b""
