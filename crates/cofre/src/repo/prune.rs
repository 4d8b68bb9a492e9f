//! `cofre repo prune`.

use cofre_repo::{progress::Progress, prune::PruneReport};
use serde::Serialize;

use super::exit_with;
use crate::{
    Context,
    args::PruneArgs,
    output::Done,
    quantity::{bytes, count},
    report::Result,
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    packs_deleted: u64,
    bytes_freed: u64,
    packs_repacked: u64,
    bytes_repacked: u64,
    packs_waiting: u64,
    waiting_for: Option<&'a str>,
    bytes_used: u64,
    bytes_unused: u64,
    packs_damaged: Vec<String>,
    warnings: &'a [String],
}

pub(crate) fn run(args: &PruneArgs, context: &Context) -> Result<Done> {
    let repository = super::open(&args.repo)?;
    let report = repository.prune(args.grace, &context.progress, &context.cancel)?;
    if !report.packs_damaged.is_empty() {
        let packs = count(report.packs_damaged.len() as u64, "damaged pack");
        context.progress.warn(&format!(
            "{packs} kept: recovery points need what is in them (`cofre repo check --read-data` tells more)"
        ));
    }
    let warnings = context.progress.warnings();
    let answer = Answer {
        packs_deleted: report.packs_deleted,
        bytes_freed: report.bytes_freed,
        packs_repacked: report.packs_repacked,
        bytes_repacked: report.bytes_repacked,
        packs_waiting: report.packs_waiting,
        waiting_for: report.waiting_for.as_deref(),
        bytes_used: report.bytes_used,
        bytes_unused: report.bytes_unused,
        packs_damaged: report.packs_damaged.iter().map(|p| p.to_hex()).collect(),
        warnings: &warnings,
    };
    Done::new(&answer, text(&report), exit_with(&warnings))
}

fn text(report: &PruneReport) -> String {
    let mut text = format!(
        "{} deleted, {} freed; {} repacked ({} moved); {} in use, {} unused.\n",
        count(report.packs_deleted, "pack"),
        bytes(report.bytes_freed),
        count(report.packs_repacked, "pack"),
        bytes(report.bytes_repacked),
        bytes(report.bytes_used),
        bytes(report.bytes_unused)
    );
    if report.packs_waiting > 0 {
        let what = report.waiting_for.as_deref().unwrap_or("the next prune");
        text.push_str(&format!("{} waiting: {what}.\n", count(report.packs_waiting, "pack")));
    }
    text
}
