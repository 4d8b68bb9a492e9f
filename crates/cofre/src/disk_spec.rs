//! `NAME=PATH[,format=…]` and `NAME=FILE`, as `--disk` and `--changed` take them.

use std::{path::PathBuf, str::FromStr};

use cofre_disk::ImageFormat;

/// A disk to be backed up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DiskSpec {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) format: ImageFormat,
}

/// A list of changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChangedSpec {
    pub(crate) name: String,
    pub(crate) file: PathBuf,
}

fn split(text: &str) -> Result<(&str, &str), String> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => Ok((name, path)),
        _ => Err(format!("{text:?} is not of the form NAME=PATH")),
    }
}

impl FromStr for DiskSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, rest) = split(text)?;
        // Paths may hold commas and equals signs: only this one option is cut off the end.
        let (path, format) = match rest.rsplit_once(",format=") {
            Some((path, format)) => (path, format.parse().map_err(|e| format!("{e}"))?),
            None => (rest, ImageFormat::from_suffix(rest)),
        };
        if path.is_empty() {
            return Err(format!("{text:?} is not of the form NAME=PATH"));
        }
        Ok(Self { name: name.to_owned(), path: path.into(), format })
    }
}

impl FromStr for ChangedSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, file) = split(text)?;
        Ok(Self { name: name.to_owned(), file: file.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks() {
        let disk = |text: &str| {
            let disk: DiskSpec = text.parse().unwrap();
            (disk.name, disk.path.display().to_string(), disk.format)
        };
        let is = |name: &str, path: &str, format| (name.to_owned(), path.to_owned(), format);
        assert_eq!(disk("os=/a/b.raw"), is("os", "/a/b.raw", ImageFormat::Raw));
        assert_eq!(disk("os=/a/b=c,d.qcow2"), is("os", "/a/b=c,d.qcow2", ImageFormat::Qcow2));
        assert_eq!(disk("os=/a.qcow2,format=raw"), is("os", "/a.qcow2", ImageFormat::Raw));
        assert_eq!(disk("os=a,format=x,format=vhd"), is("os", "a,format=x", ImageFormat::Vhd));
        assert_eq!(disk("os=a,size=1"), is("os", "a,size=1", ImageFormat::Raw));
        for bad in ["os", "=a", "os=", "os=,format=raw", "os=a,format=vmdk", "os=a,format="] {
            assert!(bad.parse::<DiskSpec>().is_err(), "{bad}");
        }
    }

    #[test]
    fn lists_of_changes() {
        let changed: ChangedSpec = "os=/a=b,format=raw".parse().unwrap();
        assert_eq!(changed.file, PathBuf::from("/a=b,format=raw"));
        assert!("os".parse::<ChangedSpec>().is_err());
    }
}
