#!/usr/bin/env bash
# Installs the real consumers that `make e2e` lets read Secrets.
set -euo pipefail

missing=()
for program in git curl skopeo; do
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
