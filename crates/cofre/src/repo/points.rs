//! `cofre repo points`.

use cofre_repo::{progress::Progress, repository::Point};
use serde::Serialize;

use super::exit_with;
use crate::{Context, args::PointsArgs, output::Done, quantity, report::Result};

#[derive(Serialize)]
struct Answer<'a> {
    points: Vec<PointAnswer<'a>>,
    unreadable: Vec<Unreadable>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct PointAnswer<'a> {
    id: String,
    time: String,
    name: &'a str,
    tags: &'a [String],
    disks: Vec<DiskAnswer<'a>>,
    parent: Option<String>,
    consistency: &'a str,
    snapshot: String,
}

#[derive(Serialize)]
struct DiskAnswer<'a> {
    name: &'a str,
    size: u64,
}

#[derive(Serialize)]
struct Unreadable {
    id: String,
    snapshot: String,
    name: Option<String>,
    code: &'static str,
    message: String,
}

pub(crate) fn run(args: &PointsArgs, context: &Context) -> Result<Done> {
    let repository = super::open(&args.repo)?;
    let index = repository.load_index()?;
    let (mut points, unreadable) = repository.points(&index)?;
    if let Some(name) = &args.name {
        points.retain(|p| p.document.name == *name);
    }
    let mut lost = Vec::new();
    for point in unreadable {
        if args.name.is_some() && point.name.is_some() && point.name != args.name {
            continue;
        }
        // where the snapshot itself cannot be read, the beginning of its name serves as the id
        let id = point.point.map_or_else(|| point.snapshot.to_hex()[..32].to_owned(), |p| p.to_hex());
        let of = point.name.as_ref().map(|n| format!(" of {n}")).unwrap_or_default();
        context.progress.warn(&format!(
            "recovery point {id}{of} cannot be read ({}); `cofre repo forget` takes this id too",
            point.error
        ));
        lost.push(Unreadable {
            id,
            snapshot: point.snapshot.to_hex(),
            name: point.name,
            code: point.error.kind().code(),
            message: point.error.to_string(),
        });
    }
    let warnings = context.progress.warnings();
    let answer =
        Answer { points: points.iter().map(answer).collect(), unreadable: lost, warnings: &warnings };
    Done::new(&answer, table(&points), exit_with(&warnings))
}

fn answer(point: &Point) -> PointAnswer<'_> {
    let document = &point.document;
    PointAnswer {
        id: document.id.to_hex(),
        time: document.time.to_string(),
        name: &document.name,
        tags: &document.tags,
        disks: document.disks.iter().map(|d| DiskAnswer { name: &d.name, size: d.size }).collect(),
        parent: document.parent.map(|p| p.to_hex()),
        consistency: document.consistency.name(),
        snapshot: point.snapshot.to_hex(),
    }
}

fn table(points: &[Point]) -> String {
    if points.is_empty() {
        return "There are no recovery points.\n".to_owned();
    }
    let width = points.iter().map(|p| p.document.name.len()).max().unwrap_or_default().max(4);
    let mut text = format!("{:32}  {:20}  {:width$}  DISKS\n", "POINT", "TIME", "NAME");
    for point in points {
        let document = &point.document;
        let disks: Vec<_> =
            document.disks.iter().map(|d| format!("{} {}", d.name, quantity::bytes(d.size))).collect();
        let time = document.time.strftime("%Y-%m-%dT%H:%M:%SZ");
        text.push_str(&format!(
            "{}  {time:20}  {:width$}  {}",
            document.id,
            document.name,
            disks.join(", "),
            time = time.to_string()
        ));
        if !document.tags.is_empty() {
            text.push_str(&format!("  [{}]", document.tags.join(", ")));
        }
        text.push('\n');
    }
    text
}
