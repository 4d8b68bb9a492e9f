//! `cargo xtask soak`: cofre is killed at random instants, and the repository compared with a model.

mod engine;
mod images;
mod model;
mod rounds;
mod totals;
mod verify;

use std::{
    error::Error,
    fs::File,
    io::Read,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    options::Options,
    scratch::{self, Scratch},
};

/// How it is called.
pub(crate) const USAGE: &str = "soak [--seconds 600] [--seed N] [--work DIR] [--keep] | soak --service|--recovery [--kills 1000] [--seed N]";

/// The test that kills `cofre serve` while it writes into a key vault.
const SERVICE: &str = "server::kill::killed_at_any_instant_no_acknowledged_write_is_lost";
/// The test that kills `cofre serve` while it backs up and restores.
const RECOVERY: &str = "server::recovery_kill::killed_at_any_instant_no_point_is_lost";

/// Runs the command.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let options =
        Options::read(arguments, &["seconds", "seed", "work", "kills"], &["keep", "service", "recovery"])?;
    for (name, test) in [("service", SERVICE), ("recovery", RECOVERY)] {
        if options.is_set(name) {
            let (kills, seed) = (options.number("kills", 1000)?, options.number("seed", random_seed()?)?);
            return service(root, test, kills, seed);
        }
    }
    let end = Instant::now() + Duration::from_secs(options.number("seconds", 600)?);
    let seed = options.number("seed", random_seed()?)?;
    let cofre = scratch::cofre(root)?;
    let mut scratch = Scratch::new(options.text("work"), "cofre-soak", options.is_set("keep"))?;
    println!("seed {seed}");
    let mut soak = rounds::Soak::new(scratch.path(), cofre, seed)?;
    let mut outcome = Ok(());
    while outcome.is_ok() && Instant::now() < end {
        outcome = soak.round();
    }
    let outcome = outcome.and_then(|()| soak.finish());
    println!("{}", soak.totals());
    outcome.map_err(|error| {
        scratch.keep();
        format!("VIOLATION with seed {seed}, in {}: {error}", soak.doing()).into()
    })
}

/// Kills `cofre serve` while it works: the end-to-end test of that, for longer and with another seed.
fn service(root: &Path, test: &str, kills: u64, seed: u64) -> Result<(), Box<dyn Error>> {
    let status = Command::new("cargo")
        .args(["test", "--locked", "--package", "cofre", "--test", "e2e", "--", "--nocapture", "--exact"])
        .arg(test)
        .env("COFRE_KILLS", kills.to_string())
        .env("COFRE_SEED", seed.to_string())
        .current_dir(root)
        .status()?;
    if status.success() { Ok(()) } else { Err(format!("VIOLATION with seed {seed}").into()) }
}

fn random_seed() -> Result<u64, Box<dyn Error>> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}
