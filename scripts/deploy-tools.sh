#!/bin/sh
# The tools that check deploy/ and run its container: deploy-tools.sh PYTHON DIR
#
# Checkers go into DIR and touch nothing else; podman and what it needs are installed as Debian packages where they
# are missing and where that is possible. What cannot be had is named, and its tests are skipped by name.
set -eu
python=$1 dir=$2
here=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }

if [ "$here/tests/deploy/tools.lock" -nt "$dir/venv/.done" ]; then
    say "Installing the checkers of tests/deploy/tools.lock ..."
    [ -x "$dir/venv/bin/python" ] || "$python" -m venv "$dir/venv"
    "$dir/venv/bin/pip" install -q --disable-pip-version-check --require-hashes -r "$here/tests/deploy/tools.lock"
    touch "$dir/venv/.done"
fi

if command -v npm >/dev/null && [ "$here/tests/deploy/node/package-lock.json" -nt "$dir/node/.done" ]; then
    say "Installing the schema of the Prometheus operator ..."
    mkdir -p "$dir/node"
    cp "$here"/tests/deploy/node/*.json "$here"/tests/deploy/node/*.mjs "$here/tests/deploy/node/.npmrc" "$dir/node/"
    (cd "$dir/node" && npm ci --silent --no-fund --no-audit && touch .done)
fi

if ! command -v apt-get >/dev/null; then
    say "No apt-get: promtool, nginx, kubectl, quadlet and podman are looked for on this machine only."
    exit 0
fi

# Unpack Debian packages into DIR/root: no service is started, no file of the system changes.
unpack() {
    debs=$(mktemp -d)
    if (cd "$debs" && apt-get $apt download -qq "$@" >/dev/null 2>&1); then
        for deb in "$debs"/*.deb; do dpkg -x "$deb" "$dir/root"; done
    else
        say "Cannot be downloaded: $*"
    fi
    rm -rf "$debs"
}

have() { command -v "$1" >/dev/null || [ -x "$dir/root/$2" ]; }

apt=""
wanted=""
have promtool usr/bin/promtool || wanted="$wanted prometheus"
have nginx usr/sbin/nginx || wanted="$wanted nginx"
if [ -n "$wanted" ]; then
    say "Unpacking$wanted ..."
    [ "$(id -u)" != 0 ] || apt-get update -qq
    # shellcheck disable=SC2086 # a list of packages
    unpack $wanted
fi

# quadlet (podman 5), docker-compose 2 and a kubectl that knows components are in Debian 13; they run on 12 too.
wanted=""
[ -x "$dir/root/usr/libexec/docker/cli-plugins/docker-compose" ] || wanted="$wanted docker-compose"
[ -x /usr/libexec/podman/quadlet ] || [ -x /usr/lib/podman/quadlet ] || [ -x "$dir/root/usr/libexec/podman/quadlet" ] \
    || wanted="$wanted podman"
have kubectl usr/bin/kubectl || wanted="$wanted kubernetes-client"
if [ -n "$wanted" ]; then
    say "Unpacking$wanted of Debian 13 ..."
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | head -n1)
    lists="$dir/trixie"
    mkdir -p "$lists/lists/partial" "$lists/cache/archives/partial"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" > "$lists/sources.list"
    apt="-o Dir::Etc::SourceList=$lists/sources.list -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists=$lists/lists"
    apt="$apt -o Dir::Cache=$lists/cache -o Dir::State::status=/dev/null"
    # shellcheck disable=SC2086 # options, and a list of packages
    if apt-get $apt update -qq >/dev/null 2>&1; then unpack $wanted; else say "Debian 13 is not reached:$wanted"; fi
    rm -rf "$lists"
fi

wanted=""
for pair in podman:podman runc:runc mmdebstrap:mmdebstrap iptables:iptables; do
    command -v "${pair%%:*}" >/dev/null || wanted="$wanted ${pair##*:}"
done
[ -x /usr/lib/podman/netavark ] || [ -x /usr/libexec/podman/netavark ] || wanted="$wanted netavark aardvark-dns"
[ -z "$wanted" ] && exit 0
if [ "$(id -u)" = 0 ]; then
    say "Installing for the container test:$wanted ..."
    # shellcheck disable=SC2086 # a list of packages
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        $wanted catatonit golang-github-containers-common >/dev/null && exit 0
fi
say "Missing, and cannot be installed here:$wanted. make container-test needs them."
