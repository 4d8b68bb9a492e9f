//! What goes wrong is said, with the exit code that `docs/cli.md` promises.

use std::{fs, os::unix::fs::symlink};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    images,
    world::{World, finish, ingest_args},
};

#[test]
fn no_repository_and_wrong_secrets() {
    let world = World::empty();
    let verbs: [(&str, &[&str]); 6] = [
        ("points", &[]),
        ("check", &[]),
        ("prune", &[]),
        ("forget", &["latest"]),
        ("restore", &["latest", "--disk", "os", "--to", "x"]),
        ("ingest", &["--name", "vm", "--disk", "os=secret"]),
    ];
    for (verb, args) in verbs {
        world.repo(verb, args).refused(10, "RepositoryNotFound");
    }
    world.repo("init", &[]).expect(0);
    world.repo("init", &[]).refused(21, "RepositoryExists");
    fs::write(world.path("secret"), "another").unwrap();
    for (verb, args) in verbs {
        world.repo(verb, args).refused(12, "RepositorySecretWrong");
    }
    for content in [&b""[..], b" \n\t", &[b'x'; 70_000]] {
        fs::write(world.path("secret"), content).unwrap();
        world.repo("points", &[]).refused(2, "SecretFileUnusable");
    }
    fs::remove_file(world.path("secret")).unwrap();
    let error = world.repo("points", &[]).refused(2, "SecretFileUnusable");
    assert_eq!(error["causes"].as_array().unwrap().len(), 1);
}

#[test]
fn lines_that_are_not_understood() {
    let world = World::empty();
    world.cofre(&["--json", "repo", "init"]).refused(2, "UsageError");
    world.repo("init", &["--chunk-size", "48K"]).refused(2, "UsageError");
    world.repo("prune", &["--grace", "soon"]).refused(2, "UsageError");
    world.repo("forget", &["0123"]).refused(2, "UsageError");
    world.repo("ingest", &["--name", "vm", "--disk", "os"]).refused(2, "UsageError");
    let error = world.cofre(&["repo", "points", "s3://bucket/x", "--secret-file", "secret", "--json"]);
    let error = error.refused(2, "UsageError");
    assert!(error["message"].as_str().unwrap().contains("not there yet"), "{error}");
    assert_eq!(world.cofre(&["--version"]).expect(0).stdout, "cofre 0.1.0\n");
    for shell in ["bash", "zsh", "fish"] {
        assert!(world.cofre(&["completions", shell]).expect(0).stdout.contains("cofre"));
    }
    for verb in ["init", "ingest", "points", "restore", "check", "forget", "prune"] {
        assert!(world.cofre(&["repo", verb, "--help"]).expect(0).stdout.contains("Example"), "{verb}");
    }
}

#[test]
fn people_get_the_chain_once_and_an_advice() {
    let world = World::new();
    let run = world.cofre(&[
        "repo",
        "ingest",
        "repo",
        "--secret-file",
        "secret",
        "--name",
        "vm",
        "--disk",
        "os=missing.raw",
    ]);
    assert_eq!(run.stdout, "");
    assert_eq!(
        run.expect(1).stderr,
        "error: the source disk could not be backed up\n  caused by: cannot look at missing.raw\n  \
         caused by: No such file or directory (os error 2)\n  try: Check the path given with `--disk`.\n  \
         code: SourceUnreadable\n"
    );
}

#[test]
fn what_is_against_a_rule() {
    let world = World::new();
    images::full(&world.path("a.raw"), 1000, 1);
    fs::write(world.path("empty.raw"), "").unwrap();
    let with = |args: &[&str]| world.repo("ingest", args);
    with(&["--name", "a b", "--disk", "os=a.raw"]).refused(21, "InvalidRequest");
    with(&["--name", "vm", "--disk", "o/s=a.raw"]).refused(21, "InvalidRequest");
    with(&["--name", "vm", "--disk", "os=a.raw", "--disk", "os=a.raw"]).refused(21, "InvalidRequest");
    with(&["--name", "vm", "--disk", "os=a.raw", "--tag", "a,b"]).refused(21, "InvalidRequest");
    with(&["--name", "vm", "--disk", "os=empty.raw"]).refused(21, "InvalidRequest");
    with(&["--name", "vm", "--disk", "os=secret.qcow2"]).refused(1, "SourceUnreadable");
    with(&["--name", "vm", "--disk", "os=repo"]).expect(21);
    assert!(world.points().is_empty() && world.objects("data").is_empty());
    world.ingest("vm", &["os=a.raw"], &["--tag", "twice"]);
    world.ingest("vm", &["os=a.raw"], &["--tag", "twice"]);
    world.repo("forget", &["tag:twice"]).refused(21, "RecoveryPointAmbiguous");
    world.repo("forget", &["latest", "00000000"]).refused(1, "RecoveryPointNotFound");
    assert_eq!(world.points().len(), 2);
    let error = world.repo("restore", &["latest", "--disk", "data", "--to", "x"]).refused(1, "DiskNotFound");
    assert!(error["recommendations"][0].as_str().unwrap().contains("os"), "{error}");
}

#[test]
fn targets_are_never_followed_or_replaced_unasked() {
    let world = World::new();
    images::full(&world.path("a.raw"), 200_000, 1);
    world.ingest("vm", &["os=a.raw"], &[]);
    let to = |path: &str, more: &[&str]| {
        world.repo("restore", &[&["latest", "--disk", "os", "--to", path], more].concat())
    };
    fs::write(world.path("precious"), "precious").unwrap();
    to("precious", &[]).refused(21, "TargetExists");
    symlink("precious", world.path("b.raw.partial")).unwrap();
    to("b.raw", &[]).expect(0);
    images::assert_same(&world.path("a.raw"), &world.path("b.raw"));
    assert_eq!(fs::read(world.path("precious")).unwrap(), b"precious");
    fs::write(world.path("c.raw.partial"), "left over").unwrap();
    to("c.raw", &[]).expect(0);
    images::assert_same(&world.path("a.raw"), &world.path("c.raw"));
    symlink("precious", world.path("link")).unwrap();
    to("link", &["--force"]).refused(21, "TargetExists");
    to("repo", &["--force"]).refused(21, "TargetExists");
    to("none/x", &[]).refused(1, "TargetUnwritable");
    to("precious", &["--force"]).expect(0);
    images::assert_same(&world.path("a.raw"), &world.path("precious"));
    let left: Vec<_> = fs::read_dir(world.path("")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.iter().any(|n| n.to_string_lossy().ends_with(".partial")), "{left:?}");
}

#[test]
fn a_source_that_shrinks_while_it_is_read() {
    let world = World::new();
    images::full(&world.path("a.raw"), 64 << 20, 1);
    let command = world.repo_command("ingest", &ingest_args("vm", &["os=a.raw"], &[]));
    let child = world.stop_at(command, "cofre/leases");
    fs::OpenOptions::new().write(true).open(world.path("a.raw")).unwrap().set_len(1 << 20).unwrap();
    let error = world.go_on(child).refused(1, "SourceChanged");
    assert!(error["causes"][0].as_str().unwrap().contains("a.raw"), "{error:#}");
    assert!(world.points().is_empty());
    world.ingest("vm", &["os=a.raw"], &[]);
    world.check_is_clean();
}

#[test]
fn an_interrupt_ends_with_130_and_the_next_run_resumes() {
    let world = World::new();
    images::full(&world.path("a.raw"), 96 << 20, 1);
    for signal in [Signal::INT, Signal::TERM] {
        let command = world.repo_command("ingest", &ingest_args("vm", &["os=a.raw"], &[]));
        let child = world.stop_at(command, "cofre/leases");
        kill_process(Pid::from_child(&child), signal).unwrap();
        world.go_on(child).refused(130, "Interrupted");
        assert!(world.points().is_empty());
        assert!(world.objects("locks").is_empty());
    }
    let made = world.ingest("vm", &["os=a.raw"], &[]);
    images::assert_same(&world.path("a.raw"), &world.restore(&made["point"], "os", "b.raw"));

    fs::remove_file(world.path("b.raw")).unwrap();
    let args = ["latest", "--disk", "os", "--to", "b.raw"];
    let child = world.repo_command("restore", &args).spawn().unwrap();
    while !world.path("b.raw.partial").exists() {
        std::thread::yield_now();
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    finish(child).refused(130, "Interrupted");
    assert!(!world.path("b.raw.partial").exists() && !world.path("b.raw").exists());
    world.check_is_clean();
}

#[test]
fn the_process_list_shows_no_secret() {
    let world = World::new();
    images::full(&world.path("a.raw"), 32 << 20, 1);
    let command = world.repo_command("ingest", &ingest_args("vm", &["os=a.raw"], &[]));
    let child = world.stop_at(command, "cofre/leases");
    for file in ["cmdline", "environ"] {
        let shown = fs::read(format!("/proc/{}/{file}", child.id())).unwrap();
        assert!(!shown.is_empty());
        assert!(!String::from_utf8_lossy(&shown).contains(&world.secret), "{file}");
    }
    world.go_on(child).expect(0);
}
