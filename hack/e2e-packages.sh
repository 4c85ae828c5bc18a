#!/usr/bin/env bash
# Installs what `make e2e` runs: real consumers of Secrets and real gateways from
# Debian, and an OAuth client library from npm, pinned by its lock file.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

declare -A package=([git]=git [curl]=curl [skopeo]=skopeo [nginx]=nginx [caddy]=caddy [node]=nodejs [npm]=npm)
missing=()
for program in "${!package[@]}"; do
  command -v "$program" >/dev/null || missing+=("${package[$program]}")
done
if [[ ${#missing[@]} -gt 0 ]]; then
  if [[ $EUID -ne 0 ]] || ! command -v apt-get >/dev/null; then
    echo "make e2e needs ${missing[*]}: install them and run it again" >&2
    exit 1
  fi
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends ca-certificates "${missing[@]}"
fi
cd internal/testing/e2e/oauth
if ! cmp -s package-lock.json node_modules/.installed; then
  npm ci --ignore-scripts --no-audit --no-fund --silent
  cp package-lock.json node_modules/.installed
fi
