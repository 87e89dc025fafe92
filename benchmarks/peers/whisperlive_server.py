"""shell: WhisperLive's server as its own start script sets it up, but that it turns nobody away.

Run by the interpreter of its environment: python whisperlive_server.py PORT MODEL_DIRECTORY (single | batch)
"""

import importlib
import sys

MANY = 10_000


def main() -> None:
    port, model, mode = sys.argv[1:]
    server = importlib.import_module("whisper_live.server").TranscriptionServer()
    server.run(
        "127.0.0.1", port=int(port), backend="faster_whisper", faster_whisper_custom_model_path=model,
        single_model=True, max_clients=MANY, max_connection_time=MANY, batch_enabled=mode == "batch",
        batch_max_admissions_per_s=float(MANY), batch_max_queue_wait_s=float(MANY),
    )  # fmt: skip


if __name__ == "__main__":
    main()
