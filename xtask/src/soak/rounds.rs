//! One round: something is done and perhaps killed, then everything is compared.

use std::{
    collections::BTreeMap,
    error::Error,
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use super::{
    engine::{Ended, Engine},
    images,
    model::{Model, Point},
    totals::Totals,
};
use crate::{scratch, splitmix::Random};

const MACHINES: [&str; 2] = ["a", "b"];
/// Points are forgotten when there are more than this many.
const MOST_POINTS: usize = 10;
/// Every so many rounds everything is checked.
const CHECK_EVERY: u64 = 10;
/// Exit code of a command that a lock excludes.
const LOCKED: i32 = 11;

/// Everything the rounds work with.
#[derive(Debug)]
pub(crate) struct Soak {
    pub(super) directory: PathBuf,
    pub(super) repository: PathBuf,
    pub(super) engine: Engine,
    pub(super) restic: Option<PathBuf>,
    pub(super) random: Random,
    pub(super) model: Model,
    /// The newest image of each machine.
    pub(super) images: BTreeMap<&'static str, PathBuf>,
    /// How long commands took that were let go to their end.
    usual: BTreeMap<&'static str, Duration>,
    pub(super) totals: Totals,
    doing: String,
}

impl Soak {
    /// Makes the repository and the first disks.
    pub(crate) fn new(directory: &Path, program: PathBuf, seed: u64) -> Result<Self, Box<dyn Error>> {
        let engine = Engine { program, secret: directory.join("secret") };
        fs::write(&engine.secret, "soak")?;
        let mut random = Random::new(&[seed]);
        let mut images = BTreeMap::new();
        for machine in MACHINES {
            let path = directory.join(format!("{machine}-0.raw"));
            images::make(&path, &mut random)?;
            images.insert(machine, path);
        }
        let soak = Self {
            directory: directory.to_owned(),
            repository: directory.join("repo"),
            engine,
            restic: scratch::find_program("restic"),
            random,
            model: Model::default(),
            images,
            usual: BTreeMap::new(),
            totals: Totals::default(),
            doing: "init".to_owned(),
        };
        let ended = soak.run("init", &soak.repository.clone(), &[], None)?;
        if ended.code == 0 { Ok(soak) } else { Err(ended.describe().into()) }
    }

    /// What is being done, for messages.
    pub(crate) fn doing(&self) -> String {
        format!("round {} ({})", self.totals.rounds, self.doing)
    }

    /// The figures at the end.
    pub(crate) fn totals(&self) -> &Totals {
        &self.totals
    }

    /// One round.
    pub(crate) fn round(&mut self) -> Result<(), Box<dyn Error>> {
        self.totals.rounds += 1;
        match self.random.below(100) {
            _ if self.model.points.len() > MOST_POINTS => self.forget()?,
            0..45 => self.ingest(1, false)?,
            45..60 => self.ingest(2, false)?,
            60..70 => self.ingest(1, true)?,
            70..88 => self.ingest(0, true)?,
            88..95 => self.forget()?,
            _ => self.init()?,
        }
        if self.totals.rounds.is_multiple_of(CHECK_EVERY) {
            self.check()?;
        }
        Ok(())
    }

    /// A last prune, undisturbed, and a last look at everything.
    pub(crate) fn finish(&mut self) -> Result<(), Box<dyn Error>> {
        self.say("the last prune and check".to_owned())?;
        for _ in 0..2 {
            let ended = self.run("prune", &self.repository.clone(), &words(&["--grace", "0s"]), None)?;
            if ended.code != 0 {
                return Err(format!("prune: {}", ended.describe()).into());
            }
        }
        for point in self.model.points.clone() {
            self.compare_disk(&point)?;
        }
        self.check()
    }

    /// Up to two machines are backed up at once, perhaps while a prune runs.
    fn ingest(&mut self, machines: usize, with_prune: bool) -> Result<(), Box<dyn Error>> {
        let first = usize::from(self.random.below(2) == 0);
        let mut tried = Vec::new();
        for number in 0..machines {
            let vm = MACHINES[(first + number) % MACHINES.len()];
            tried.push(self.plan(vm, number)?);
        }
        let prune_delay = if with_prune { self.kill_delay("prune") } else { None };
        let commands: Vec<String> =
            tried.iter().map(|(_, words, kill)| format!("{words:?} kill {kill:?}")).collect();
        self.say(format!("ingest {}; prune {with_prune} kill {prune_delay:?}", commands.join("; ")))?;

        let (engine, repository) = (&self.engine, &self.repository);
        let (pruned, ingested) = thread::scope(|scope| {
            let prune = with_prune.then(|| {
                scope.spawn(|| engine.run("prune", repository, &words(&["--grace", "0s"]), prune_delay))
            });
            let ingests: Vec<_> = tried
                .iter()
                .map(|(_, words, kill)| scope.spawn(|| engine.run("ingest", repository, words, *kill)))
                .collect();
            let ingests: Vec<_> = ingests.into_iter().map(thread::ScopedJoinHandle::join).collect();
            (prune.map(thread::ScopedJoinHandle::join), ingests)
        });
        let mut made = Vec::new();
        for ((point, _, delay), ended) in tried.into_iter().zip(ingested) {
            let ended = ended.map_err(|_| "a thread failed")??;
            self.note("ingest", &ended, delay, with_prune)?;
            made.push((point, ended));
        }
        if let Some(ended) = pruned {
            let ended = ended.map_err(|_| "a thread failed")??;
            self.note("prune", &ended, prune_delay, machines > 0)?;
        }
        self.verify(&made, None)
    }

    /// The next image of a machine, how to back it up, and when to kill that.
    fn plan(&mut self, vm: &'static str, number: usize) -> Result<Plan, Box<dyn Error>> {
        let tag = format!("r{}-{number}", self.totals.rounds);
        let image = self.directory.join(format!("{vm}-{tag}.raw"));
        let before = self.images.get(vm).ok_or("a machine without a disk")?;
        images::edit(before, &image, &mut self.random)?;
        let disk = format!("os={}", image.display());
        let mut arguments = words(&["--name", vm, "--tag", &tag, "--disk", &disk]);
        let points: Vec<&Point> = self.model.points.iter().filter(|p| p.vm == vm).collect();
        let by_list = self.random.below(3) == 0;
        let parent = self.random.pick(&points).filter(|_| by_list);
        if let Some(parent) = parent {
            let list = self.directory.join(format!("changed-{number}.json"));
            images::list_changes(&parent.image, &image, &list)?;
            let (parent, changed) = (format!("tag:{}", parent.tag), format!("os={}", list.display()));
            arguments.extend(words(&["--parent", &parent, "--changed", &changed]));
        }
        self.images.insert(vm, image.clone());
        Ok((Point { vm, tag, id: None, image }, arguments, self.kill_delay("ingest")))
    }

    /// One or two points are deleted.
    fn forget(&mut self) -> Result<(), Box<dyn Error>> {
        let mut tags = Vec::new();
        for _ in 0..self.random.between(1, 3) {
            tags.extend(self.random.pick(&self.model.points).map(|p| p.tag.clone()));
        }
        tags.sort();
        tags.dedup();
        if tags.is_empty() {
            return Ok(());
        }
        let ids = self.model.points.iter().filter(|p| tags.contains(&p.tag)).filter_map(|p| p.id.clone());
        let (ids, delay): (Vec<String>, _) = (ids.collect(), self.kill_delay("forget"));
        self.say(format!("forget {tags:?} kill {delay:?}"))?;
        let ended = self.run("forget", &self.repository.clone(), &ids, delay)?;
        self.note("forget", &ended, delay, false)?;
        self.verify(&[], Some((&tags, &ended)))
    }

    /// Another repository is made and perhaps killed; then it is whole, or can be made.
    fn init(&mut self) -> Result<(), Box<dyn Error>> {
        let (place, delay) = (self.directory.join("another"), self.kill_delay("init"));
        self.say(format!("init kill {delay:?}"))?;
        let ended = self.run("init", &place, &[], delay)?;
        self.note("init", &ended, delay, false)?;
        let listing = self.run("points", &place, &[], None)?;
        let again = self.run("init", &place, &[], None)?;
        match (listing.code, again.code) {
            (0, 21) => {}
            (10, 0) if ended.was_killed => {}
            _ => return Err(format!("points: {}\ninit: {}", listing.describe(), again.describe()).into()),
        }
        Ok(fs::remove_dir_all(place)?)
    }

    /// When to kill a command: in four of five cases, at any instant of the time it usually takes and a
    /// little more; every third time near the end, where points become visible and packs are deleted.
    fn kill_delay(&mut self, verb: &'static str) -> Option<Duration> {
        let usual = self.usual.get(verb).copied()?;
        let percent = if self.random.below(3) == 0 { (75, 110) } else { (0, 120) };
        let percent = u32::try_from(self.random.between(percent.0 * 100, percent.1 * 100)).ok()?;
        (self.random.below(5) > 0).then(|| usual * percent / 10_000)
    }

    /// Counts how a command ended, and fails if it failed for no good reason.
    fn note(
        &mut self,
        verb: &'static str,
        ended: &Ended,
        delay: Option<Duration>,
        may_be_locked: bool,
    ) -> Result<(), Box<dyn Error>> {
        self.totals.aimed += u64::from(delay.is_some());
        self.totals.warnings += ended.warnings();
        if ended.warnings() > 0 {
            self.say(format!("warning of {verb}: {}", ended.answer["warnings"]))?;
        }
        // Only an ingest may warn: of an unfinished pack that cannot be reused.
        match ended.code {
            _ if ended.was_killed => *self.totals.hit.entry(verb).or_default() += 1,
            0 if delay.is_none() => {
                let usual = self.usual.entry(verb).or_insert(ended.took);
                *usual = (*usual * 3 + ended.took) / 4;
            }
            0 => {}
            3 if verb == "ingest" => {}
            LOCKED if may_be_locked => self.totals.locked += 1,
            _ => return Err(format!("{verb}: {}", ended.describe()).into()),
        }
        Ok(())
    }

    /// Runs `cofre repo VERB …`.
    pub(super) fn run(
        &self,
        verb: &str,
        repository: &Path,
        rest: &[String],
        kill_after: Option<Duration>,
    ) -> Result<Ended, Box<dyn Error>> {
        Ok(self.engine.run(verb, repository, rest, kill_after)?)
    }

    /// Notes what comes next, here and in the log beside the repository.
    fn say(&mut self, what: String) -> Result<(), Box<dyn Error>> {
        let path = self.directory.join("soak.log");
        let mut log = OpenOptions::new().create(true).append(true).open(path)?;
        writeln!(log, "round {}: {what}", self.totals.rounds)?;
        self.doing = what;
        Ok(())
    }
}

/// A backup to be tried: its point, the arguments, when it is killed.
type Plan = (Point, Vec<String>, Option<Duration>);

/// Arguments.
pub(super) fn words(of: &[&str]) -> Vec<String> {
    of.iter().map(|&word| word.to_owned()).collect()
}
