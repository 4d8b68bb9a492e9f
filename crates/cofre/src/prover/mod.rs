//! Proves that a secret opens an encryption header, in a process of its own.
//!
//! Headers come from disks that a guest wrote, and deriving a key takes as much memory and time as
//! the header asks for. So the program starts itself again as a *child* that can do nothing but
//! compute: no files, no network, no other processes, a fixed amount of memory and time. It reads one
//! question, writes one answer, and ends. Whatever a hostile header does to it, the process that holds
//! repositories and keys goes on.
//!
//! `wire` is what is said between the two, `sandbox` what the child may do, `child` the child.

mod child;
mod sandbox;
mod supervise;
mod wire;

use std::{
    ffi::OsString,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use cofre_fde::Limits;
use cofre_repo::Cancel;

use self::wire::Request;

/// Longest header that is looked at, in bytes: two copies and a dozen keyslots.
pub(crate) const MAX_HEADER: usize = 4 << 20;
/// Longest secret, in bytes.
pub(crate) const MAX_SECRET: usize = 64 << 10;
/// The argument that makes the program the child. It is no command: it stands in no help and no
/// completion, and is looked at before the command line is parsed.
const CHILD: &str = "internal-prove";
/// How long a proof may take by default. The costliest one that the limits allow takes about half.
const PATIENCE: Duration = Duration::from_secs(120);

/// Whether the program was started as the child.
pub(crate) fn is_child(mut args: impl Iterator<Item = OsString>) -> bool {
    args.nth(1).is_some_and(|first| first == CHILD) && args.next().is_none()
}

/// The whole life of the child.
pub(crate) fn run_child() -> ExitCode {
    child::run()
}

/// What came out of a proof. Texts are for people and hold no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ProverAnswer {
    /// The secret opens the volume.
    Opens {
        /// Number of the keyslot it opened.
        keyslot: u32,
        /// SHA-256 of the volume key: the same for every header of the same key.
        volume_key_sha256: [u8; 32],
    },
    /// The secret opens no keyslot.
    DoesNotOpen,
    /// To know would cost more memory or time than is allowed; the text names the bound.
    TooCostly(String),
    /// The header is sound as far as it goes, but of a kind that is not unlocked.
    Unsupported(String),
    /// The header contradicts itself, or ends too early.
    Damaged(String),
    /// Nothing was found out: the child could not be started or confined, or was stopped.
    Failed(String),
}

/// Starts a child for each proof, one at a time.
#[derive(Debug)]
pub(crate) struct ChildProver {
    program: PathBuf,
    limits: Limits,
    patience: Duration,
    stop: Cancel,
    turn: Mutex<()>,
}

impl ChildProver {
    /// A prover that gives up when `stop` is set, with the default limits and two minutes for a proof.
    pub(crate) fn new(stop: Cancel) -> Self {
        Self {
            // Not the path the program was started by: that may lead to a newer one by now.
            program: PathBuf::from("/proc/self/exe"),
            limits: Limits::default(),
            patience: PATIENCE,
            stop,
            turn: Mutex::new(()),
        }
    }

    /// Whether `secret`, byte for byte, opens the volume whose header starts with `header` (up to
    /// [`MAX_HEADER`] bytes) and whose data device has `data_size` bytes. Waits for its turn, then
    /// for the answer.
    pub(crate) fn try_open(&self, header: &[u8], data_size: u64, secret: &[u8]) -> ProverAnswer {
        let request = match Request::new(&self.limits, self.patience, header, data_size, secret) {
            Ok(request) => request,
            Err(reason) => return ProverAnswer::Failed(reason),
        };
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let child = match self.command().spawn() {
            Ok(child) => child,
            Err(e) => return ProverAnswer::Failed(format!("the proving process cannot be started: {e}")),
        };
        supervise::run(child, &[&request.to_bytes(), header, secret], self.patience, &self.stop)
    }

    /// Nothing of ours reaches the child but three descriptors: those the program opens are closed on
    /// exec, and what it inherited itself is out of the child's reach (`sandbox`).
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg0("cofre").arg(CHILD).env_clear().current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        command
    }
}

#[cfg(test)]
mod tests;
