//! Who tries a secret on a header.

use std::fmt;

use zeroize::Zeroizing;

/// Tries secrets on headers. Headers are hostile: the body in production does this in a confined process
/// without network, never where private keys are.
pub trait HeaderProver: Send + Sync {
    /// Tries `secret`, byte for byte, on the header of a data device of `data_size` bytes. Takes the same
    /// time for every secret that does not open.
    fn try_open(&self, header: &[u8], data_size: u64, secret: &[u8]) -> ProverAnswer;
}

/// What came of it.
pub enum ProverAnswer {
    /// The secret opens the header.
    Opens {
        /// SHA-256 of the volume key.
        volume_key_fingerprint_input: Zeroizing<[u8; 32]>,
        /// The keyslot that opened.
        keyslot: u32,
    },
    /// It does not.
    DoesNotOpen,
    /// Trying would cost more than is allowed; says what.
    TooCostly(String),
    /// The header is of a kind that cannot be tried; says why.
    Unsupported(String),
    /// Something went wrong on the way; says what.
    Failed(String),
}

impl fmt::Debug for ProverAnswer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opens { keyslot, .. } => write!(formatter, "Opens(keyslot {keyslot})"),
            Self::DoesNotOpen => formatter.write_str("DoesNotOpen"),
            Self::TooCostly(why) => write!(formatter, "TooCostly({why})"),
            Self::Unsupported(why) => write!(formatter, "Unsupported({why})"),
            Self::Failed(why) => write!(formatter, "Failed({why})"),
        }
    }
}
