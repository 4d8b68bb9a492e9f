//! The anti-forensic splitter of both LUKS versions (LUKS1 specification, section 2.4): a key is
//! blown up to many stripes, so that losing any of them loses the key.

use zeroize::Zeroizing;

use super::STRIPES;
use crate::{error::FdeError, hash::HashAlgorithm};

/// Puts a key of `key_bytes` together from its stripes; `material` holds at least all of them.
pub(super) fn merge(material: &[u8], key_bytes: usize, hash: HashAlgorithm) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new(vec![0; key_bytes]);
    for (number, stripe) in material.chunks_exact(key_bytes).take(STRIPES as usize).enumerate() {
        if number > 0 {
            diffuse(&mut key, hash);
        }
        for (byte, other) in key.iter_mut().zip(stripe) {
            *byte ^= other;
        }
    }
    key
}

/// Blows `key` up to all its stripes: random ones, drawn from `random`, and a last one that makes the
/// key come out. The inverse of [`merge`].
pub(super) fn split(
    key: &[u8],
    hash: HashAlgorithm,
    mut random: impl FnMut(&mut [u8]) -> Result<(), FdeError>,
) -> Result<Zeroizing<Vec<u8>>, FdeError> {
    let filled = key.len() * (STRIPES as usize - 1);
    let mut material = Zeroizing::new(vec![0; filled + key.len()]);
    random(&mut material[..filled])?;
    // The last stripe is still zeros: what the merge gives now is what has to be taken out of the key.
    let state = merge(&material, key.len(), hash);
    for (last, (state, key)) in material[filled..].iter_mut().zip(state.iter().zip(key)) {
        *last = state ^ key;
    }
    Ok(material)
}

/// Replaces every digest-sized piece by the hash of its number and itself; the last is cut.
fn diffuse(bytes: &mut [u8], hash: HashAlgorithm) {
    let mut piece = Zeroizing::new([0; 64]);
    for (number, chunk) in (0_u32..).zip(bytes.chunks_mut(hash.output_size())) {
        let piece = &mut piece[..chunk.len()];
        piece.copy_from_slice(chunk);
        hash.digest_into(&[&number.to_be_bytes(), piece], chunk);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        #[test]
        fn merging_gives_the_key_that_was_split(
            key in prop::collection::vec(any::<u8>(), 16..70),
            which in 0..5_usize,
            mut seed in any::<u64>(),
        ) {
            let hash = ["sha1", "sha256", "sha512", "ripemd160", "whirlpool"][which];
            let hash = HashAlgorithm::from_name(hash).unwrap();
            let mut material = split(&key, hash, |filler| {
                filler.iter_mut().for_each(|byte| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    *byte = (seed >> 56) as u8;
                });
                Ok(())
            }).unwrap();
            prop_assert_eq!(material.len(), key.len() * STRIPES as usize);
            prop_assert_eq!(&*merge(&material, key.len(), hash), &key);
            material[0] ^= 1;
            prop_assert_ne!(&*merge(&material, key.len(), hash), &key);
        }
    }
}
