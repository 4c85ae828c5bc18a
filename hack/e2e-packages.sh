#!/usr/bin/env bash
# Installs what `make e2e` runs: real consumers of Secrets, and real gateways.
set -euo pipefail

missing=()
for program in git curl skopeo nginx caddy; do
  command -v "$program" >/dev/null || missing+=("$program")
done
if [[ ${#missing[@]} -eq 0 ]]; then
  exit 0
fi
if [[ $EUID -ne 0 ]] || ! command -v apt-get >/dev/null; then
  echo "make e2e needs ${missing[*]}: install them and run it again" >&2
  exit 1
fi
apt-get update -qq
apt-get install -y -qq --no-install-recommends ca-certificates "${missing[@]}"
