//! Is an image held for writing by a running QEMU?
//!
//! QEMU says what it does with an image file by read locks on single bytes (open file description
//! locks, so that they belong to the open file and not to the process): byte 100 + n means "I use
//! permission n", byte 200 + n means "nobody else may use permission n". Asking with `F_OFD_GETLK`
//! takes nothing, so a backup never keeps a virtual machine from starting; that the answer is asked
//! again after the last read, together with the modification time, closes the gap.

use std::{fs::File, path::Path};

use nix::{
    fcntl::{FcntlArg, fcntl},
    libc,
};

use crate::error::{DiskError, ErrorKind};

/// First of the bytes that say which permissions are in use.
const USED_BASE: i64 = 100;
/// First of the bytes that say which permissions are not granted to others.
const DENIED_BASE: i64 = 200;
/// QEMU's permission numbers: reading data that makes sense.
const CONSISTENT_READ: i64 = 0;
/// Writing what the guest sees.
const WRITE: i64 = 1;
/// Changing the size.
const RESIZE: i64 = 3;

/// Refuses an image that another open file description writes or keeps others from reading.
///
/// File systems that know no such locks (some network ones) answer with an error; then nothing can be
/// told and the image counts as free.
pub(crate) fn refuse_if_in_use(file: &File, path: &Path) -> Result<(), DiskError> {
    let questions = [
        (USED_BASE + WRITE, "is writing to it"),
        (USED_BASE + RESIZE, "may change its size"),
        (DENIED_BASE + CONSISTENT_READ, "does not allow others to read it"),
    ];
    for (byte, what) in questions {
        if is_locked(file, byte) {
            let message = format!(
                "{} is in use: another process (a running QEMU, probably) {what}; stop the virtual \
                 machine, or back it up through the driver that runs it",
                path.display()
            );
            return Err(DiskError::new(ErrorKind::InUse, message));
        }
    }
    Ok(())
}

fn is_locked(file: &File, byte: i64) -> bool {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "small constants, of a type the system chose too large"
    )]
    let mut lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: byte,
        l_len: 1,
        l_pid: 0,
    };
    let asked = fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock));
    asked.is_ok() && i32::from(lock.l_type) != libc::F_UNLCK
}
