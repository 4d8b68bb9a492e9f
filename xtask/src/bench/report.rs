//! Records of runs, and the tables made of them.

use std::{
    error::Error,
    fs::{self, OpenOptions},
    io::Write,
    path::PathBuf,
};

use serde_json::{Value, json};

use super::{
    measure::Cost,
    peers::{NAMES, Operation, Peer},
};

const MIB: f64 = 1_048_576.0;

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// Plain or encrypted.
    pub(crate) kind: &'static str,
    /// Which repetition.
    pub(crate) rep: u32,
    /// Who.
    pub(crate) peer: &'static str,
    /// What.
    pub(crate) operation: Operation,
    /// What it took.
    pub(crate) cost: Cost,
    /// Bytes its repository takes afterwards.
    pub(crate) stored: u64,
}

impl Record {
    fn to_json(&self, size: u64) -> Value {
        json!({
            "kind": self.kind, "rep": self.rep, "peer": self.peer, "operation": self.operation.name(),
            "size": size, "wall": self.cost.wall, "flush": self.cost.flush, "cpu": self.cost.cpu,
            "peakKib": self.cost.peak_kib, "stored": self.stored,
        })
    }
}

/// The file that raw records are appended to.
#[derive(Debug)]
pub(crate) struct Results(PathBuf);

impl Results {
    /// Opens it; directories above are made.
    pub(crate) fn open(path: PathBuf) -> Result<Self, Box<dyn Error>> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let results = Self(path);
        results.append(&[])?;
        Ok(results)
    }

    /// Appends one line.
    pub(crate) fn line(&self, value: &Value) -> Result<(), Box<dyn Error>> {
        self.append(format!("{value}\n").as_bytes())
    }

    /// Appends a run.
    pub(crate) fn record(&self, record: &Record, size: u64) -> Result<(), Box<dyn Error>> {
        self.line(&record.to_json(size))
    }

    fn append(&self, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.0)?;
        Ok(file.write_all(bytes)?)
    }
}

/// The machine, and the versions of the programs.
pub(crate) fn machine(peers: &[Peer]) -> Value {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|l| l.strip_prefix("model name")?.split_once(':'));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let versions: serde_json::Map<String, Value> =
        peers.iter().map(|p| (p.name.to_owned(), json!(p.version))).collect();
    json!({"machine": {
        "cpu": model.map_or("?", |(_, m)| m.trim()), "cores": cores, "kernel": kernel.trim(), "versions": versions,
    }})
}

/// The median; of an even number, the mean of the two in the middle.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    values.get(values.len() / 2 - 1).map(|lower| f64::midpoint(*lower, upper))
}

/// A number of bytes as MiB, for tables.
#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB
}

/// The table of one kind of image, in Markdown.
pub(crate) fn table(records: &[Record], kind: &str) -> String {
    let mut lines = vec![
        format!("{kind}:\n"),
        "| operation | program | wall s | CPU s | peak MiB | stored MiB | wall ÷ cofre's |".to_owned(),
        "|---|---|---:|---:|---:|---:|---:|".to_owned(),
    ];
    let show = |value: Option<f64>, digits| value.map_or("–".to_owned(), |v| format!("{v:.digits$}"));
    for operation in Operation::ALL {
        let runs = |peer: &'static str| {
            records.iter().filter(move |r| r.kind == kind && r.operation == operation && r.peer == peer)
        };
        for &peer in NAMES.iter().filter(|peer| runs(peer).next().is_some()) {
            let ratios = runs(peer).filter_map(|run| {
                let ours = runs("cofre").find(|r| r.rep == run.rep)?;
                Some(run.cost.wall / ours.cost.wall)
            });
            let wall = show(median(runs(peer).map(|r| r.cost.wall)), 2);
            let cpu = show(median(runs(peer).map(|r| r.cost.cpu)), 2);
            let peak = show(median(runs(peer).map(|r| mib(r.cost.peak_kib * 1024))), 0);
            let stored = show(median(runs(peer).map(|r| mib(r.stored))), 1);
            let name = operation.name();
            lines.push(format!(
                "| {name} | {peer} | {wall} | {cpu} | {peak} | {stored} | {} |",
                show(median(ratios), 2)
            ));
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0].into_iter()), Some(2.5));
        assert_eq!(median([].into_iter()), None);
    }

    #[test]
    fn ratios_are_taken_within_a_repetition() {
        let run = |peer, rep, wall| Record {
            kind: "plain",
            rep,
            peer,
            operation: Operation::First,
            cost: Cost { wall, flush: 0.0, cpu: 1.0, peak_kib: 2048 },
            stored: 3 << 20,
        };
        // The machine was ten times slower in the second repetition.
        let records = [run("cofre", 1, 1.0), run("cp", 1, 2.0), run("cofre", 2, 10.0), run("cp", 2, 20.0)];
        let table = table(&records, "plain");
        assert!(table.contains("| first | cp | 11.00 | 1.00 | 2 | 3.0 | 2.00 |"), "{table}");
    }
}
