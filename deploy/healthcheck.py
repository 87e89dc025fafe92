"""Exit status 0 when the gateway in this container lives. Python's own library only: the image has no curl."""

import http.client
import os
import ssl
import sys

PORT = int(os.environ.get("CARE_VOICE_PORT") or 8001)
TIMEOUT_S = 2.0


def main() -> int:
    """/healthz over HTTP; where the port speaks TLS, over HTTPS, whose name cannot be checked from in here."""
    plain = http.client.HTTPConnection("127.0.0.1", PORT, timeout=TIMEOUT_S)
    context = ssl._create_unverified_context()
    for connection in (plain, http.client.HTTPSConnection("127.0.0.1", PORT, timeout=TIMEOUT_S, context=context)):
        try:
            connection.request("GET", "/healthz")
            return 0 if connection.getresponse().status == 200 else 1
        except (OSError, http.client.HTTPException):
            continue
        finally:
            connection.close()
    return 1


if __name__ == "__main__":
    sys.exit(main())
