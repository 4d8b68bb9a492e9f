//! Alone in its process, because it looks at the memory of the whole process.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::thread;

use cofre_fde::{Limits, luks};
use support::{FIRST, fixture, peak_memory_kib, with_json};

/// Eight threads, 64 MiB each: together they never hold more than one of them needs.
#[test]
fn argon2_runs_one_at_a_time() {
    const MEMORY_KIB: u64 = 64 << 10;
    let image = with_json(fixture("luks2-xts-4096.hdr"), |json| {
        json["keyslots"]["0"]["kdf"]["memory"] = MEMORY_KIB.into();
        json["keyslots"]["0"]["kdf"]["time"] = 1.into();
    });
    let Some(before) = peak_memory_kib() else {
        eprintln!("passed over: this system does not say how much memory a process held");
        return;
    };
    thread::scope(|scope| {
        for _ in 0..8 {
            // The cost was changed, so the key that comes out is another: it is derived all the same.
            scope.spawn(|| luks::unlock(&image, FIRST, &Limits::default()).unwrap_err());
        }
    });
    let grown = peak_memory_kib().unwrap() - before;
    assert!((MEMORY_KIB..MEMORY_KIB + (32 << 10)).contains(&grown), "{grown} KiB");
}
