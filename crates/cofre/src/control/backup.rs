//! `cofre backup …`: backups now, and the nouns below `backup` as `az` has them.

use clap::{Args, Subcommand};
use cofre_recovery::{
    backup::BackupReport,
    job::BackupRequest,
    key_source::ProofState,
    points::{RecoveryPoint, RecoveryPointDisk},
};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde_json::{Value, json};

use crate::{
    Context,
    control::{
        job::{self, JobCommand},
        outcome,
        policy::PolicyCommand,
        protection::{ItemCommand, ProtectionCommand},
        recoverypoint::RecoveryPointCommand,
        restore::RestoreCommand,
        selection::ItemArgs,
        table::instant,
        vault::VaultCommand,
    },
    output::Done,
    quantity,
    report::Result,
};

const NOW: &str = "Exit code 3: the recovery point is made, but something deserves attention, such as keys that were not captured.

Example:
  cofre backup now --vault-name bv --item-name web --retain-until 2027-01-31";

#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// Makes a recovery point of a protected machine
    #[command(after_help = NOW)]
    Now(NowArgs),
    /// `cofre vault`
    #[command(subcommand, hide = true)]
    Vault(VaultCommand),
    /// `cofre policy`
    #[command(subcommand, hide = true)]
    Policy(PolicyCommand),
    /// `cofre protection`
    #[command(subcommand, hide = true)]
    Protection(ProtectionCommand),
    /// `cofre item`
    #[command(subcommand, hide = true)]
    Item(ItemCommand),
    /// `cofre job`
    #[command(subcommand, hide = true)]
    Job(JobCommand),
    /// `cofre recoverypoint`
    #[command(subcommand, hide = true)]
    Recoverypoint(RecoveryPointCommand),
    /// `cofre restore`
    #[command(subcommand, hide = true)]
    Restore(RestoreCommand),
}

#[derive(Debug, Args)]
pub(crate) struct NowArgs {
    #[command(flatten)]
    item: ItemArgs,
    /// Keep the point until the end of this day (UTC): 2027-01-31 or 31-01-2027; or until an instant [default: 30 days]
    #[arg(long, value_name = "DATE", value_parser = parse_until)]
    retain_until: Option<Timestamp>,
    /// Do not wait: a worker makes the point (`cofre serve`)
    #[arg(long)]
    no_wait: bool,
}

fn parse_until(text: &str) -> std::result::Result<Timestamp, String> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant);
    }
    let day = Date::strptime("%Y-%m-%d", text).or_else(|_| Date::strptime("%d-%m-%Y", text));
    let end = day.and_then(|d| d.tomorrow()).and_then(|d| TimeZone::UTC.to_timestamp(d.at(0, 0, 0, 0)));
    end.map_err(|_| format!("{text:?} is no date like 2027-01-31 or 31-01-2027"))
}

pub(crate) fn run(command: BackupCommand, context: &Context) -> Result<Done> {
    match command {
        BackupCommand::Now(args) => now(&args, context),
        BackupCommand::Vault(command) => super::vault::run(command, context),
        BackupCommand::Policy(command) => super::policy::run(command, context),
        BackupCommand::Protection(command) => super::protection::run(command, context),
        BackupCommand::Item(command) => super::protection::run_item(command, context),
        BackupCommand::Job(command) => super::job::run(command, context),
        BackupCommand::Recoverypoint(command) => super::recoverypoint::run(command, context),
        BackupCommand::Restore(command) => super::restore::run(command, context),
    }
}

pub(crate) fn now(args: &NowArgs, context: &Context) -> Result<Done> {
    let home = context.open_home()?;
    let item = args.item.item(&home)?;
    if args.no_wait {
        let request = BackupRequest { retain_until: args.retain_until, ..BackupRequest::user() };
        return job::submitted(&home.recovery.submit_backup(&item.id, &request)?);
    }
    let finished = home.recovery.backup(&item.id, args.retain_until, &context.progress, &context.cancel)?;
    let report = finished.result.map_err(|e| outcome::failure(e, &finished.job))?;
    let (warnings, exit) = outcome::warn(&finished.job, context);
    let json = json!({
        "job": finished.job.id,
        "status": finished.job.status,
        "recoveryPoint": report.point,
        "repositoryBytesAdded": report.transfer.repository_bytes_added,
        "durationMs": report.transfer.duration_ms,
        "disks": report.transfer.disks.iter().map(|d| disk(d, &report.point)).collect::<Vec<_>>(),
        "warnings": warnings,
    });
    Done::new(&json, text(&item.friendly_name, &finished.job.id, &report), exit)
}

fn disk(read: &cofre_repo::ingest::DiskReport, point: &RecoveryPoint) -> Value {
    let keys = point.disks.iter().find(|d| d.name == read.name).map(|d| &d.keys);
    json!({
        "name": read.name,
        "size": read.size,
        "bytesRead": read.bytes_read,
        "bytesHole": read.bytes_hole,
        "chunksNew": read.chunks_new,
        "chunksKnown": read.chunks_known,
        "bytesStored": read.bytes_stored,
        "keys": keys,
    })
}

/// What is known of a disk's keys, in words.
pub(crate) fn keys(disk: &RecoveryPointDisk) -> String {
    match &disk.keys {
        ProofState::Captured { reason } => format!("keys captured: {reason}"),
        ProofState::Missing { reason } => format!("keys missing: {reason}"),
        ProofState::Proven => "keys proven".to_owned(),
        ProofState::DoesNotOpen => "its keys do not open it".to_owned(),
        ProofState::NotEncrypted => "not encrypted".to_owned(),
    }
}

fn text(name: &str, job: &str, report: &BackupReport) -> String {
    use quantity::{bytes, count, milliseconds};
    let compared = if report.transfer.parent.is_some() { "incremental" } else { "full" };
    let mut text = format!(
        "Recovery point {} of {name}, {compared}, in {}; the repository grew by {}.\n  job {job}\n  kept until {}\n",
        report.point.name,
        milliseconds(report.transfer.duration_ms),
        bytes(report.transfer.repository_bytes_added),
        instant(report.point.expiry)
    );
    for disk in &report.transfer.disks {
        let known = report.point.disks.iter().find(|d| d.name == disk.name).map(keys).unwrap_or_default();
        text.push_str(&format!(
            "  disk {}: {}, {} read; {} new ({} stored), {} known; {known}\n",
            disk.name,
            bytes(disk.size),
            bytes(disk.bytes_read),
            count(disk.chunks_new, "chunk"),
            bytes(disk.bytes_stored),
            disk.chunks_known,
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_end_at_midnight() {
        let end: Timestamp = "2027-02-01T00:00:00Z".parse().unwrap();
        assert_eq!(parse_until("2027-01-31").unwrap(), end);
        assert_eq!(parse_until("31-01-2027").unwrap(), end);
        assert_eq!(parse_until("2027-02-01T01:00:00+01:00").unwrap(), end);
        for bad in ["", "31-13-2027", "tomorrow", "2027-01-31x"] {
            assert!(parse_until(bad).is_err(), "{bad}");
        }
    }
}
