//! The data segment: where ciphertext and plaintext correspond.

use serde::{Deserialize, Serialize};

use crate::{
    error::{ErrorKind, FdeError},
    secret::VolumeKey,
    sector::{CipherSpec, SectorCipher},
    view::{Mapping, Run, RunContent, outside},
};

/// All that maps a LUKS disk, but the key: stored once per disk, it gives back the exact image
/// together with key and plaintext, without the header being parsed again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Segment {
    /// First byte of the data on the data device; 0 with a detached header.
    pub offset: u64,
    /// Length in bytes; `None`: to the end of the device.
    pub size: Option<u64>,
    /// The cipher.
    pub cipher: CipherSpec,
    /// Sector size in bytes: 512, 1024, 2048 or 4096.
    pub sector_size: u32,
    /// IV number of the first sector, in 512-byte units.
    pub iv_tweak: u64,
}

impl Segment {
    /// The mapping for a data device of `data_size` bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Truncated`] when the device ends before the data do,
    /// [`ErrorKind::Unsupported`] when the key does not fit the cipher.
    pub fn mapping(&self, key: &VolumeKey, data_size: u64) -> Result<LuksMapping, FdeError> {
        let (offset, length) = self.extent(data_size)?;
        let cipher = SectorCipher::new(self.cipher, key.expose(), self.sector_size, self.iv_tweak)?;
        Ok(LuksMapping { cipher, offset, length })
    }

    /// First byte and length of what is mapped on a data device of `data_size` bytes: whole sectors.
    fn extent(&self, data_size: u64) -> Result<(u64, u64), FdeError> {
        let room = data_size.checked_sub(self.offset);
        match (room, self.size) {
            (Some(room), Some(size)) if size <= room => Ok(size),
            (Some(room), None) => Ok(room),
            _ => Err(FdeError::new(
                ErrorKind::Truncated,
                format!(
                    "the data should start at byte {}{}, but the data device has {data_size} bytes: with a \
                     detached header, give the data device as well",
                    self.offset,
                    self.size.map_or_else(String::new, |size| format!(" and take {size} bytes")),
                ),
            )),
        }
        .map(|length| (self.offset, length - length % u64::from(self.sector_size)))
    }
}

/// The mapping of an unlocked LUKS disk: one encrypted run.
#[derive(Debug)]
pub struct LuksMapping {
    cipher: SectorCipher,
    offset: u64,
    length: u64,
}

impl LuksMapping {
    /// Number of the sector at `raw_offset`, when it and `length` are whole sectors of the segment.
    fn sector(&self, raw_offset: u64, length: usize) -> Result<u64, FdeError> {
        let size = self.cipher.sector_size() as u64;
        let within = raw_offset.checked_sub(self.offset).filter(|within| within.is_multiple_of(size));
        match within {
            Some(within) if within.checked_add(length as u64).is_some_and(|end| end <= self.length) => {
                Ok(within / size)
            }
            _ => Err(outside(raw_offset, length)),
        }
    }
}

impl Mapping for LuksMapping {
    fn sector_size(&self) -> usize {
        self.cipher.sector_size()
    }

    fn view_size(&self) -> u64 {
        self.length
    }

    fn run_at(&self, offset: u64) -> Option<Run> {
        let content = RunContent::Encrypted { raw_offset: self.offset };
        (offset < self.length).then_some(Run { start: 0, length: self.length, content })
    }

    fn decrypt(&self, raw_offset: u64, sectors: &mut [u8]) -> Result<(), FdeError> {
        self.cipher.decrypt(self.sector(raw_offset, sectors.len())?, sectors)
    }

    fn encrypt(&self, raw_offset: u64, sectors: &mut [u8]) -> Result<(), FdeError> {
        self.cipher.encrypt(self.sector(raw_offset, sectors.len())?, sectors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{read_at::ReadAt, view::PlaintextView};

    fn segment(offset: u64, size: Option<u64>) -> Segment {
        let cipher = "aes-xts-plain64".parse().unwrap();
        Segment { offset, size, cipher, sector_size: 4096, iv_tweak: 5 }
    }

    #[test]
    fn the_extent_is_whole_sectors_inside_the_device() {
        assert_eq!(segment(512, None).extent(512 + 8192 + 4095).unwrap(), (512, 8192));
        assert_eq!(segment(512, Some(8191)).extent(1 << 20).unwrap(), (512, 4096));
        assert_eq!(segment(512, None).extent(512).unwrap(), (512, 0));
        for (segment, size) in [
            (segment(513, None), 512),
            (segment(0, Some(4097)), 4096),
            (segment(u64::MAX, Some(u64::MAX)), u64::MAX),
            (segment(1, Some(u64::MAX)), u64::MAX),
        ] {
            assert_eq!(segment.extent(size).unwrap_err().kind(), ErrorKind::Truncated);
        }
    }

    #[test]
    fn any_read_of_the_view_equals_a_piece_of_the_whole() {
        let key = VolumeKey::new(zeroize::Zeroizing::new(vec![3; 64]));
        let data: Vec<u8> = (0..100 + 5 * 4096 + 700_u32).map(|n| (n % 253) as u8).collect();
        let mapping = || segment(100, None).mapping(&key, data.size()).unwrap();
        let view = PlaintextView::new(&data, mapping());
        assert_eq!(view.size(), 5 * 4096);
        let mut whole = data[100..100 + 5 * 4096].to_vec();
        mapping().decrypt(100, &mut whole).unwrap();
        for (offset, length) in
            [(0, 20480), (1, 1), (4095, 2), (4096, 4096), (4000, 9000), (20479, 1), (20480, 0), (8192, 12288)]
        {
            let mut piece = vec![0; length];
            view.read_exact_at(&mut piece, offset as u64).unwrap();
            assert_eq!(piece, whole[offset..offset + length], "{length} bytes at {offset}");
        }
        for (offset, length) in [(20480, 1), (20479, 2), (u64::MAX, 1)] {
            assert!(view.read_exact_at(&mut vec![0; length], offset).is_err());
        }
        mapping().encrypt(100, &mut whole).unwrap();
        assert_eq!(whole, data[100..100 + 5 * 4096]);
    }

    #[test]
    fn what_is_not_whole_sectors_of_the_segment_is_refused() {
        let mapping = {
            let key = VolumeKey::new(zeroize::Zeroizing::new(vec![0; 32]));
            segment(4096, Some(8192)).mapping(&key, 1 << 20).unwrap()
        };
        for (offset, length) in
            [(0, 4096), (4097, 4096), (4096, 4095), (8192, 8192), (12288, 4096), (u64::MAX, 4096)]
        {
            let error = mapping.decrypt(offset, &mut vec![0; length]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{length} bytes at {offset}");
        }
    }

    #[test]
    fn the_segment_survives_json() {
        let text = serde_json::to_string(&segment(16, None)).unwrap();
        assert_eq!(
            text,
            r#"{"offset":16,"size":null,"cipher":"aes-xts-plain64","sectorSize":4096,"ivTweak":5}"#
        );
        assert_eq!(serde_json::from_str::<Segment>(&text).unwrap(), segment(16, None));
    }
}
