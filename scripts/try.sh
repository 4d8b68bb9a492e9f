#!/usr/bin/env bash
# The main job, once, on a disk made for it: build, back up, change the disk, back up again, check,
# restore both points, compare every byte. Needs Rust, a C compiler and about 1.2 GiB below TMPDIR; no root.
# Everything but the build lies in a temporary directory that is deleted at the end.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n== %s\n' "$*"; }
run() { printf '$ %s\n' "cofre ${*//$work\//}"; "$cofre" "$@"; }
size() { du -sk --apparent-size "$1" | cut -f1; }

say "Building (the first time takes some minutes)"
cargo build --release --locked --package cofre
cofre=${CARGO_TARGET_DIR:-target}/release/cofre
[[ $cofre == /* ]] || cofre=$PWD/$cofre

work=$(mktemp -d "${TMPDIR:-/tmp}/cofre-try.XXXXXX")
trap 'rm -rf "$work"' EXIT
repository=$work/repository disk=$work/disk.raw secret=$work/secret
umask 077

say "A disk of 1 GiB: 192 MiB of random bytes, as an encrypted disk looks from outside; the rest was never written"
truncate -s 1G "$disk"
head -c 192M /dev/urandom | dd of="$disk" bs=1M seek=100 iflag=fullblock conv=notrunc status=none
cp --sparse=always "$disk" "$work/day1.raw"

say "A secret of 256 random bits, and a repository sealed with it"
od -An -tx1 -N32 /dev/urandom | tr -d ' \n' > "$secret"
run repo init "$repository" --secret-file "$secret"

say "The first backup reads what is there"
run repo ingest "$repository" --secret-file "$secret" --name web1 --disk os="$disk" --tag day1
first=$(size "$repository")

say "The next day 3 MiB have changed, and a hypervisor's dirty bitmap says where: only that is read"
head -c 3M /dev/urandom | dd of="$disk" bs=1M seek=150 iflag=fullblock conv=notrunc status=none
echo '[{"start": 157286400, "length": 3145728}]' > "$work/changed.json"
run repo ingest "$repository" --secret-file "$secret" --name web1 --disk os="$disk" \
    --changed os="$work/changed.json" --tag day2
echo "The repository grew from $first KiB by $(($(size "$repository") - first)) KiB."

say "The recovery points"
run repo points "$repository" --secret-file "$secret"

say "A check that opens every stored byte"
run repo check "$repository" --secret-file "$secret" --read-data

say "Both days come back"
run repo restore "$repository" --secret-file "$secret" tag:day1 --disk os --to "$work/restored1.raw"
cmp "$work/day1.raw" "$work/restored1.raw"
run repo restore "$repository" --secret-file "$secret" latest --disk os --to "$work/restored2.raw"
cmp "$disk" "$work/restored2.raw"
echo "Both restored disks equal their originals, byte for byte."

if command -v restic > /dev/null; then
    say "And without cofre: restic reads the latest point"
    export RESTIC_CACHE_DIR=$work/cache
    restic -q -r "$repository" --password-file "$secret" dump -a tar latest /disks/0-os/extents |
        tar -xO | dd conv=sparse of="$work/wayout.raw" bs=64k iflag=fullblock status=none
    cmp "$disk" "$work/wayout.raw"
    echo "restic's copy equals the original, byte for byte."
fi
