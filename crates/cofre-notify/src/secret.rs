//! Secrets in files of the operator's.

use std::{fs, path::Path};

use cofre_arm::{ApiError, Problem, Result};
use zeroize::Zeroizing;

/// Largest file, in bytes.
const LIMIT: u64 = 4096;

/// The text in a file, without white space around it.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<String>> {
    let bad = |what: &str| {
        ApiError::new(Problem::StateUnavailable, format!("the secret file {} {what}", path.display()))
            .recommend("Put the secret into that file, on one line, or name another in `notifications`.")
    };
    if fs::metadata(path).map_err(|e| bad("cannot be read").because(e))?.len() > LIMIT {
        return Err(bad("is too long"));
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(|e| bad("cannot be read").because(e))?);
    let secret = Zeroizing::new(text.trim().to_owned());
    if secret.is_empty() || secret.chars().any(char::is_control) {
        return Err(bad("holds no secret of one line"));
    }
    Ok(secret)
}
