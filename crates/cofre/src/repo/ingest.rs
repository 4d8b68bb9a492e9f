//! `cofre repo ingest`.

use cofre_disk::{BlockSource, DirtyRanges, ErrorKind as DiskKind, open_source};
use cofre_repo::{
    ErrorKind, RepoError,
    ingest::{DiskInput, DiskReport, IngestReport, IngestRequest, ParentChoice},
    point::Consistency,
};
use serde::Serialize;

use super::exit_with;
use crate::{
    Context, Report,
    args::{IngestArgs, Parent},
    disk_spec::ChangedSpec,
    output::Done,
    quantity,
    report::Result,
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    point: String,
    name: &'a str,
    parent: Option<String>,
    snapshot: String,
    duration_ms: u64,
    repository_bytes_added: u64,
    disks: Vec<DiskAnswer<'a>>,
    warnings: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DiskAnswer<'a> {
    name: &'a str,
    size: u64,
    bytes_read: u64,
    bytes_hole: u64,
    chunks_new: u64,
    chunks_known: u64,
    bytes_stored: u64,
}

pub(crate) fn run(args: IngestArgs, context: &Context) -> Result<Done> {
    refuse_contradictions(&args)?;
    let secret = super::secret(&args.repo)?;
    let mut disks = Vec::new();
    for disk in &args.disks {
        let source = open_source(&disk.path, disk.format).map_err(Report::source)?;
        let list = args.changed.iter().find(|c| c.name == disk.name);
        let changed = list.map(|list| read_list(list, &*source)).transpose()?;
        disks.push(DiskInput {
            name: disk.name.clone(),
            format: disk.format.name().to_owned(),
            source,
            changed,
            encryption: None,
        });
    }
    let repository = cofre_repo::Repository::open(args.repo.url.storage()?, &secret)?;
    let request = IngestRequest {
        id: None,
        name: args.name,
        resource: None,
        tags: args.tags,
        time: None,
        consistency: Consistency::CrashConsistent,
        parent: match args.parent {
            Parent::Latest => ParentChoice::Newest,
            Parent::None => ParentChoice::None,
            Parent::Point(point) => ParentChoice::Point(point),
        },
        disks,
        machine: None,
        keys: Vec::new(),
        software: concat!("cofre ", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    let report = repository.ingest(&request, &context.progress, &context.cancel)?;
    let warnings = context.progress.warnings();
    Done::new(&answer(&report, &warnings), text(&report), exit_with(&warnings))
}

/// What the command line alone shows to be wrong.
fn refuse_contradictions(args: &IngestArgs) -> Result<()> {
    for (i, list) in args.changed.iter().enumerate() {
        if !args.disks.iter().any(|d| d.name == list.name) {
            return Err(Report::usage(format!("--changed names {}, but no --disk does", list.name)));
        }
        if args.changed[..i].iter().any(|c| c.name == list.name) {
            return Err(Report::usage(format!("two lists of changes are given for disk {}", list.name)));
        }
    }
    if args.parent == Parent::None && !args.changed.is_empty() {
        return Err(Report::usage("a list of changes says nothing without a parent")
            .recommend("Leave out --changed or --parent none."));
    }
    Ok(())
}

fn read_list(list: &ChangedSpec, source: &dyn BlockSource) -> Result<DirtyRanges> {
    DirtyRanges::read(&list.file, source.size()).map_err(|e| {
        let kind = match e.kind() {
            DiskKind::Invalid | DiskKind::Malformed | DiskKind::Unsupported => ErrorKind::Invalid,
            _ => ErrorKind::SourceUnreadable,
        };
        RepoError::new(kind, format!("the list of changes for disk {} cannot be used", list.name))
            .with_source(e)
            .recommend(
                "Give a JSON list such as [{\"start\": 0, \"length\": 65536}] with ranges inside the disk, or \
                 leave out --changed: then the whole disk is compared.",
            )
            .into()
    })
}

fn answer<'a>(report: &'a IngestReport, warnings: &'a [String]) -> Answer<'a> {
    let disk = |d: &'a DiskReport| DiskAnswer {
        name: &d.name,
        size: d.size,
        bytes_read: d.bytes_read,
        bytes_hole: d.bytes_hole,
        chunks_new: d.chunks_new,
        chunks_known: d.chunks_known,
        bytes_stored: d.bytes_stored,
    };
    Answer {
        point: report.point.to_hex(),
        name: &report.name,
        parent: report.parent.map(|p| p.to_hex()),
        snapshot: report.snapshot.to_hex(),
        duration_ms: report.duration_ms,
        repository_bytes_added: report.repository_bytes_added,
        disks: report.disks.iter().map(disk).collect(),
        warnings,
    }
}

fn text(report: &IngestReport) -> String {
    use quantity::{bytes, count, milliseconds};
    let compared = match report.parent {
        Some(parent) => format!("compared with {}", parent.short()),
        None => "with nothing to compare with".to_owned(),
    };
    let mut text = format!(
        "Recovery point {} of {}, {compared}, in {}; the repository grew by {}.\n",
        report.point,
        report.name,
        milliseconds(report.duration_ms),
        bytes(report.repository_bytes_added)
    );
    for disk in &report.disks {
        text.push_str(&format!(
            "  disk {}: {}, {} read, {} in holes; {} new ({} stored), {} known\n",
            disk.name,
            bytes(disk.size),
            bytes(disk.bytes_read),
            bytes(disk.bytes_hole),
            count(disk.chunks_new, "chunk"),
            bytes(disk.bytes_stored),
            disk.chunks_known
        ));
    }
    text
}
