//! From a secret to the key of a keyslot's area.

use std::sync::{Mutex, PoisonError};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use serde::Serialize;
use zeroize::Zeroizing;

use super::header::known_hash;
use crate::{
    error::{ErrorKind, FdeError},
    limits::Budget,
};

/// How a keyslot derives its key, with the cost it asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Kdf {
    /// PBKDF2 with HMAC (RFC 8018).
    Pbkdf2 {
        /// Name of the hash, as the header writes it.
        hash: String,
        /// Iterations.
        iterations: u32,
    },
    /// Argon2i, version 1.3 (RFC 9106).
    Argon2i(Argon2Cost),
    /// Argon2id, version 1.3 (RFC 9106).
    Argon2id(Argon2Cost),
}

/// Cost parameters of Argon2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Argon2Cost {
    /// Passes over the memory ("time" in the header).
    pub passes: u32,
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Lanes ("cpus" in the header).
    pub lanes: u32,
}

impl Kdf {
    /// Says whether the algorithm is known and its parameters are legal at all.
    pub(super) fn check(&self) -> Result<(), FdeError> {
        match self {
            Self::Pbkdf2 { hash, .. } => known_hash(hash).map(|_| ()),
            Self::Argon2i(cost) | Self::Argon2id(cost) => cost.params(32).map(|_| ()),
        }
    }
}

impl Argon2Cost {
    fn params(self, output: usize) -> Result<Params, FdeError> {
        Params::new(self.memory_kib, self.passes, self.lanes, Some(output)).map_err(|error| {
            FdeError::unsupported(format!(
                "Argon2 with {} KiB, {} passes and {} lanes: {error}",
                self.memory_kib, self.passes, self.lanes
            ))
        })
    }
}

/// A key derivation and its salt.
pub(super) struct SaltedKdf {
    pub(super) kdf: Kdf,
    pub(super) salt: Vec<u8>,
}

impl SaltedKdf {
    /// Derives `length` bytes from the secret, if the budget allows.
    pub(super) fn derive(
        &self,
        secret: &[u8],
        length: usize,
        budget: &mut Budget,
    ) -> Result<Zeroizing<Vec<u8>>, FdeError> {
        let mut key = Zeroizing::new(vec![0; length]);
        match &self.kdf {
            Kdf::Pbkdf2 { hash, iterations } => {
                let hash = known_hash(hash)?;
                budget.spend_pbkdf2(*iterations, length.div_ceil(hash.output_size()) as u64)?;
                hash.pbkdf2(secret, &self.salt, *iterations, &mut key);
            }
            Kdf::Argon2i(cost) => self.argon2(Algorithm::Argon2i, *cost, secret, &mut key, budget)?,
            Kdf::Argon2id(cost) => self.argon2(Algorithm::Argon2id, *cost, secret, &mut key, budget)?,
        }
        Ok(key)
    }

    fn argon2(
        &self,
        algorithm: Algorithm,
        cost: Argon2Cost,
        secret: &[u8],
        key: &mut [u8],
        budget: &mut Budget,
    ) -> Result<(), FdeError> {
        /// One at a time in the whole process: memory is what Argon2 costs, and twenty restores
        /// that begin together must not take twenty gigabytes.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

        budget.spend_argon2(cost.memory_kib, cost.passes, cost.lanes)?;
        let params = cost.params(key.len())?;
        let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let mut memory = Zeroizing::new(Vec::new());
        memory.try_reserve_exact(params.block_count()).map_err(|error| {
            FdeError::new(
                ErrorKind::TooCostly,
                format!(
                    "the machine has no {} KiB of memory for Argon2: free some and try again",
                    cost.memory_kib
                ),
            )
            .because(error)
        })?;
        memory.resize(params.block_count(), Block::new());
        Argon2::new(algorithm, Version::V0x13, params)
            .hash_password_into_with_memory(secret, &self.salt, key, memory.as_mut_slice())
            .map_err(|error| FdeError::damaged(format!("Argon2: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;

    fn derive(kdf: Kdf, limits: &Limits) -> Result<Zeroizing<Vec<u8>>, FdeError> {
        SaltedKdf { kdf, salt: b"somesalt".to_vec() }.derive(b"password", 32, &mut Budget::new(limits))
    }

    /// Known answers of the reference implementation (phc-winner-argon2, test.c, version 0x13).
    #[test]
    fn argon2_gives_the_reference_answers() {
        let cost = |memory_kib| Argon2Cost { passes: 2, memory_kib, lanes: 1 };
        for (kdf, expected) in [
            (Kdf::Argon2i(cost(256)), "89e9029f4637b295beb027056a7336c414fadd43f6b208645281cb214a56452f"),
            (Kdf::Argon2id(cost(256)), "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe"),
        ] {
            let key = derive(kdf, &Limits::default()).unwrap();
            assert_eq!(crate::hex::encode(&key), expected);
        }
    }

    #[test]
    fn absurd_costs_are_refused_before_anything_is_allocated() {
        let absurd = [
            Kdf::Argon2id(Argon2Cost { passes: 1, memory_kib: u32::MAX, lanes: 1 }),
            Kdf::Argon2i(Argon2Cost { passes: u32::MAX, memory_kib: 1024, lanes: 1 }),
            Kdf::Argon2id(Argon2Cost { passes: 1, memory_kib: 1024, lanes: 17 }),
            Kdf::Pbkdf2 { hash: "sha256".to_owned(), iterations: u32::MAX },
        ];
        for kdf in absurd {
            assert_eq!(derive(kdf, &Limits::default()).unwrap_err().kind(), ErrorKind::TooCostly);
        }
        let illegal = Kdf::Argon2id(Argon2Cost { passes: 0, memory_kib: 0, lanes: 0 });
        assert_eq!(derive(illegal, &Limits::default()).unwrap_err().kind(), ErrorKind::Unsupported);
    }
}
