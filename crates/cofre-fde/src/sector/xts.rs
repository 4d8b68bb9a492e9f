//! XTS (IEEE 1619): whole sectors only, so ciphertext stealing never happens.

use super::{AesKey, BATCH, BLOCK, Direction, IvRule, blocks, xor};
use crate::error::FdeError;

pub(super) struct Xts {
    data: AesKey,
    tweak: AesKey,
    iv: IvRule,
}

impl Xts {
    /// The first half of the key is for the data, the second for the tweak.
    pub(super) fn new(key: &[u8], iv: IvRule) -> Result<Self, FdeError> {
        let (data, tweak) = key.split_at(key.len() / 2);
        Ok(Self { data: AesKey::new(data)?, tweak: AesKey::new(tweak)?, iv })
    }

    pub(super) fn run(
        &self,
        direction: Direction,
        first_iv: u64,
        iv_step: u64,
        sector_size: usize,
        sectors: &mut [u8],
    ) {
        let mut iv = first_iv;
        for group in sectors.chunks_mut(BATCH * sector_size) {
            // The first tweaks of many sectors in one go: the cipher is fast only in batches.
            let mut tweaks = [[0; BLOCK]; BATCH];
            let count = group.len() / sector_size;
            for tweak in &mut tweaks[..count] {
                *tweak = self.iv.number(iv);
                iv = iv.wrapping_add(iv_step);
            }
            self.tweak.run(Direction::Encrypt, &mut tweaks[..count]);
            for (sector, tweak) in group.chunks_mut(sector_size).zip(&tweaks) {
                self.sector(direction, u128::from_le_bytes(*tweak), sector);
            }
        }
    }

    fn sector(&self, direction: Direction, mut tweak: u128, sector: &mut [u8]) {
        for batch in blocks(sector).chunks_mut(BATCH) {
            let mut tweaks = [0_u128; BATCH];
            for (block, slot) in batch.iter_mut().zip(&mut tweaks) {
                *slot = tweak;
                xor(block, tweak);
                tweak = double(tweak);
            }
            self.data.run(direction, batch);
            for (block, tweak) in batch.iter_mut().zip(&tweaks) {
                xor(block, *tweak);
            }
        }
    }
}

/// Multiplication by x in GF(2^128), little-endian, polynomial x^128 + x^7 + x^2 + x + 1.
fn double(tweak: u128) -> u128 {
    let carry = tweak >> 127;
    (tweak << 1) ^ (carry * 0x87)
}
