use proptest::prelude::*;

use super::*;
use crate::hex;

const SPECS: [(&str, &[usize]); 6] = [
    ("aes-xts-plain64", &[32, 64]),
    ("aes-xts-plain", &[32, 64]),
    ("aes-cbc-essiv:sha256", &[16, 24, 32]),
    ("aes-cbc-plain64", &[16, 24, 32]),
    ("aes-cbc-plain", &[16, 24, 32]),
    ("aes-ecb", &[16, 24, 32]),
];

fn cipher(spec: &str, key: &[u8], sector_size: u32, first_iv: u64) -> SectorCipher {
    SectorCipher::new(spec.parse().unwrap(), key, sector_size, first_iv).unwrap()
}

/// IEEE 1619-2018, annex D, vector 4: the first and last block of its 512-byte unit, number 0.
#[test]
fn xts_aes_128_gives_the_standards_vector() {
    let key = [
        0x27, 0x18, 0x28, 0x18, 0x28, 0x45, 0x90, 0x45, 0x23, 0x53, 0x60, 0x28, 0x74, 0x71, 0x35, 0x26, 0x31,
        0x41, 0x59, 0x26, 0x53, 0x58, 0x97, 0x93, 0x23, 0x84, 0x62, 0x64, 0x33, 0x83, 0x27, 0x95,
    ];
    let mut sector: Vec<u8> = (0..=255).chain(0..=255).collect();
    cipher("aes-xts-plain64", &key, 512, 0).encrypt(0, &mut sector).unwrap();
    assert_eq!(hex::encode(&sector[..16]), "27a7479befa1d476489f308cd4cfa6e2");
}

/// NIST SP 800-38A, F.2.5: CBC-AES256, and FIPS 197, appendix C.3: AES-256 of one block.
#[test]
fn ecb_gives_the_published_block() {
    let key: Vec<u8> = (0..32).collect();
    let block: Vec<u8> = (0..16).map(|n| n * 0x11).collect();
    let mut sector = block.repeat(32);
    cipher("aes-ecb", &key, 512, 0).encrypt(7, &mut sector).unwrap();
    for block in sector.chunks(16) {
        assert_eq!(hex::encode(block), "8ea2b7ca516745bfeafc49904b496089");
    }
}

#[test]
fn the_iv_counts_512_byte_units_whatever_the_sector_size() {
    let key = [7; 64];
    let plain: Vec<u8> = (0..4096_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    for (spec, bytes) in SPECS {
        let key = &key[..bytes[bytes.len() - 1]];
        // Sector 3 of 4096 bytes has the number 24: the same as sector 0 with a tweak of 24.
        let (mut a, mut b) = (plain.clone(), plain.clone());
        cipher(spec, key, 4096, 0).encrypt(3, &mut a).unwrap();
        cipher(spec, key, 4096, 24).encrypt(0, &mut b).unwrap();
        assert_eq!(a, b, "{spec}");
    }
}

#[test]
fn plain_repeats_after_32_bits_and_plain64_does_not() {
    let key = [9; 32];
    for (spec, repeats) in [("aes-cbc-plain", true), ("aes-cbc-plain64", false), ("aes-xts-plain", true)] {
        let (mut low, mut high) = ([1_u8; 512], [1_u8; 512]);
        cipher(spec, &key, 512, 0).encrypt(5, &mut low).unwrap();
        cipher(spec, &key, 512, 0).encrypt(5 + (1 << 32), &mut high).unwrap();
        assert_eq!(low == high, repeats, "{spec}");
    }
}

#[test]
fn half_a_sector_and_wrong_keys_are_refused() {
    let error = cipher("aes-ecb", &[0; 16], 1024, 0).decrypt(0, &mut [0; 512]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    for (spec, bytes) in SPECS {
        for length in (0..=130).filter(|length| !bytes.contains(length)) {
            let error = SectorCipher::new(spec.parse().unwrap(), &vec![0; length], 512, 0).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{spec} {length}");
        }
    }
    for size in [0, 1, 511, 513, 8192, u32::MAX] {
        assert!(SectorCipher::new("aes-ecb".parse().unwrap(), &[0; 16], size, 0).is_err());
    }
}

#[test]
fn debug_shows_no_key() {
    let text = format!("{:?}", cipher("aes-xts-plain64", &[0x5a; 64], 512, 0));
    assert_eq!(text, "SectorCipher(aes-xts-plain64, 512-byte sectors)");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The reversible mapping rests on this, in both orders.
    #[test]
    fn decrypt_and_encrypt_undo_each_other(
        which in 0..SPECS.len(),
        length in any::<proptest::sample::Index>(),
        size in 0..4_u32,
        sectors in 0..5_usize,
        first in any::<u64>(),
        tweak in any::<u64>(),
        seed in any::<[u8; 64]>(),
    ) {
        let (spec, lengths) = SPECS[which];
        let sector_size = 512 << size;
        let cipher = cipher(spec, &seed[..lengths[length.index(lengths.len())]], sector_size, tweak);
        let original: Vec<u8> = seed.iter().copied().cycle().enumerate()
            .map(|(n, byte)| byte.wrapping_add(u8::try_from(n / 64 % 256).unwrap()))
            .take(sectors * sector_size as usize).collect();
        let mut bytes = original.clone();
        cipher.decrypt(first, &mut bytes).unwrap();
        cipher.encrypt(first, &mut bytes).unwrap();
        prop_assert_eq!(&bytes, &original);
        cipher.encrypt(first, &mut bytes).unwrap();
        cipher.decrypt(first, &mut bytes).unwrap();
        prop_assert_eq!(&bytes, &original);
    }

    /// Sectors do not depend on the sectors they are handed over with.
    #[test]
    fn sectors_may_be_handed_over_in_any_pieces(
        which in 0..SPECS.len(),
        first in any::<u64>(),
        cut in 0..70_usize,
        seed in any::<[u8; 64]>(),
    ) {
        let (spec, lengths) = SPECS[which];
        let cipher = cipher(spec, &seed[..lengths[0]], 512, 0);
        let mut whole: Vec<u8> = seed.repeat(8 * 70);
        let mut pieces = whole.clone();
        cipher.decrypt(first, &mut whole).unwrap();
        let (head, tail) = pieces.split_at_mut(cut * 512);
        cipher.decrypt(first, head).unwrap();
        cipher.decrypt(first.wrapping_add(cut as u64), tail).unwrap();
        prop_assert_eq!(whole, pieces);
    }
}
