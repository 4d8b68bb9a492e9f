//! What the size of chunks costs and saves, so that it can be judged before the format is frozen.

use std::{error::Error, fs, path::Path};

use serde_json::json;

use super::{
    Disk,
    corpus::Corpus,
    measure,
    peers::{Operation, Peer},
    report::{Results, mib},
};

/// The sizes that are tried. Those of pieces and groups are compiled into cofre.
const CHUNKS: &[&str] = &["64K", "128K", "256K"];

/// Space after a backup.
struct Space {
    stored: u64,
    index: u64,
}

fn space(peer: &Peer) -> Result<Space, Box<dyn Error>> {
    let repository = peer.repository();
    Ok(Space { stored: measure::stored(&repository)?, index: measure::length(&repository.join("index"))? })
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Measures one kind of image with every size of chunks; the table, in Markdown.
pub(crate) fn run(
    cofre: &Path,
    work: &Path,
    corpus: &Corpus,
    kind: &str,
    disk: &Disk,
    reps: u32,
    results: &Results,
) -> Result<String, Box<dyn Error>> {
    let peer = Peer::find("cofre", cofre, work, &disk.source)?.ok_or("no cofre")?;
    let mut lines = vec![
        format!("{kind}, pieces of 64 MiB, groups of 16 GiB:\n"),
        "| chunk | first: stored MiB | index KiB | s | day2: stored MiB | index KiB | added ÷ changed | s |"
            .to_owned(),
        "|---|---:|---:|---:|---:|---:|---:|---:|".to_owned(),
    ];
    for chunk in CHUNKS {
        let (mut first_times, mut second_times) = (Vec::new(), Vec::new());
        let mut row = String::new();
        for rep in 1..=reps {
            peer.prepare(&["--chunk-size", chunk])?;
            disk.show(&disk.images.day1)?;
            measure::flush(work)?;
            let first_time = back_up(&peer, Operation::First)?;
            let first = space(&peer)?;
            disk.show(&disk.images.day2)?;
            let second_time = back_up(&peer, Operation::Day2)?;
            let second = space(&peer)?;
            first_times.push(first_time);
            second_times.push(second_time);
            let growth = mib(second.stored.saturating_sub(first.stored)) / mib(corpus.changed());
            results.line(&json!({
                "shape": chunk, "kind": kind, "rep": rep, "size": corpus.size(), "changed": corpus.changed(),
                "first": {"stored": first.stored, "index": first.index, "wall": first_time},
                "day2": {"stored": second.stored, "index": second.index, "wall": second_time},
                "growth": growth,
            }))?;
            row = format!(
                "| {chunk} | {:.1} | {} | {:.2} | {:.1} | {} | {growth:.2} | {:.2} |",
                mib(first.stored),
                first.index / 1024,
                median(first_times.clone()),
                mib(second.stored),
                second.index / 1024,
                median(second_times.clone()),
            );
        }
        lines.push(row);
        fs::remove_dir_all(peer.root())?;
    }
    Ok(lines.join("\n") + "\n")
}

fn back_up(peer: &Peer, operation: Operation) -> Result<f64, Box<dyn Error>> {
    let command = peer.operation(operation).ok_or("no such operation")?;
    let cost = measure::run(&command, peer.root())?;
    Ok(cost.wall)
}
