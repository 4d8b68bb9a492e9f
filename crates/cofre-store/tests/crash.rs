//! Processes that are killed while they commit, and disks without room. The test runs itself again as the process
//! that suffers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bodies;

use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead, BufReader, Read, Write, stdout},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use bodies::Body;
use cofre_store::{Batch, Change, ErrorKind, Event, JobChange, JobRow, Store, StoreError};
use jiff::Timestamp;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const PART: &str = "COFRE_STORE_PART";
const PATH: &str = "COFRE_STORE_PATH";
const NAME: &str = "COFRE_STORE_NAME";

/// How to run this program again for `part`, possibly by way of another one.
fn again(by_way_of: &[&str], part: &str, path: &Path, name: &str) -> Command {
    let binary = env::current_exe().unwrap();
    let mut words = by_way_of.iter().map(|word| std::ffi::OsStr::new(*word)).chain([binary.as_os_str()]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(["--exact", "the_process_that_suffers", "--ignored", "--nocapture"]);
    command.env(PART, part).env(PATH, path).env(NAME, name);
    command
}

#[test]
#[ignore = "run by the other tests"]
fn the_process_that_suffers() {
    let (Some(part), Some(path), Ok(name)) = (env::var_os(PART), env::var_os(PATH), env::var(NAME)) else {
        return;
    };
    let path = Path::new(&path);
    match part.to_str().unwrap() {
        "commit" => commit_for_ever(&bodies::open_address(path.to_str().unwrap()), &name),
        "append" => append_for_ever(&bodies::open_address(path.to_str().unwrap())),
        "full" => fill(path, || fs::remove_file(path.with_file_name("filler")).unwrap(), &[ErrorKind::Full]),
        "limit" => {
            let before = getrlimit(Resource::Fsize);
            setrlimit(Resource::Fsize, Rlimit { current: Some(1 << 20), ..before }).unwrap();
            fill(
                path,
                || setrlimit(Resource::Fsize, before).unwrap(),
                &[ErrorKind::Unavailable, ErrorKind::Full],
            );
        }
        other => panic!("{other}"),
    }
}

fn put(path: String, body: Vec<u8>) -> Change {
    Change::Put { path, kind: "x".to_owned(), body }
}

fn event(writer: &str, body: String) -> Event {
    Event { writer: writer.to_owned(), time: Timestamp::UNIX_EPOCH, body: body.into_bytes() }
}

fn job(id: String, item: &str, ended: bool) -> JobRow {
    let time = Timestamp::UNIX_EPOCH;
    JobRow {
        id,
        vault: String::new(),
        item: item.to_owned(),
        operation: "Backup".to_owned(),
        status: String::new(),
        started: time,
        ended: ended.then_some(time),
        owner: None,
        epoch: 1,
        heartbeat: time,
        body: Vec::new(),
    }
}

/// The highest number that a process of this name committed.
fn last(store: &Store, name: &str) -> u64 {
    let document = store.read(&format!("/{name}/last")).unwrap();
    document.map_or(0, |document| str::from_utf8(&document.body).unwrap().parse().unwrap())
}

/// Commits batch after batch, each of several rows in all tables, and prints the number of each that was acknowledged.
fn commit_for_ever(store: &Store, name: &str) {
    for number in last(store, name) + 1.. {
        let mut batch = Batch::new(Timestamp::UNIX_EPOCH);
        batch.changes.push(put(format!("/{name}/last"), number.to_string().into_bytes()));
        batch.changes.push(put(format!("/{name}/{number}/small"), vec![1]));
        batch.changes.push(put(format!("/{name}/{number}/large"), vec![2; 20_000]));
        if number > 1 {
            let ended = job(format!("{name} {}", number - 1), name, true);
            batch.jobs.push(JobChange::Update { epoch: 1, job: ended });
        }
        batch.jobs.push(JobChange::Insert(job(format!("{name} {number}"), name, false)));
        batch.events.push(event(name, number.to_string()));
        batch.events.push(event("all", format!("{name} {number}")));
        store.commit(&batch).unwrap();
        let mut out = stdout();
        writeln!(out, "\ncommitted {number}").unwrap();
        out.flush().unwrap();
    }
}

/// Who appends events at the same time, within one process.
const APPENDING: [&str; 4] = ["a", "b", "c", "d"];

/// Appends pairs of events to one chain from several threads, and prints the number of each that was acknowledged.
fn append_for_ever(store: &Store) {
    thread::scope(|scope| {
        for name in APPENDING {
            scope.spawn(move || {
                let first = pairs(store)[name] + 1;
                for number in first.. {
                    let half = |half| event("shared", format!("{name} {number} {half}"));
                    store.append(&[half(1), half(2)], None).unwrap();
                    // In one call, so that lines of several threads do not mix.
                    stdout().write_all(format!("\n{name} {number}\n").as_bytes()).unwrap();
                    stdout().flush().unwrap();
                }
            });
        }
    });
}

/// How many pairs each thread appended; both halves of each are there, one after the other, and in order.
fn pairs(store: &Store) -> BTreeMap<&'static str, u64> {
    let mut pairs = BTreeMap::from(APPENDING.map(|name| (name, 0)));
    let events = store.events("shared", 1, usize::MAX).unwrap();
    for pair in events.chunks(2) {
        let words = |event: &cofre_store::EventRow| -> Vec<String> {
            str::from_utf8(&event.body).unwrap().split(' ').map(str::to_owned).collect()
        };
        let first = words(&pair[0]);
        let count = pairs.get_mut(first[0].as_str()).unwrap();
        *count += 1;
        assert_eq!(first[1..], [count.to_string(), "1".to_owned()]);
        assert_eq!(words(&pair[1]), [first[0].clone(), count.to_string(), "2".to_owned()]);
    }
    pairs
}

fn appended_outlives_a_kill(body: &Body) {
    drop(body.open());
    let mut known = BTreeMap::from(APPENDING.map(|name| (name, 0)));
    for round in 0..8 {
        let mut child =
            again(&[], "append", body.address().as_ref(), "").stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        // It is killed in the midst of the work: how deep differs from round to round.
        let mut printed = String::new();
        for _ in 0..40 + 35 * round {
            lines.read_line(&mut printed).unwrap();
        }
        child.kill().unwrap();
        lines.read_to_string(&mut printed).unwrap();
        child.wait().unwrap();
        body.settle();
        let store = body.open();
        let found = pairs(&store);
        for line in printed.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            let Some((name, number)) = line.split_once(' ') else { continue };
            let (Some(known), Ok(number)) = (known.get_mut(name), number.parse::<u64>()) else { continue };
            *known = number.max(*known);
        }
        for name in APPENDING {
            let (found, known) = (found[name], known[name]);
            assert!(found == known || found == known + 1, "{name}: {known}, but there are {found}");
        }
        assert_eq!(store.verify_chain("shared").unwrap().length, 2 * found.values().sum::<u64>());
        known = found;
    }
    assert!(known.values().all(|pairs| *pairs > 0), "they did not share: {known:?}");
}

#[test]
fn events_that_were_acknowledged_outlive_a_kill() {
    appended_outlives_a_kill(&Body::file());
}

#[test]
fn events_that_were_acknowledged_by_a_server_outlive_a_kill() {
    appended_outlives_a_kill(&Body::server());
}

/// The number in the last line that is whole.
fn acknowledged(child: &mut Child) -> u64 {
    let lines = BufReader::new(child.stdout.take().unwrap()).split(b'\n').map(|line| line.unwrap());
    let numbers =
        lines.filter_map(|line| str::from_utf8(line.strip_prefix(b"committed ")?).ok()?.parse().ok());
    numbers.max().unwrap_or(0)
}

#[test]
fn what_was_acknowledged_outlives_a_kill() {
    outlives_a_kill(&Body::file());
}

#[test]
fn what_was_acknowledged_by_a_server_outlives_a_kill() {
    outlives_a_kill(&Body::server());
}

fn outlives_a_kill(body: &Body) {
    const NAMES: [&str; 2] = ["blue", "green"];
    let mut known = [0; NAMES.len()];
    // Longer from round to round, so that it comes to an end on a slow machine too.
    for round in 0.. {
        if round >= 12 && known.iter().all(|last| *last > 10) {
            break;
        }
        let mut children = NAMES.map(|name| {
            again(&[], "commit", body.address().as_ref(), name).stdout(Stdio::piped()).spawn().unwrap()
        });
        // Not the same instants each time: from within the opening of the file to deep in the work.
        thread::sleep(Duration::from_millis(7 + 41 * round));
        for child in &mut children {
            child.kill().unwrap();
        }
        let printed = children.each_mut().map(|child| {
            let printed = acknowledged(child);
            child.wait().unwrap();
            printed
        });
        body.settle();
        // Made here, where they were killed before they had.
        let store = body.open();
        let mut total = 0;
        for (index, name) in NAMES.into_iter().enumerate() {
            let last = last(&store, name);
            let acknowledged = printed[index].max(known[index]);
            assert!(
                last == acknowledged || last == acknowledged + 1,
                "{name}: {acknowledged}, but there is {last}"
            );
            let documents = store.list(&format!("/{name}"), None, usize::MAX).unwrap();
            assert_eq!(documents.len() as u64, if last == 0 { 0 } else { 2 * last + 1 }, "{name}");
            for number in 1..=last {
                let large = store.read(&format!("/{name}/{number}/large")).unwrap().unwrap();
                assert_eq!(large.body, [2; 20_000]);
                let row = store.job(&format!("{name} {number}")).unwrap().unwrap();
                assert_eq!(row.ended.is_none(), number == last);
            }
            assert_eq!(store.verify_chain(name).unwrap().length, last);
            total += last;
            known[index] = last;
        }
        assert_eq!(store.verify_chain("all").unwrap().length, total);
    }
}

/// Commits until it fails, makes room, and goes on.
fn fill(path: &Path, make_room: impl FnOnce(), kinds: &[ErrorKind]) {
    let store = Store::open(path).unwrap();
    let commit = |number: usize| {
        let mut batch = Batch::new(Timestamp::UNIX_EPOCH);
        batch.changes.push(put(format!("/{number:04}"), vec![7; 50_000]));
        batch.events.push(event("w", number.to_string()));
        store.commit(&batch)
    };
    let (failed, error): (usize, StoreError) =
        (0..1000).find_map(|number| commit(number).err().map(|error| (number, error))).unwrap();
    assert!(kinds.contains(&error.kind()), "{error}: {:?}", std::error::Error::source(&error));
    assert!(failed > 0);
    commit(failed).unwrap_err();
    let check = |expected: usize| {
        assert_eq!(store.list("", None, usize::MAX).unwrap().len(), expected);
        assert_eq!(store.verify_chain("w").unwrap().length, expected as u64);
    };
    check(failed);
    make_room();
    commit(failed).unwrap();
    commit(failed + 1).unwrap();
    check(failed + 2);
    drop(store);
    assert_eq!(Store::open(path).unwrap().verify_chain("w").unwrap().length, failed as u64 + 2);
}

#[test]
fn a_full_disk_fails_the_batch_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let mount = "mount -t tmpfs -o size=3m,mode=0700 cofre \"$0\"";
    let can = Command::new("unshare").args(["-rm", "sh", "-c", mount]).arg(directory.path()).status();
    if !can.is_ok_and(|status| status.success()) {
        eprintln!("passed over: this system lets nobody mount a small file system");
        return;
    }
    let script = format!("{mount} && head -c 1000000 /dev/zero > \"$0/filler\" && exec \"$@\"");
    let mount_point = directory.path().to_str().unwrap();
    let by_way_of = ["unshare", "-rm", "sh", "-c", &script, mount_point];
    let status = again(&by_way_of, "full", &directory.path().join("cofre.db"), "").status().unwrap();
    assert!(status.success());
}

#[test]
fn a_limit_on_the_size_of_files_fails_the_batch_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    // The signal that comes with the error is ignored, as services are set up.
    let by_way_of = ["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"];
    let status = again(&by_way_of, "limit", &directory.path().join("cofre.db"), "").status().unwrap();
    assert!(status.success());
}
