#!/bin/sh
# The page tests need Chromium and a Chinese font: install them where that is possible, else say what is skipped.
if command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null; then
    exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing Chromium for the page tests ..." >&2
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        chromium fonts-noto-cjk >/dev/null && exit 0
fi
echo "Chromium is missing and cannot be installed here: the tests in tests/browser will be reported as skipped." >&2
exit 0
