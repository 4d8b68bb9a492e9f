//! Progress of long work: the library reports, somebody else prints.

/// What the long operations report. Called from several threads, often: bodies must be cheap.
pub trait Progress: Send + Sync {
    /// Work begins: what, and how many bytes it is about (0 = not known).
    fn begin(&self, what: &str, bytes: u64) {
        let _ = (what, bytes);
    }

    /// `bytes` more are dealt with; `new` of them were new to the repository.
    fn advance(&self, bytes: u64, new: u64) {
        let _ = (bytes, new);
    }

    /// The work that began last is over.
    fn end(&self) {}

    /// Something odd that did not stop the work.
    fn warn(&self, message: &str) {
        let _ = message;
    }
}

/// Reports to nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {}
