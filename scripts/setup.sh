#!/bin/sh
# Make a virtual environment from a lock file: setup.sh PYTHON VENV LOCK
set -eu
python=$1 venv=$2 lock=$3

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    say "Care Voice needs Python 3.11 or newer; '$python' is $("$python" --version 2>&1)."
    say "Install a newer one and run: make PYTHON=/path/to/python3 run"
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null && ! [ -x "$venv/bin/python" ]; then
    # Debian and Ubuntu ship venv apart from Python.
    package="python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "Installing $package ..."
        apt-get update -qq && apt-get install -y -qq "$package" >/dev/null
    else
        say "Python's venv module is missing. Install it and try again: sudo apt-get install $package"
        exit 1
    fi
fi
say "Setting up $venv from $lock (the first time takes a minute) ..."
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
# The package itself needs no building here: a path file makes the checkout importable.
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
pwd > "$site/care-voice.pth"
printf '#!/bin/sh\nexec "$(dirname "$0")/python" -m gateway "$@"\n' > "$venv/bin/care-voice"
chmod +x "$venv/bin/care-voice"
