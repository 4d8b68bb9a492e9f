//! What stands below the options in `--help`: examples, and what an exit code means there.

pub(crate) const EXIT_CODES: &str = "Exit codes: 0 ok, 1 failed, 2 usage, 3 finished with warnings, 10 no repository, \
11 locked, 12 wrong secret, 20 damage found, 21 refused by a rule, 130 interrupted";

pub(crate) const INIT: &str = "Examples:
  openssl rand -hex 32 > secret    # keep a copy elsewhere: without it nothing can be restored
  cofre repo init /srv/backup --secret-file secret";

pub(crate) const INGEST: &str = "The format of an image is never guessed from its bytes, which the guest can write.

Exit code 3: the point is made, and something was printed as `warning:` (damage in the repository, a
point that cannot be read) that deserves attention.

Examples:
  cofre repo ingest /srv/backup --secret-file secret --name web1 --disk os=/vm/web1.qcow2 --disk data=/dev/vg/web1
  cofre repo ingest /srv/backup --secret-file secret --name web1 --disk os=web1.raw --changed os=dirty.json
  with dirty.json: [{\"start\": 1048576, \"length\": 65536}]";

pub(crate) const POINTS: &str = "Exit code 3: the list is there, but some points cannot be read.

Example:
  cofre repo points /srv/backup --secret-file secret --json | jq -r '.points[-1].id'";

pub(crate) const RESTORE: &str = "Every byte is verified. The file is readable by its owner only.

Examples:
  cofre repo restore /srv/backup --secret-file secret latest --disk os --to os.raw
  cofre repo restore /srv/backup --secret-file secret tag:before-upgrade --name web1 --disk os --to os.vhd --format vhd";

pub(crate) const CHECK: &str =
    "Without --read-data the structure and every pack's digest are checked. Exit code 20: damage was found.

Example:
  cofre repo check /srv/backup --secret-file secret --read-data";

pub(crate) const FORGET: &str = "Either all of the points are deleted or none.

Example:
  cofre repo forget /srv/backup --secret-file secret 3f2a91c07d5b tag:before-upgrade";

pub(crate) const PRUNE: &str =
    "Prune first marks what no point needs, then deletes what was marked at least --grace ago, when nobody
works who may still need it. Packs that wait are no failure: the next prune deletes them.

Example:
  cofre repo prune /srv/backup --secret-file secret --grace 7d";

pub(crate) const INSPECT: &str = "Example:
  cofre disk inspect /vm/web1.raw";

pub(crate) const PROVE: &str = "The header is read by a process of its own that can open no file and no connection, with at most 1 GiB of
memory for Argon2 and two minutes of time.

Exit codes: 0 the key opens the disk, 12 it does not, 20 the header is damaged, 21 to try would cost
too much, or the encryption is not supported.

Examples:
  cofre disk prove /vm/web1.raw --key-file web1.key
  cofre disk prove /vm/web1.raw --key-file web1.key --header web1.header --json";
