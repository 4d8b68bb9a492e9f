//! The child: confines itself, reads the question, computes, answers.

use std::{
    io::{self, Read, Write},
    process::ExitCode,
};

use cofre_fde::{ErrorKind, FdeError, Limits, luks};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{MAX_HEADER, ProverAnswer, sandbox, wire::Request};

/// Standard input and output without the buffers of the standard library: those would keep a copy of
/// the secret, and duplicates of the descriptors would be out of reach.
struct Pipes;

impl Read for Pipes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(io::stdin(), buffer)?)
    }
}

impl Write for Pipes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(io::stdout(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Answers one question on standard input.
pub(super) fn run() -> ExitCode {
    let answer = serve().unwrap_or_else(ProverAnswer::Failed);
    match Pipes.write_all(&answer.to_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve() -> Result<ProverAnswer, String> {
    sandbox::close()?;
    let request = Request::read(&mut Pipes)?;
    let argon2 = u64::from(request.limits.argon2_memory_kib) << 10;
    sandbox::confine(argon2 + sandbox::MEMORY_BESIDE_ARGON2, request.cpu_seconds)?;

    let cut = |e: io::Error| format!("the question is cut short: {e}");
    let mut header = vec![0; request.header_length as usize];
    let mut secret = Zeroizing::new(vec![0; request.secret_length as usize]);
    Pipes.read_exact(&mut header).and_then(|()| Pipes.read_exact(&mut secret)).map_err(cut)?;
    Ok(prove(&header, request.data_size, &secret, &request.limits))
}

/// Tries `secret` on the active keyslots.
fn prove(header: &[u8], data_size: u64, secret: &[u8], limits: &Limits) -> ProverAnswer {
    let opened = luks::unlock(&header, secret, limits).and_then(|unlocked| {
        // A key to data that do not fit on the disk opens nothing.
        unlocked.mapping(data_size)?;
        Ok(unlocked)
    });
    match opened {
        Ok(unlocked) => ProverAnswer::Opens {
            keyslot: unlocked.slot(),
            volume_key_sha256: Sha256::digest(unlocked.volume_key().expose()).into(),
        },
        Err(error) => refusal(&error, header.len() == MAX_HEADER),
    }
}

/// `cut`: the disk goes on where the header that was sent ends.
fn refusal(error: &FdeError, cut: bool) -> ProverAnswer {
    let text = error.to_string();
    match error.kind() {
        ErrorKind::WrongKey | ErrorKind::NoKeyslot => ProverAnswer::DoesNotOpen,
        ErrorKind::TooCostly => ProverAnswer::TooCostly(text),
        ErrorKind::Unsupported | ErrorKind::NotEncrypted => ProverAnswer::Unsupported(text),
        ErrorKind::Truncated if cut => {
            ProverAnswer::Unsupported(format!("the header reaches further than 4 MiB: {text}"))
        }
        ErrorKind::Damaged | ErrorKind::Truncated => ProverAnswer::Damaged(text),
        _ => ProverAnswer::Failed(text),
    }
}
