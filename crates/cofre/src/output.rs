//! What goes to standard output: one JSON object, or text for people.

use std::{
    ffi::OsString,
    io::{self, Write},
};

use clap::error::ErrorKind as ClapKind;
use serde::Serialize;

use crate::{
    exit::Exit,
    report::{Report, Result},
};

/// What a command that got to its end has to say.
#[derive(Debug)]
pub(crate) struct Done {
    json: String,
    text: String,
    exit: Exit,
}

impl Done {
    /// The same answer in both forms.
    pub(crate) fn new(json: &impl Serialize, text: impl Into<String>, exit: Exit) -> Result<Self> {
        let json = serde_json::to_string(json).map_err(|e| Report {
            code: "OutputFailed",
            exit: Exit::Failed,
            message: "the result cannot be written as JSON".to_owned(),
            causes: vec![e.to_string()],
            recommendations: Vec::new(),
        })?;
        Ok(Self { json, text: text.into(), exit })
    }

    /// Nothing more: the command has written its answer itself.
    pub(crate) fn nothing(exit: Exit) -> Result<Self> {
        Ok(Self { json: String::new(), text: String::new(), exit })
    }
}

/// Prints the outcome and says how the process ends.
pub(crate) fn finish(result: Result<Done>, json: bool) -> Exit {
    let (text, exit) = match result {
        Ok(done) if done.json.is_empty() => (String::new(), done.exit),
        Ok(done) if json => (done.json + "\n", done.exit),
        Ok(done) => (done.text, done.exit),
        Err(report) if json => (format!("{}\n", report.json()), report.exit),
        Err(report) => {
            // Nothing is left to be done when standard error is gone, too.
            let _ = io::stderr().write_all(report.text().as_bytes());
            return report.exit;
        }
    };
    print(&text, exit)
}

fn print(text: &str, exit: Exit) -> Exit {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => exit,
        // `cofre … | head` has seen enough
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => exit,
        Err(e) => {
            let _ = writeln!(io::stderr(), "error: cannot write to standard output\n  caused by: {e}");
            if exit == Exit::Ok { Exit::Failed } else { exit }
        }
    }
}

/// A command line that is not understood, or that asks for help.
pub(crate) fn misunderstood(error: &clap::Error, args: impl Iterator<Item = OsString>) -> Exit {
    match error.kind() {
        ClapKind::DisplayHelp | ClapKind::DisplayVersion => {
            let _ = error.print();
            Exit::Ok
        }
        ClapKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            Exit::Usage
        }
        _ if wants_json(args) => {
            let text = error.to_string();
            let message = text.trim().strip_prefix("error: ").unwrap_or(text.trim());
            let message = message.split("\n\nUsage:").next().unwrap_or(message).trim_end();
            print(&format!("{}\n", Report::usage(message).json()), Exit::Usage)
        }
        _ => {
            let _ = error.print();
            Exit::Usage
        }
    }
}

/// Whether JSON was asked for, as far as that can be told of a line that is not understood.
fn wants_json(args: impl Iterator<Item = OsString>) -> bool {
    let mut last = OsString::new();
    for arg in args {
        if arg == "--json" || arg == "--output=json" || (last == "--output" && arg == "json") {
            return true;
        }
        if arg == "--" {
            return false;
        }
        last = arg;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_noticed_on_a_line_that_is_not_understood() {
        let wants = |line: &str| wants_json(line.split(' ').map(OsString::from));
        assert!(wants("cofre repo nonsense --json"));
        assert!(wants("cofre --output json repo"));
        assert!(wants("cofre --output=json repo"));
        assert!(!wants("cofre repo json --output human"));
        assert!(!wants("cofre repo -- --json"));
    }
}
