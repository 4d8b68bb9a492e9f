//! The error of this crate. A message never holds a secret: of an answer to a request that carried one, the code alone
//! is repeated.

use std::error::Error as StdError;

/// The result of everything fallible here.
pub type Result<T, E = ClientError> = std::result::Result<T, E>;

/// Longest text of a server's that is repeated, in characters.
const LONGEST: usize = 400;

/// What went wrong, as far as callers have to tell cases apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting, or a name that no URL can hold.
    Setting,
    /// The server could not be reached, or its certificate is not trusted.
    Unreachable,
    /// The server's challenge was not followed: it would have given secret or token to somebody else.
    Challenge,
    /// The login was refused.
    Login,
    /// The principal lacks a permission.
    Forbidden,
    /// The version of the key or secret is disabled.
    Disabled,
    /// The server knows no such key vault.
    VaultNotFound,
    /// There is no such key or secret, or not in this version.
    NotFound,
    /// What is to be made is there, also as something deleted that can be recovered.
    Conflict,
    /// The server does not accept the request, such as a blob it cannot open.
    BadRequest,
    /// The server has no such operation.
    NotSupported,
    /// The server had too much to do, each time.
    Busy,
    /// The server failed.
    Failed,
    /// The answer is none of the contract, or too long.
    Answer,
}

/// An error of a key vault elsewhere, or on the way to it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ClientError {
    kind: ErrorKind,
    code: String,
    message: String,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl ClientError {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, code: String::new(), message: message.into(), source: None }
    }

    pub(crate) fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = code.into();
        self
    }

    pub(crate) fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// An answer that is none of the contract.
    pub(crate) fn answer(host: &str, what: &str) -> Self {
        Self::new(ErrorKind::Answer, format!("{host} gave an answer that is none of a key vault: {what}"))
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The server's own code, the more exact of two; empty when it gave none.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }
}

/// A text of a server's, fit for messages: short and on one line.
pub(crate) fn tidy(text: &str) -> String {
    let mut tidy: String = text.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(LONGEST).is_some() {
        tidy.push('…');
    }
    tidy
}
