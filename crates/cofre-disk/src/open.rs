//! Chooses the body for an image by the format its owner states.
//!
//! The bytes of an image are never asked which format it is: a guest writes the bytes of a raw disk, and
//! one that wrote a qcow2 header with a backing file of its choice would read that file through us.

use std::{fmt, path::Path, str::FromStr};

use crate::{
    block::BlockSource,
    error::{DiskError, ErrorKind},
    qcow2::Qcow2Source,
    raw::RawSource,
    vhd::VhdSource,
};

/// A format of disk images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ImageFormat {
    /// The bytes of the file are the bytes of the disk; block devices as well.
    Raw,
    /// QEMU's format, versions 2 and 3, with its backing files.
    Qcow2,
    /// A fixed VHD.
    Vhd,
}

impl ImageFormat {
    /// The format to assume for a path nobody said anything about: qcow2 when the name ends in
    /// `.qcow2`, raw otherwise. A VHD has to be named: read as raw it is a disk too, one with a footer.
    #[must_use]
    pub fn from_suffix(path: impl AsRef<Path>) -> Self {
        let suffix = path.as_ref().extension();
        if suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case("qcow2")) {
            Self::Qcow2
        } else {
            Self::Raw
        }
    }

    /// The name: `raw`, `qcow2` or `vhd`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vhd => "vhd",
        }
    }
}

impl fmt::Display for ImageFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ImageFormat {
    type Err = DiskError;

    fn from_str(name: &str) -> Result<Self, DiskError> {
        let known = [Self::Raw, Self::Qcow2, Self::Vhd].into_iter().find(|format| format.name() == name);
        known.ok_or_else(|| {
            let message = format!("unknown image format {name:?}; known are raw, qcow2 and vhd");
            DiskError::new(ErrorKind::Invalid, message)
        })
    }
}

/// Opens an image of a format for reading.
///
/// # Errors
/// As [`RawSource::open`], [`Qcow2Source::open`] and [`VhdSource::open`].
pub fn open_source(path: impl AsRef<Path>, format: ImageFormat) -> Result<Box<dyn BlockSource>, DiskError> {
    Ok(match format {
        ImageFormat::Raw => Box::new(RawSource::open(path)?),
        ImageFormat::Qcow2 => Box::new(Qcow2Source::open(path)?),
        ImageFormat::Vhd => Box::new(VhdSource::open(path)?),
    })
}

/// Opens an image of a format for reading that is inside the folder tree under `root`, as all of its
/// backing files have to be. `path` is absolute or begins at the root. For paths that come from users.
///
/// # Errors
/// [`ErrorKind::Invalid`] when the path leads outside, and as [`open_source`].
pub fn open_source_beneath(
    path: impl AsRef<Path>,
    root: impl AsRef<Path>,
    format: ImageFormat,
) -> Result<Box<dyn BlockSource>, DiskError> {
    Ok(match format {
        ImageFormat::Raw => Box::new(RawSource::open_beneath(path, root)?),
        ImageFormat::Qcow2 => Box::new(Qcow2Source::open_beneath(path, root)?),
        ImageFormat::Vhd => Box::new(VhdSource::from_raw(RawSource::open_beneath(path, root)?)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suffix_chooses_and_the_bytes_do_not() {
        assert_eq!(ImageFormat::from_suffix("/a/b.qcow2"), ImageFormat::Qcow2);
        assert_eq!(ImageFormat::from_suffix("/a/b.QCOW2"), ImageFormat::Qcow2);
        for path in ["/a/b.raw", "/a/b.vhd", "/a/b", "/a.qcow2/b", ".qcow2"] {
            assert_eq!(ImageFormat::from_suffix(path), ImageFormat::Raw, "{path}");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk.raw");
        std::fs::write(&path, b"QFI\xfb\0\0\0\x02 cut").unwrap();
        assert_eq!(open_source(&path, ImageFormat::Raw).unwrap().size(), 12);
        let error = open_source(&path, ImageFormat::Qcow2).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Malformed);
        let error = open_source(&path, ImageFormat::Vhd).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Malformed);
    }

    #[test]
    fn formats_have_names() {
        for format in [ImageFormat::Raw, ImageFormat::Qcow2, ImageFormat::Vhd] {
            assert_eq!(format.to_string().parse::<ImageFormat>().unwrap(), format);
        }
        assert_eq!("vmdk".parse::<ImageFormat>().unwrap_err().kind(), ErrorKind::Invalid);
    }
}
