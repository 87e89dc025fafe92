"""Exit status 0 when the gateway in this container lives. Python's own library only: there is no curl."""

import http.client
import os
import ssl
import sys

PORT = int(os.environ.get("CARE_VOICE_PORT") or 8001)
TIMEOUT_S = 2.0


def main() -> int:
    """/healthz by HTTP, or by HTTPS if the port speaks that; its certificate need not name 127.0.0.1."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for connection in (
        http.client.HTTPConnection("127.0.0.1", PORT, timeout=TIMEOUT_S),
        http.client.HTTPSConnection("127.0.0.1", PORT, timeout=TIMEOUT_S, context=context),
    ):
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
