"""Fuzz one target with atheris (coverage-guided, libFuzzer): what a stranger sends must not surprise anybody.

    python -m tests.fuzz.run speaker_message -max_total_time=600 tests/fuzz/corpus/speaker_message

Options are libFuzzer's. What it finds is written to crash-*: put it into the corpus, then mend the code.
"""

import sys

import atheris

with atheris.instrument_imports(include=["gateway", "msgspec", "jwt"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
