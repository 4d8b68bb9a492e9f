//! `cofre repo check`.

use serde::Serialize;

use super::exit_with;
use crate::{Context, args::CheckArgs, exit::Exit, output::Done, quantity, report::Result};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    ok: bool,
    packs: u64,
    bytes_read: u64,
    errors: Vec<Error<'a>>,
    /// What is odd but loses nothing.
    notes: &'a [String],
    warnings: &'a [String],
}

#[derive(Serialize)]
struct Error<'a> {
    code: &'a str,
    object: &'a str,
    message: &'a str,
    action: &'a str,
}

pub(crate) fn run(args: &CheckArgs, context: &Context) -> Result<Done> {
    let repository = super::open(&args.repo)?;
    let report = repository.check(args.read_data, &context.progress, &context.cancel)?;
    let warnings = context.progress.warnings();
    let ok = report.findings.is_empty();
    let errors = report.findings.iter().map(|f| Error {
        code: f.code,
        object: &f.object,
        message: &f.message,
        action: f.action,
    });
    let answer = Answer {
        ok,
        packs: report.packs,
        bytes_read: report.bytes_read,
        errors: errors.collect(),
        notes: &report.warnings,
        warnings: &warnings,
    };
    let mut text = String::new();
    for note in &report.warnings {
        text.push_str(&format!("note: {note}\n"));
    }
    for finding in &report.findings {
        text.push_str(&format!(
            "damage: {}: {}\n  try: {}\n  code: {}\n",
            finding.object, finding.message, finding.action, finding.code
        ));
    }
    let looked_at = format!(
        "{} looked at, {} read",
        quantity::count(report.packs, "pack"),
        quantity::bytes(report.bytes_read)
    );
    if ok {
        text.push_str(&format!("All is well: {looked_at}.\n"));
        Done::new(&answer, text, exit_with(&warnings))
    } else {
        let found = quantity::count(report.findings.len() as u64, "finding");
        text.push_str(&format!("The repository is damaged, {found}: {looked_at}.\n"));
        Done::new(&answer, text, Exit::Damage)
    }
}
