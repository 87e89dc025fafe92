#!/bin/sh
# System packages that some tests need: installed where that is possible, else the tests say by name what they skip.
missing=""
command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null \
    || missing="$missing chromium fonts-noto-cjk" # the pages
command -v ip >/dev/null || missing="$missing iproute2" # networks to pull the cable of
command -v nft >/dev/null || missing="$missing nftables" # lost packets
command -v faketime >/dev/null || missing="$missing faketime" # clocks that jump
[ -z "$missing" ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing for the tests:$missing ..." >&2
    # shellcheck disable=SC2086 # a list of packages
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        $missing >/dev/null && exit 0
fi
echo "Missing, and cannot be installed here:$missing. The tests that need them will be reported as skipped." >&2
exit 0
