//! The repository's password.

use std::{fs::File, io::Read, path::Path};

use zeroize::Zeroizing;

use crate::error::{ErrorKind, RepoError, Result};

/// Longest password file that is read.
const LIMIT: u32 = 64 * 1024;

/// The password that opens a repository's key files. Erased when dropped, never printed.
#[derive(Clone)]
pub struct RepositorySecret(Zeroizing<Vec<u8>>);

impl std::fmt::Debug for RepositorySecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RepositorySecret(…)")
    }
}

impl RepositorySecret {
    /// Takes a password that is in memory; white space around it is cut off as restic does with the
    /// content of its `--password-file`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when nothing is left.
    pub fn new(password: &[u8]) -> Result<Self> {
        // restic trims Unicode white space; for text that is not UTF-8 the ASCII part of it
        let trimmed = match std::str::from_utf8(password) {
            Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text).trim().as_bytes(),
            Err(_) => password.trim_ascii(),
        };
        if trimmed.is_empty() {
            return Err(RepoError::new(ErrorKind::Invalid, "the repository secret is empty")
                .recommend("Put a secret into the file, for example with `openssl rand -hex 32 > FILE`."));
        }
        Ok(Self(Zeroizing::new(trimmed.to_vec())))
    }

    /// Reads the password from a file.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the file cannot be read, is empty or longer than 64 KiB.
    pub fn from_file(path: &Path) -> Result<Self> {
        let unreadable = |e: std::io::Error| {
            RepoError::new(ErrorKind::Invalid, format!("cannot read the secret file {}", path.display()))
                .with_source(e)
                .recommend("Check the path and its permissions.")
        };
        let file = File::open(path).map_err(unreadable)?;
        // one allocation of the final size: a growing buffer would leave copies behind
        let mut bytes = Zeroizing::new(Vec::with_capacity(LIMIT as usize + 1));
        file.take(u64::from(LIMIT) + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() > LIMIT as usize {
            return Err(RepoError::new(
                ErrorKind::Invalid,
                format!("the secret file {} is longer than 64 KiB", path.display()),
            )
            .recommend("Give the file that holds the repository secret and nothing else."));
        }
        Self::new(&bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trimmed_as_restic_trims() {
        assert_eq!(RepositorySecret::new(b" \tpass word\r\n\n").unwrap().as_bytes(), b"pass word");
        assert_eq!(RepositorySecret::new("\u{feff}p\u{a0}\n".as_bytes()).unwrap().as_bytes(), b"p");
        assert_eq!(RepositorySecret::new(b"\xff\n").unwrap().as_bytes(), b"\xff");
        assert_eq!(RepositorySecret::new(b" \n").unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(format!("{:?}", RepositorySecret::new(b"x").unwrap()), "RepositorySecret(…)");
    }
}
