//! Children that do not behave. How one that does is confined is tested in `sandbox`, and what it
//! answers in `tests/e2e/prove.rs`, with the program itself.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Instant};

use tempfile::TempDir;

use super::*;

/// A prover whose child is a shell script.
fn prover(script: &str, patience: Duration) -> (ChildProver, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("child");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    (ChildProver { program, patience, ..ChildProver::new(Cancel::new()) }, directory)
}

fn answer(script: &str) -> ProverAnswer {
    prover(script, Duration::from_secs(30)).0.try_open(&[7; 300_000], 1 << 20, b"secret")
}

#[track_caller]
fn fails(script: &str, reason: &str) {
    match answer(script) {
        ProverAnswer::Failed(text) => assert!(text.contains(reason), "{script}: {text}"),
        other => panic!("{script}: {other:?}"),
    }
}

#[test]
fn only_a_whole_answer_of_a_child_that_ended_well_counts() {
    assert_eq!(answer("cat > /dev/null; printf '\\002'"), ProverAnswer::DoesNotOpen);
    fails("cat > /dev/null; printf '\\002'; exit 1", "failed");
    fails("cat > /dev/null; printf '\\002'; kill -9 $$", "signal 9");
    fails("cat > /dev/null; printf '\\002x'", "no valid answer");
    fails("cat > /dev/null; printf '\\001short'", "no valid answer");
    fails("cat > /dev/null", "no valid answer");
    // Ends before it read everything.
    fails("exit 0", "no valid answer");
    fails("kill -11 $$", "signal 11");
    fails("kill -31 $$", "system call");
    assert!(matches!(answer("kill -24 $$"), ProverAnswer::TooCostly(_)));
}

#[test]
fn a_child_that_floods_or_hangs_is_ended() {
    let begun = Instant::now();
    fails("exec cat /dev/zero", "more than an answer");
    for script in ["exec sleep 1000", "cat > /dev/null; exec sleep 1000"] {
        let (prover, _directory) = prover(script, Duration::from_millis(300));
        let answer = prover.try_open(&[7; 300_000], 1 << 20, b"secret");
        assert_eq!(answer, ProverAnswer::TooCostly("there was no answer within 0.3 seconds".to_owned()));
    }
    // Answers, closes its output, and stays.
    fails("printf '\\002'; exec sleep 1000 > /dev/null", "does not end");
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_stop_is_noticed_while_the_child_works() {
    let (prover, _directory) = prover("exec sleep 1000", Duration::from_secs(600));
    let (stop, begun) = (prover.stop.clone(), Instant::now());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| prover.try_open(b"header", 0, b"secret"));
        std::thread::sleep(Duration::from_millis(200));
        stop.cancel();
        assert!(matches!(waiting.join().unwrap(), ProverAnswer::Failed(_)));
    });
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn children_work_one_at_a_time_and_are_given_nothing() {
    // Fails where another one is at work, where there is an environment, or more than three descriptors.
    let script = "mkdir $(dirname $0)/busy || exit 7
[ -z \"$HOME$USER$CARGO\" ] || exit 8
[ \"$(pwd)\" = / ] || exit 9
[ -z \"$(find /proc/$$/fd -lname '*secret-file*')\" ] || exit 10
cat > /dev/null; sleep 0.1; rmdir $(dirname $0)/busy; printf '\\002'";
    let script = script.replace("mkdir", "/bin/mkdir").replace("dirname", "/usr/bin/dirname");
    let (prover, directory) = prover(&format!("PATH=/bin:/usr/bin\n{script}"), Duration::from_secs(30));
    let _open = fs::File::create(directory.path().join("secret-file")).unwrap();
    std::thread::scope(|scope| {
        let proofs: Vec<_> =
            (0..4).map(|_| scope.spawn(|| prover.try_open(b"header", 0, b"secret"))).collect();
        for proof in proofs {
            assert_eq!(proof.join().unwrap(), ProverAnswer::DoesNotOpen);
        }
    });
}

#[test]
fn what_is_too_long_is_not_sent() {
    let (prover, _directory) = prover("exit 0", Duration::from_secs(1));
    for (header, secret) in [(MAX_HEADER + 1, 1), (1, MAX_SECRET + 1)] {
        let answer = prover.try_open(&vec![0; header], 0, &vec![0; secret]);
        assert!(matches!(answer, ProverAnswer::Failed(text) if text.contains("longer than")));
    }
}

#[test]
fn only_the_very_command_line_is_the_child() {
    let is = |line: &str| is_child(line.split(' ').map(OsString::from));
    assert!(is("cofre internal-prove"));
    assert!(!is("cofre internal-prove --help") && !is("cofre disk internal-prove") && !is("cofre"));
}
