//! LUKS headers, of both versions: inspect, then a cheap attempt to unlock and to read.
//!
//! Byte 0 says how the rest is used. Checksums and sparse key areas would keep the fuzzer out, so it
//! may hand over the JSON alone, which is then put into a sealed header; key areas read as zeros.
#![no_main]

use std::io;

use cofre_fde::{ErrorKind, Limits, ReadAt, luks};
use libfuzzer_sys::{Corpus, fuzz_target};

const COPY: usize = 16384;
/// Room for key areas behind the header.
const SIZE: u64 = 1 << 20;

/// The input, followed by zeros.
struct Padded<'a>(&'a [u8]);

impl ReadAt for Padded<'_> {
    fn size(&self) -> u64 {
        SIZE
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= SIZE);
        end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let rest = usize::try_from(offset).ok().and_then(|offset| self.0.get(offset..)).unwrap_or_default();
        let given = rest.len().min(buffer.len());
        buffer[..given].copy_from_slice(&rest[..given]);
        buffer[given..].fill(0);
        Ok(())
    }
}

/// A primary LUKS2 header around a JSON text, with the right checksum.
fn sealed(json: &[u8]) -> Option<Vec<u8>> {
    let mut copy = vec![0; COPY];
    copy[..8].copy_from_slice(b"LUKS\xba\xbe\0\x02");
    copy[8..16].copy_from_slice(&(COPY as u64).to_be_bytes());
    copy[72..78].copy_from_slice(b"sha256");
    copy[168..172].copy_from_slice(b"uuid");
    copy[4096..COPY - 1].get_mut(..json.len())?.copy_from_slice(json);
    let digest = <sha2::Sha256 as sha2::Digest>::digest(&copy);
    copy[448..480].copy_from_slice(&digest);
    Some(copy)
}

fn run(source: &dyn ReadAt) {
    let limits =
        Limits { argon2_memory_kib: 64, argon2_work_kib: 256, argon2_lanes: 4, pbkdf2_iterations: 200 };
    let inspected = luks::inspect(source);
    match luks::unlock(source, b"secret", &limits) {
        Ok(unlocked) => {
            let info = inspected.expect("what unlocks can be inspected");
            assert!(info.opaque.is_none());
            let mut buffer = [0; 5000];
            if let Ok(view) = unlocked.view(source)
                && view.size() >= buffer.len() as u64
            {
                view.read_exact_at(&mut buffer, view.size() - 5000).expect("inside the view");
            }
        }
        Err(error) => assert!(!matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Io), "{error:?}"),
    }
}

fuzz_target!(|data: &[u8]| -> Corpus {
    match data.split_first() {
        Some((0, header)) => run(&header),
        Some((1, header)) => run(&Padded(header)),
        Some((2, json)) => match sealed(json) {
            Some(header) => run(&Padded(&header)),
            None => return Corpus::Reject,
        },
        _ => return Corpus::Reject,
    }
    Corpus::Keep
});
