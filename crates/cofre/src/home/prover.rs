//! The confined child process as the prover of key vaults.

use cofre_keyvault::proof::{HeaderProver, ProverAnswer};
use cofre_repo::Cancel;
use zeroize::Zeroizing;

use crate::prover::{ChildProver, ProverAnswer as Answer};

/// Tries secrets on headers in a child process.
pub(crate) struct Prover(ChildProver);

impl Prover {
    pub(crate) fn new(stop: Cancel) -> Self {
        Self(ChildProver::new(stop))
    }
}

impl HeaderProver for Prover {
    fn try_open(&self, header: &[u8], data_size: u64, secret: &[u8]) -> ProverAnswer {
        match self.0.try_open(header, data_size, secret) {
            Answer::Opens { keyslot, volume_key_sha256 } => ProverAnswer::Opens {
                volume_key_fingerprint_input: Zeroizing::new(volume_key_sha256),
                keyslot,
            },
            Answer::DoesNotOpen => ProverAnswer::DoesNotOpen,
            Answer::TooCostly(why) => ProverAnswer::TooCostly(why),
            Answer::Unsupported(why) | Answer::Damaged(why) => ProverAnswer::Unsupported(why),
            Answer::Failed(why) => ProverAnswer::Failed(why),
        }
    }
}
