#!/usr/bin/env bash
# Runs oncetask and its peers in turns and writes RESULTS.md: some 15 minutes after the build; `--quick` is a look of three.
# --rounds N, --tasks N, --seconds S (a peer's measurement is cut off), --minutes M (no measurement begins later), --out FILE.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# Builds the programs of a folder, and says where they are.
build() {
    local folder=$1
    shift
    (cd "$folder" && cargo build --release --locked "$@" >&2)
    (cd "$folder" && cargo metadata --format-version 1 --no-deps --locked) |
        sed -n 's/.*"target_directory":"\([^"]*\)".*/\1\/release/p'
}

ours=$(build "$here" -p benches)
effectum=$(build "$here/peers/effectum")
peers=$(build "$here/peers")
exec "$peers/compare" --ours "$ours/benches" --effectum "$effectum/effectum" --out "$here/RESULTS.md" "$@"
