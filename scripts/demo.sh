#!/usr/bin/env bash
# Builds cofre and plays its whole story on a disk made for it (`cofre demo`): backup, loss of the keys, restore, keys
# back, every byte compared. Needs Rust, a C compiler and e2fsprogs; no root, no network but for crates, nothing is left.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:/usr/sbin:/sbin:${CARGO_HOME:-$HOME/.cargo}/bin"

missing=0
# need COMMAND WHERE: says what is missing and where it comes from.
need() {
    command -v "$1" > /dev/null && return
    echo "missing: $1 ($2)" >&2
    missing=1
}
need cargo "https://rustup.rs"
need cc "Debian package gcc"
need mkfs.ext4 "Debian package e2fsprogs"
need debugfs "Debian package e2fsprogs"
((missing == 0)) || exit 1

echo "Building (the first time takes some minutes)"
cargo build --release --locked --package cofre
exec "${CARGO_TARGET_DIR:-target}/release/cofre" demo "$@"
