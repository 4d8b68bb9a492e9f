//! `cofre demo`: the whole story, in [`story`].
//!
//! What a demonstration needs that a real installation has already: an encrypted disk of a virtual
//! machine, with files whose content is known, and a second day on which a few of them changed.
//!
//! `tree` invents the files, `ext4` puts them into a file system (with e2fsprogs, nothing is
//! mounted), `disk` encrypts it, `listing` says what is in it. Everything works without root.

mod disk;
mod ext4;
mod listing;
mod narrator;
mod search;
mod stage;
mod story;
mod tool;
mod tree;

use std::fmt::Display;

pub(crate) use self::story::{DemoArgs, EXAMPLES, run};
use crate::{exit::Exit, report::Report};

/// A failure that has no code of its own.
fn failed(message: impl Into<String>, cause: impl Display) -> Report {
    Report {
        code: "DemoFailed",
        exit: Exit::Failed,
        message: message.into(),
        causes: vec![cause.to_string()],
        recommendations: vec!["Remove the cause and start the demonstration again.".to_owned()],
    }
}

#[cfg(test)]
mod tests;
