#!/usr/bin/env bash
# Runs oncetask and its peers alternately and writes RESULTS.md. Takes about 15 minutes after the build; with `--quick` about three.
# Options: --rounds N, --tasks N, --seconds S (the time limit of a peer's measurement), --minutes M (no measurement begins
# later), --out FILE.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# Builds the programs of a folder and prints the folder that contains them.
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
