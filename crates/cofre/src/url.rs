//! Where a repository is, as written on the command line.

use std::{path::PathBuf, str::FromStr, sync::Arc};

use cofre_repo::storage::{Storage, local::LocalStorage};

use crate::report::Result;

/// A repository's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location(PathBuf);

/// Prefixes that mean another kind of storage to restic, and to people.
const OTHER_KINDS: [&str; 8] = ["s3", "azure", "az", "b2", "gs", "rest", "sftp", "rclone"];

impl Location {
    pub(crate) fn storage(&self) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(LocalStorage::new(&self.0)?))
    }
}

impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if text.is_empty() {
            return Err("the repository's place is empty".to_owned());
        }
        let other = |kind: &str| {
            format!(
                "repositories at `{kind}:` places are not there yet (S3 and Azure Blob come later): give a \
                 directory or a `file:///` URL"
            )
        };
        if let Some((scheme, rest)) = text.split_once("://")
            && is_scheme(scheme)
        {
            if !scheme.eq_ignore_ascii_case("file") {
                return Err(other(scheme));
            }
            let path = rest.strip_prefix("localhost").unwrap_or(rest);
            if !path.starts_with('/') {
                return Err(
                    "a file URL has three slashes and an absolute path: file:///srv/backup".to_owned()
                );
            }
            return Ok(Self(PathBuf::from(percent_decode(path)?)));
        }
        if let Some((kind, _)) = text.split_once(':')
            && OTHER_KINDS.contains(&kind)
        {
            return Err(other(kind));
        }
        Ok(Self(PathBuf::from(text)))
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

fn percent_decode(text: &str) -> std::result::Result<std::ffi::OsString, String> {
    use std::os::unix::ffi::OsStringExt;
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let digits = rest.get(..2).and_then(|d| std::str::from_utf8(d).ok());
        let byte = digits.filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        match byte.and_then(|d| u8::from_str_radix(d, 16).ok()) {
            Some(byte) if byte != 0 => bytes.push(byte),
            _ => return Err("a `%` in a file URL is followed by two hex digits, and not by 00".to_owned()),
        }
        rest = &rest[2..];
    }
    Ok(std::ffi::OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_file_urls() {
        let path = |text: &str| text.parse::<Location>().map(|l| l.0);
        assert_eq!(path("/srv/a b").unwrap(), PathBuf::from("/srv/a b"));
        assert_eq!(path("a%20b").unwrap(), PathBuf::from("a%20b"));
        assert_eq!(path("file:///srv/a%20b").unwrap(), PathBuf::from("/srv/a b"));
        assert_eq!(path("FILE://localhost/srv").unwrap(), PathBuf::from("/srv"));
        assert_eq!(path("./s3:x").unwrap(), PathBuf::from("./s3:x"));
        for bad in ["", "file://srv", "file:///%4", "file:///%zz", "file:///a%00", "file:///%+1"] {
            assert!(path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn other_kinds_of_storage_are_named_and_refused() {
        for other in
            ["s3://bucket/x", "s3:host/bucket", "azure:container:/", "https://x.blob.core.windows.net/c"]
        {
            let error = other.parse::<Location>().unwrap_err();
            assert!(error.contains("not there yet"), "{error}");
        }
    }
}
