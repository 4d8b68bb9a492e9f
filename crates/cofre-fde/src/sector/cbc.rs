//! CBC with one IV per sector.

use zeroize::Zeroizing;

use super::{AesKey, BATCH, BLOCK, Direction, IvRule, blocks, xor};
use crate::{error::FdeError, hash::HashAlgorithm};

pub(super) struct Cbc {
    data: AesKey,
    /// ESSIV: the key that encrypts sector numbers, hash(volume key).
    essiv: Option<AesKey>,
    iv: IvRule,
}

impl Cbc {
    pub(super) fn new(key: &[u8], iv: IvRule) -> Result<Self, FdeError> {
        let essiv = match iv {
            IvRule::EssivSha256 => {
                let mut salt = Zeroizing::new([0; 32]);
                HashAlgorithm::Sha256.digest_into(&[key], salt.as_mut());
                Some(AesKey::new(salt.as_ref())?)
            }
            _ => None,
        };
        Ok(Self { data: AesKey::new(key)?, essiv, iv })
    }

    pub(super) fn run(
        &self,
        direction: Direction,
        first_iv: u64,
        iv_step: u64,
        sector_size: usize,
        sectors: &mut [u8],
    ) {
        let mut number = first_iv;
        for sector in sectors.chunks_mut(sector_size) {
            let mut iv = [self.iv.number(number)];
            if let Some(essiv) = &self.essiv {
                essiv.run(Direction::Encrypt, &mut iv);
            }
            let iv = u128::from_le_bytes(iv[0]);
            match direction {
                Direction::Encrypt => self.encrypt(iv, blocks(sector)),
                Direction::Decrypt => self.decrypt(iv, blocks(sector)),
            }
            number = number.wrapping_add(iv_step);
        }
    }

    fn encrypt(&self, iv: u128, sector: &mut [[u8; BLOCK]]) {
        let mut previous = iv;
        for block in sector.chunks_mut(1) {
            xor(&mut block[0], previous);
            self.data.run(Direction::Encrypt, block);
            previous = u128::from_le_bytes(block[0]);
        }
    }

    fn decrypt(&self, iv: u128, sector: &mut [[u8; BLOCK]]) {
        let mut previous = iv;
        for batch in sector.chunks_mut(BATCH) {
            let mut chain = [0_u128; BATCH];
            for (block, slot) in batch.iter().zip(&mut chain) {
                *slot = previous;
                previous = u128::from_le_bytes(*block);
            }
            self.data.run(Direction::Decrypt, batch);
            for (block, before) in batch.iter_mut().zip(&chain) {
                xor(block, *before);
            }
        }
    }
}
