//! The footer of a VHD. All numbers are big-endian.

use crate::{
    big_endian::{u32_at, u64_at},
    block::BlockSource,
    error::{DiskError, ErrorKind},
    vhd::VhdIdentity,
};

pub(super) const SECTOR: u64 = 512;
pub(super) const FOOTER_SIZE: u64 = 512;
const FOOTER_BYTES: usize = 512;

const COOKIE: &[u8; 8] = b"conectix";
/// Reserved bit that is always set; the other defined one marks temporary disks.
const FEATURES: u32 = 2;
const VERSION: u32 = 0x0001_0000;
/// Readers that know the creators of VHDs trust the size field for this one. For a creator unknown to
/// them they compute the size from the geometry, which is rounded down.
const CREATOR_APPLICATION: &[u8; 4] = b"win ";
const CREATOR_VERSION: u32 = 0x000a_0000;
const CREATOR_SYSTEM: &[u8; 4] = b"Wi2k";
const TYPE_FIXED: u32 = 2;
const TYPE_DYNAMIC: u32 = 3;
const TYPE_DIFFERENCING: u32 = 4;
/// A fixed disk has no further header.
const NO_DATA_OFFSET: u64 = u64::MAX;

/// The fields of a fixed disk's footer that are not the same for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) size: u64,
    pub(super) identity: VhdIdentity,
}

impl Footer {
    pub(super) fn encode(&self) -> [u8; FOOTER_BYTES] {
        let mut bytes = [0; FOOTER_BYTES];
        put(&mut bytes, 0, COOKIE);
        put(&mut bytes, 8, &FEATURES.to_be_bytes());
        put(&mut bytes, 12, &VERSION.to_be_bytes());
        put(&mut bytes, 16, &NO_DATA_OFFSET.to_be_bytes());
        put(&mut bytes, 24, &self.identity.timestamp.to_be_bytes());
        put(&mut bytes, 28, CREATOR_APPLICATION);
        put(&mut bytes, 32, &CREATOR_VERSION.to_be_bytes());
        put(&mut bytes, 36, CREATOR_SYSTEM);
        put(&mut bytes, 40, &self.size.to_be_bytes());
        put(&mut bytes, 48, &self.size.to_be_bytes());
        let (cylinders, heads, sectors) = geometry(self.size / SECTOR);
        put(&mut bytes, 56, &cylinders.to_be_bytes());
        bytes[58] = heads;
        bytes[59] = sectors;
        put(&mut bytes, 60, &TYPE_FIXED.to_be_bytes());
        put(&mut bytes, 68, &self.identity.unique_id);
        let sum = checksum(&bytes);
        put(&mut bytes, 64, &sum.to_be_bytes());
        bytes
    }

    /// Reads and checks the footer of a VHD.
    pub(super) fn read(file: &dyn BlockSource) -> Result<Self, DiskError> {
        let malformed = |what: String| {
            Err(DiskError::new(ErrorKind::Malformed, format!("{} is no fixed VHD: {what}", file.label())))
        };
        let Some(data) = file.size().checked_sub(FOOTER_SIZE) else {
            return malformed(format!("{} bytes are too few for the footer", file.size()));
        };
        let mut bytes = [0; FOOTER_BYTES];
        file.read_exact_at(&mut bytes, data)?;
        if bytes[0..8] != *COOKIE {
            return malformed("its last 512 bytes are no footer".to_owned());
        }
        let stated = u32_at(&bytes, 64);
        let counted = checksum(&bytes);
        if stated != counted {
            return malformed(format!("the footer's checksum is {stated:#x}, its bytes give {counted:#x}"));
        }
        let unsupported = |what: &str| {
            let advice = "convert it with `qemu-img convert -O vpc -o subformat=fixed,force_size=on`";
            Err(DiskError::new(ErrorKind::Unsupported, format!("{} is {what}; {advice}", file.label())))
        };
        match u32_at(&bytes, 60) {
            TYPE_FIXED => {}
            TYPE_DYNAMIC => return unsupported("a dynamic VHD"),
            TYPE_DIFFERENCING => return unsupported("a differencing VHD"),
            other => return unsupported(&format!("a VHD of unknown type {other}")),
        }
        let version = u32_at(&bytes, 12);
        if version != VERSION {
            return malformed(format!("the footer's version is {version:#x}"));
        }
        let size = u64_at(&bytes, 48);
        if size != data {
            return malformed(format!("the footer says {size} bytes, the file has {data} before it"));
        }
        let mut unique_id = [0; 16];
        unique_id.copy_from_slice(&bytes[68..84]);
        Ok(Self { size, identity: VhdIdentity { unique_id, timestamp: u32_at(&bytes, 24) } })
    }
}

fn put(bytes: &mut [u8; FOOTER_BYTES], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}

/// One's complement of the sum of all bytes but the checksum's own.
fn checksum(bytes: &[u8; FOOTER_BYTES]) -> u32 {
    let sum = |part: &[u8]| part.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    !(sum(&bytes[..64]) + sum(&bytes[68..]))
}

/// Cylinders, heads and sectors per track by the rule of the VHD format: as many as an old BIOS could
/// address, and never more than the disk has.
fn geometry(total_sectors: u64) -> (u16, u8, u8) {
    const MOST: u64 = 65_535 * 16 * 255;
    let total = total_sectors.min(MOST);
    let (sectors, heads, tracks);
    if total >= 65_535 * 16 * 63 {
        (sectors, heads) = (255, 16);
        tracks = total / u64::from(sectors);
    } else {
        let by_17 = total / 17;
        let wanted = by_17.div_ceil(1024).max(4);
        if by_17 < wanted * 1024 && wanted <= 16 {
            (sectors, heads, tracks) = (17_u8, wanted, by_17);
        } else if total / 31 < 16 * 1024 {
            (sectors, heads, tracks) = (31, 16, total / 31);
        } else {
            (sectors, heads, tracks) = (63, 16, total / 63);
        }
    }
    let cylinders = u16::try_from(tracks / heads).unwrap_or(u16::MAX);
    (cylinders, u8::try_from(heads).unwrap_or(u8::MAX), sectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn geometry_of_known_disks() {
        // Disks of 0, 1, 20, 127, 512 MiB, and 127, 1024 and 2040 GiB.
        let known = [
            (0, (0, 4, 17)),
            (2048, (30, 4, 17)),
            (40960, (602, 4, 17)),
            (260_096, (1019, 15, 17)),
            (1_048_576, (1040, 16, 63)),
            (266_338_304, (65278, 16, 255)),
            (2_147_483_648, (65535, 16, 255)),
            (4_278_190_080, (65535, 16, 255)),
        ];
        for (sectors, expected) in known {
            assert_eq!(geometry(sectors), expected, "{sectors}");
        }
    }

    #[test]
    fn geometry_never_exceeds_the_disk() {
        for sectors in (0..300_000_000_u64).step_by(99_991) {
            let (c, h, s) = geometry(sectors);
            assert!(u64::from(c) * u64::from(h) * u64::from(s) <= sectors, "{sectors}");
        }
    }
}
