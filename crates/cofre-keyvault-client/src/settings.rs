//! How the client reaches servers, and who it is.

use std::{
    fmt,
    fs::File,
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use zeroize::Zeroizing;

use crate::error::{ClientError, ErrorKind, Result};

/// Longest secret, in bytes.
const LONGEST_SECRET: u64 = 4096;

/// How the client reaches servers, and who it is.
#[derive(Clone)]
pub struct Settings {
    /// Application id of the service principal.
    pub client_id: String,
    /// Its secret.
    pub secret: ClientSecret,
    /// Where the secret may be sent, as `https://HOST[:PORT]`: a challenge that names another place is refused. For the
    /// public clouds of Azure their known logins are taken as well.
    pub authorities: Vec<String>,
    /// The certificates to trust, as PEM; those of the system where none is set.
    pub ca_file: Option<PathBuf>,
    /// A proxy that takes CONNECT, as `http://HOST:PORT`; what `HTTPS_PROXY` says where none is set.
    pub proxy: Option<String>,
    /// Waits before a call is made again; false when nobody wants it any more.
    pub pause: Arc<dyn Fn(Duration) -> bool + Send + Sync>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("client_id", &self.client_id)
            .field("authorities", &self.authorities)
            .field("ca_file", &self.ca_file)
            .finish_non_exhaustive()
    }
}

/// The secret of a service principal. Wiped when dropped, never shown.
#[derive(Clone)]
pub struct ClientSecret(Zeroizing<String>);

impl ClientSecret {
    /// Takes a secret.
    #[must_use]
    pub fn new(secret: Zeroizing<String>) -> Self {
        Self(secret)
    }

    /// Reads a file; white space around the secret does not count. A file that others may read is refused.
    ///
    /// # Errors
    /// [`ErrorKind::Setting`].
    pub fn from_file(path: &Path) -> Result<Self> {
        let bad = |what: &str| {
            ClientError::new(ErrorKind::Setting, format!("the secret file {} {what}", path.display()))
        };
        let unreadable = |error: std::io::Error| bad("cannot be read").with_source(error);
        let file = File::open(path).map_err(unreadable)?;
        if file.metadata().map_err(unreadable)?.mode() & 0o077 != 0 {
            return Err(bad("may be read by others: chmod 600 it, and have a new secret made"));
        }
        let room = usize::try_from(LONGEST_SECRET + 1).unwrap_or_default();
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        file.take(LONGEST_SECRET + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| bad("is no text"))?.trim();
        if text.is_empty() || bytes.len() as u64 > LONGEST_SECRET {
            return Err(bad("is empty, or too long to be a secret"));
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(…)")
    }
}
