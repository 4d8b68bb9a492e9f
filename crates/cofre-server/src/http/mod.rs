//! Requests and answers, apart from sockets.

mod answer;
mod call;
mod read;
mod refusal;
mod target;

pub use answer::Answer;
pub use call::{Call, Method};
pub(crate) use read::read;
pub use refusal::Refusal;
pub use target::{Query, Target};

/// Largest body of a request, in bytes. A key blob with 500 versions of 4096 bits stays below 2 MiB in base64url.
pub const LARGEST_BODY: usize = 4 << 20;
