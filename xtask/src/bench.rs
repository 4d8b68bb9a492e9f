//! `cargo xtask bench`: cofre and other backup programs on the same disks (docs/benchmarks.md).

mod corpus;
pub(crate) mod measure;
mod peers;
mod report;
mod shapes;

use std::{
    error::Error,
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use corpus::{Corpus, Images};
use peers::{Operation, Peer};
use report::{Record, Results};

use crate::{
    options::Options,
    scratch::{self, Scratch},
};

/// How it is called.
pub(crate) const USAGE: &str = "bench [--size-gib 2] [--reps 3] [--kinds encrypted,plain] \
    [--peers cofre,restic,rustic,borg,cp] [--shapes] [--work DIR] [--results FILE] [--keep]";
const KINDS: &[&str] = &["encrypted", "plain"];

/// The disk that every program backs up: one path, behind which one day's image or the other's stands.
pub(crate) struct Disk {
    source: PathBuf,
    images: Images,
}

impl Disk {
    /// Lets an image stand behind the path, read once so that it is in the page cache.
    fn show(&self, image: &Path) -> Result<(), Box<dyn Error>> {
        if self.source.exists() {
            fs::remove_file(&self.source)?;
        }
        fs::hard_link(image, &self.source)?;
        std::io::copy(&mut File::open(image)?, &mut std::io::sink())?;
        self.touch()
    }

    /// Moves the time of modification on, so that nobody can skip the file.
    fn touch(&self) -> Result<(), Box<dyn Error>> {
        let file = File::options().append(true).open(&self.source)?;
        let modified = file.metadata()?.modified()?;
        Ok(file.set_modified(modified + Duration::from_secs(1))?)
    }
}

/// Runs the command.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let valued = ["size-gib", "reps", "kinds", "peers", "work", "results"];
    let options = Options::read(arguments, &valued, &["shapes", "keep"])?;
    let size_gib: u64 = options.number("size-gib", 2)?;
    let reps: u32 = options.number("reps", 3)?;
    if size_gib == 0 || reps == 0 {
        return Err("--size-gib and --reps begin at 1".into());
    }
    let (kinds, names) = (options.list("kinds", KINDS)?, options.list("peers", peers::NAMES)?);
    measure::check_tools()?;
    let cofre = scratch::cofre(root)?;
    let default = || root.join("target/bench/results.jsonl");
    let results = Results::open(options.text("results").map_or_else(default, PathBuf::from))?;
    let scratch = Scratch::new(options.text("work"), "cofre-bench", options.is_set("keep"))?;
    let (work, source) = (scratch.path(), scratch.path().join("disk.img"));

    let mut peers = Vec::new();
    for name in names {
        match Peer::find(name, &cofre, work, &source)? {
            Some(peer) => peers.push(peer),
            None => eprintln!("{name} is not on the PATH: left out"),
        }
    }
    results.line(&report::machine(&peers))?;
    println!("{}\n", report::machine(&peers));

    let corpus = Corpus::plan(size_gib << 30);
    let (allocated, changed) = (report::mib(corpus.allocated()), report::mib(corpus.changed()));
    println!("disk: {size_gib} GiB, {allocated:.0} MiB allocated, {changed:.1} MiB changed on day 2\n");
    for kind in kinds {
        let disk = Disk { source: source.clone(), images: corpus.write(work, kind)? };
        if options.is_set("shapes") {
            println!("{}", shapes::run(&cofre, work, &corpus, kind, &disk, reps, &results)?);
        } else {
            let mut records = Vec::new();
            for rep in 1..=reps {
                repeat(&mut peers, kind, rep, &disk, &mut |record| {
                    results.record(&record, corpus.size())?;
                    records.push(record);
                    Ok(())
                })?;
            }
            println!("{}", report::table(&records, kind));
        }
        fs::remove_file(&disk.images.day1)?;
        fs::remove_file(&disk.images.day2)?;
    }
    Ok(())
}

/// One repetition: each operation by every program in turn; the order turns by one each time.
fn repeat(
    peers: &mut [Peer],
    kind: &'static str,
    rep: u32,
    disk: &Disk,
    keep: &mut dyn FnMut(Record) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    if rep > 1 && !peers.is_empty() {
        peers.rotate_left(1);
    }
    disk.show(&disk.images.day1)?;
    for peer in &*peers {
        peer.prepare(&[])?;
    }
    for operation in Operation::ALL {
        if operation == Operation::Day2List {
            disk.show(&disk.images.day2)?;
        }
        for peer in &*peers {
            let Some(command) = peer.operation(operation) else { continue };
            match operation {
                Operation::Unchanged => disk.touch()?,
                Operation::Day2List => copy(&peer.repository(), &peer.repository_of(operation))?,
                _ => {}
            }
            measure::flush(peer.root())?;
            eprintln!("{kind}, repetition {rep}: {} {}", peer.name, operation.name());
            let cost = measure::run(&command, peer.root())?;
            let repository = peer.repository_of(operation);
            let stored = measure::stored(&repository)?;
            if operation == Operation::Restore {
                let restored = peer.restored();
                if !measure::same(&disk.images.day2, &restored)? {
                    return Err(format!("{}: the restored disk differs from its source", peer.name).into());
                }
                fs::remove_file(restored)?;
            }
            if operation == Operation::Day2List {
                fs::remove_dir_all(repository)?;
            }
            keep(Record { kind, rep, peer: peer.name, operation, cost, stored })?;
        }
    }
    for peer in &*peers {
        fs::remove_dir_all(peer.root())?;
    }
    Ok(())
}

/// Copies a directory tree.
fn copy(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
