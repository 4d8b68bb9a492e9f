//! What parent and child say to each other: one question, one answer, little-endian.
//!
//! ```text
//! question: magic 8, Argon2 memory (KiB) u32, Argon2 lanes u32, Argon2 work (KiB) u64,
//!           PBKDF2 iterations u64, data size u64, processor seconds u32, header length u32,
//!           secret length u32; header; secret
//! answer:   kind u8; for `Opens` keyslot u32, SHA-256 32; for the kinds with a reason its text
//! ```
//!
//! Both are the same program, so there is one version. The child believes the parent; the parent
//! does not believe the child, which has read a hostile header.

use std::{
    io::{self, Read},
    time::Duration,
};

use cofre_fde::Limits;

use super::{MAX_HEADER, MAX_SECRET, ProverAnswer};

const MAGIC: [u8; 8] = *b"cofprove";
/// Length of the question before the header, in bytes.
const FIXED: usize = 52;
/// Longest reason in an answer, in bytes.
const MAX_TEXT: usize = 4096;
/// Longest answer, in bytes.
pub(super) const MAX_ANSWER: usize = 1 + MAX_TEXT;

/// The question, but for header and secret, which are never copied.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) limits: Limits,
    pub(super) data_size: u64,
    pub(super) cpu_seconds: u32,
    pub(super) header_length: u32,
    pub(super) secret_length: u32,
}

impl Request {
    /// # Errors
    /// Why the question cannot be asked.
    pub(super) fn new(
        limits: &Limits,
        patience: Duration,
        header: &[u8],
        data_size: u64,
        secret: &[u8],
    ) -> Result<Self, String> {
        let seconds = patience.as_secs().saturating_add(1);
        Self {
            limits: *limits,
            data_size,
            cpu_seconds: u32::try_from(seconds).unwrap_or(u32::MAX),
            header_length: u32::try_from(header.len()).unwrap_or(u32::MAX),
            secret_length: u32::try_from(secret.len()).unwrap_or(u32::MAX),
        }
        .checked()
    }

    fn checked(self) -> Result<Self, String> {
        if self.header_length as usize > MAX_HEADER {
            return Err(format!("a header of {} bytes is longer than 4 MiB", self.header_length));
        }
        if self.secret_length as usize > MAX_SECRET {
            return Err(format!("a secret of {} bytes is longer than 64 KiB", self.secret_length));
        }
        Ok(self)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let limits = &self.limits;
        let mut bytes = Vec::with_capacity(FIXED);
        bytes.extend(MAGIC);
        bytes.extend(limits.argon2_memory_kib.to_le_bytes());
        bytes.extend(limits.argon2_lanes.to_le_bytes());
        for number in [limits.argon2_work_kib, limits.pbkdf2_iterations, self.data_size] {
            bytes.extend(number.to_le_bytes());
        }
        for number in [self.cpu_seconds, self.header_length, self.secret_length] {
            bytes.extend(number.to_le_bytes());
        }
        bytes
    }

    /// # Errors
    /// Why this is no question.
    pub(super) fn read(input: &mut impl Read) -> Result<Self, String> {
        let mut input = Fields(input);
        let broken = |e: io::Error| format!("the question is cut short: {e}");
        if input.take().map_err(broken)? != MAGIC {
            return Err("there is no question: this is no command".to_owned());
        }
        let mut read = || -> io::Result<Self> {
            let (argon2_memory_kib, argon2_lanes) = (input.u32()?, input.u32()?);
            let (argon2_work_kib, pbkdf2_iterations) = (input.u64()?, input.u64()?);
            Ok(Self {
                limits: Limits { argon2_memory_kib, argon2_work_kib, argon2_lanes, pbkdf2_iterations },
                data_size: input.u64()?,
                cpu_seconds: input.u32()?,
                header_length: input.u32()?,
                secret_length: input.u32()?,
            })
        };
        read().map_err(broken)?.checked()
    }
}

struct Fields<'a, R>(&'a mut R);

impl<R: Read> Fields<'_, R> {
    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn u32(&mut self) -> io::Result<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> io::Result<u64> {
        self.take().map(u64::from_le_bytes)
    }
}

impl ProverAnswer {
    /// Texts are cut to [`MAX_TEXT`].
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let with_text = |kind: u8, text: &str| {
            let mut bytes = vec![kind];
            bytes.extend(&text.as_bytes()[..text.floor_char_boundary(MAX_TEXT)]);
            bytes
        };
        match self {
            Self::Opens { keyslot, volume_key_sha256 } => {
                let mut bytes = vec![1];
                bytes.extend(keyslot.to_le_bytes());
                bytes.extend(volume_key_sha256);
                bytes
            }
            Self::DoesNotOpen => vec![2],
            Self::TooCostly(text) => with_text(3, text),
            Self::Unsupported(text) => with_text(4, text),
            Self::Damaged(text) => with_text(5, text),
            Self::Failed(text) => with_text(6, text),
        }
    }

    /// The answer that is all of `bytes`, or `None` when they are none.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        // Texts quote headers: nothing in them may steer a terminal.
        let text = || {
            let text = std::str::from_utf8(rest).ok().filter(|text| text.len() <= MAX_TEXT)?;
            Some(text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect::<String>())
        };
        match kind {
            1 => {
                let (keyslot, digest) = rest.split_first_chunk()?;
                let volume_key_sha256 = digest.try_into().ok()?;
                Some(Self::Opens { keyslot: u32::from_le_bytes(*keyslot), volume_key_sha256 })
            }
            2 => rest.is_empty().then_some(Self::DoesNotOpen),
            3 => text().map(Self::TooCostly),
            4 => text().map(Self::Unsupported),
            5 => text().map(Self::Damaged),
            6 => text().map(Self::Failed),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(header: &[u8], secret: &[u8]) -> Result<Request, String> {
        Request::new(&Limits::default(), Duration::from_millis(2500), header, u64::MAX - 1, secret)
    }

    #[test]
    fn a_question_survives_the_way() {
        let request = question(&[1; 700], &[2; 30]).unwrap();
        let bytes = request.to_bytes();
        assert_eq!(bytes.len(), FIXED);
        assert_eq!(Request::read(&mut bytes.as_slice()).unwrap(), request);
        assert_eq!((request.cpu_seconds, request.header_length, request.secret_length), (3, 700, 30));
        for length in 0..FIXED {
            assert!(Request::read(&mut &bytes[..length]).is_err(), "{length}");
        }
        assert!(question(&vec![0; MAX_HEADER], &vec![0; MAX_SECRET]).is_ok());
        assert!(question(&vec![0; MAX_HEADER + 1], b"s").is_err());
        assert!(question(b"h", &vec![0; MAX_SECRET + 1]).is_err());
        let mut other = bytes.clone();
        other[0] ^= 1;
        assert!(Request::read(&mut other.as_slice()).unwrap_err().contains("no command"));
        // The child does not read more than it has room for, whoever asks.
        let mut long = bytes;
        long[44..48].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(Request::read(&mut long.as_slice()).unwrap_err().contains("4 MiB"));
    }

    #[test]
    fn an_answer_survives_the_way_and_nothing_else_is_one() {
        let opens = ProverAnswer::Opens { keyslot: 7, volume_key_sha256: [9; 32] };
        for answer in [
            opens.clone(),
            ProverAnswer::DoesNotOpen,
            ProverAnswer::TooCostly("memory".to_owned()),
            ProverAnswer::Unsupported("serpent".to_owned()),
            ProverAnswer::Damaged("ü".to_owned()),
            ProverAnswer::Failed(String::new()),
        ] {
            assert_eq!(ProverAnswer::from_bytes(&answer.to_bytes()), Some(answer));
        }
        let bytes = opens.to_bytes();
        for bad in [&[][..], &[0], &[7], &[2, 0], &[3, 0xff], &bytes[..36], &[&bytes[..], &[0]].concat()] {
            assert_eq!(ProverAnswer::from_bytes(bad), None, "{bad:?}");
        }
        let long = ProverAnswer::Damaged("ü".repeat(MAX_TEXT)).to_bytes();
        assert!(long.len() <= MAX_ANSWER && ProverAnswer::from_bytes(&long).is_some());
        let steering = ProverAnswer::from_bytes(b"\x05a\x1b[2Jb").unwrap();
        assert_eq!(steering, ProverAnswer::Damaged("a\u{fffd}[2Jb".to_owned()));
    }
}
