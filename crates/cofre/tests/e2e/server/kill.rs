//! Killed while it writes: what was acknowledged is there, what was not is there whole or not at all, and the audit is a
//! chain.
//!
//! `COFRE_KILLS` and `COFRE_SEED` make it longer and different; `cargo xtask soak --service` does.

use std::{
    collections::BTreeMap,
    env,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use super::*;

const WRITERS: usize = 4;
/// Secrets that a writer writes in turn.
const NAMES: usize = 3;
/// After so many kills other secrets are written, so that a long run does not read ever more versions after each.
const SAME_NAMES: u64 = 20;

/// What is known of one secret.
#[derive(Default)]
struct Known {
    /// Versions that were acknowledged, and their values; the last one is the current one.
    acknowledged: Vec<(String, String)>,
    /// A write of which nobody knows whether it happened.
    open: Option<String>,
}

type Ledger = Mutex<BTreeMap<String, Known>>;

/// Writes until the connection breaks.
fn write(client: &Client, writer: &str, count: &AtomicUsize, stop: &AtomicBool, ledger: &Ledger) {
    while !stop.load(Ordering::Relaxed) {
        let number = count.fetch_add(1, Ordering::Relaxed);
        let (name, value) = (format!("{writer}-{}", number % NAMES), format!("value {number}"));
        ledger.lock().unwrap().entry(name.clone()).or_default().open = Some(value.clone());
        let Ok(reply) = client.set(&name, &value) else { return };
        assert_eq!(reply.status, 200, "{reply:?}");
        let id = reply.body["id"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        let mut ledger = ledger.lock().unwrap();
        let known = ledger.get_mut(&name).unwrap();
        known.open = None;
        known.acknowledged.push((id, value));
    }
}

/// Compares what is there with what is known of secrets whose names begin so, and closes what was open. `sample` of the
/// old versions are read.
#[track_caller]
fn verify(client: &Client, ledger: &Ledger, names: &str, sample: usize) {
    for (name, known) in ledger.lock().unwrap().iter_mut().filter(|(name, _)| name.starts_with(names)) {
        let current = client.get(name, "");
        let last = known.acknowledged.last().map(|(_, value)| value.as_str());
        let value = current.body["value"].as_str();
        match (&known.open, last) {
            // It happened, and nobody was told.
            (Some(open), _) if value == Some(open) => {
                let id = current.body["id"].as_str().unwrap().rsplit('/').next().unwrap();
                known.acknowledged.push((id.to_owned(), open.clone()));
            }
            (_, Some(last)) => {
                assert_eq!(value, Some(last), "{name}: an acknowledged write is lost: {current:?}")
            }
            (_, None) => assert_eq!(current.status, 404, "{name}: {current:?}"),
        }
        known.open = None;
        let step = (known.acknowledged.len() / sample).max(1);
        for (version, value) in known.acknowledged.iter().step_by(step) {
            assert_eq!(client.get(name, version).body["value"], value.as_str(), "{name}/{version}");
        }
        let mut listed = 0;
        let mut path = format!("/secrets/{name}/versions");
        loop {
            let page = client.ask("GET", &path, &Value::Null).unwrap();
            let Some(items) = page.body["value"].as_array() else { break };
            listed += items.len();
            let Some(next) = page.body["nextLink"].as_str() else { break };
            path = format!("/{}", next.splitn(4, '/').nth(3).unwrap());
        }
        assert_eq!(
            listed,
            known.acknowledged.len(),
            "{name}: a version that nobody wrote, or one that is gone"
        );
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
pub(super) fn splitmix(seed: u64) -> impl FnMut() -> u64 {
    let mut random = seed;
    move || {
        random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = random;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

pub(super) fn setting(name: &str, default: u64) -> u64 {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn killed_at_any_instant_no_acknowledged_write_is_lost() {
    let (kills, seed) = (setting("COFRE_KILLS", 20), setting("COFRE_SEED", 2026));
    eprintln!("{kills} kills, seed {seed}");
    let mut next = splitmix(seed);
    let mut service = Service::new();
    let (ledger, count) = (Ledger::default(), AtomicUsize::new(0));
    service.start(None);
    for round in 0..kills {
        let token = service.token();
        let stop = AtomicBool::new(false);
        let names = format!("r{}-", round / SAME_NAMES);
        let pause = Duration::from_micros(20_000 + next() % 250_000);
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (client, count, stop, ledger) = (service.client(&token), &count, &stop, &ledger);
                let writer = format!("{names}w{writer}");
                scope.spawn(move || write(&client, &writer, count, stop, ledger));
            }
            thread::sleep(pause);
            service.kill();
            stop.store(true, Ordering::Relaxed);
        });
        service.start(None);
        verify(&service.client(&service.token()), &ledger, &names, 4);
        if round % 50 == 49 {
            service.cofre("audit verify");
            eprintln!("{} kills", round + 1);
        }
    }
    verify(&service.client(&service.token()), &ledger, "", usize::MAX);
    assert_eq!(service.stop(), Some(0), "{}", service.log());
    service.cofre("audit verify");
    let written: usize = ledger.lock().unwrap().values().map(|known| known.acknowledged.len()).sum();
    eprintln!("{written} writes");
    assert!(written > 0);
    assert!(!service.log().contains("panicked"), "{}", service.log());
}

#[cfg(feature = "failpoints")]
#[test]
fn killed_at_every_named_instant_a_write_is_whole_or_not_there() {
    let mut service = Service::new();
    service.start(None);
    service.client(&service.token()).set("s", "before").unwrap();
    service.kill();
    for name in cofre_repo::failpoint::KEY_VAULT_NAMES {
        // An append is what a look at a secret does, a commit what a change does.
        let looks = name.ends_with("append");
        service.start(Some(&format!("{name}:1")));
        let client = service.client(&service.token());
        let broken =
            if looks { client.ask("GET", "/secrets/s", &Value::Null) } else { client.set("s", name) };
        assert!(broken.is_err(), "{name}: {broken:?}");
        service.kill();
        service.start(None);
        let client = service.client(&service.token());
        let now = client.get("s", "").body["value"].as_str().unwrap().to_owned();
        let happened = *name == "keyvault.after-commit";
        assert_eq!(now, if happened { name } else { "before" }, "{name}");
        assert_eq!(client.set("s", "before").unwrap().status, 200);
        service.kill();
        service.cofre("audit verify");
    }
}
