//! `cofre completions`.

use clap::CommandFactory;

use crate::{
    args::{Cli, CompletionsArgs},
    exit::Exit,
    output::Done,
    report::Result,
};

pub(crate) fn print(args: &CompletionsArgs) -> Result<Done> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "cofre", &mut script);
    let text = String::from_utf8_lossy(&script).into_owned();
    Done::new(&serde_json::json!({"script": text}), text, Exit::Ok)
}
