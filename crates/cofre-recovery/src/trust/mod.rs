//! What opens repositories: the service key online, envelopes and the recovery kit offline.
//!
//! Each protected item has a repository with a random secret of 256 bits. The secret is sealed twice:
//! under the [service key](service_key), for daily work, and in an [envelope] beside the
//! repository, for the [recovery kit](kit). The key vault's root key has no part in it.
//! Formats: `docs/home.md`.

pub mod envelope;
mod files;
pub mod kit;
pub mod service_key;

pub use envelope::{Envelope, RecoveryKey, RecoveryPublicKey};
pub use files::write_private;
pub use kit::Kit;
pub use service_key::ServiceKey;
