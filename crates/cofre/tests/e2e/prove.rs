//! `cofre disk prove`: what it answers, and that the process which computes it is confined.

use std::{
    fs,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::Child,
    thread,
    time::{Duration, Instant},
};

use cofre_fde::luks::{self, Argon2Cost, FormatOptions, Formatted, Kdf};
use rustix::process::{Pid, Signal, kill_process};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{
    images,
    world::{Run, World, finish, tool},
};

const KEY: &[u8] = b"\x00a key of any bytes\xff\n";
const OFFSET: u64 = 1 << 20;

fn formatted(data_offset: u64) -> Formatted {
    let kdf = Kdf::Argon2id(Argon2Cost { passes: 1, memory_kib: 1024, lanes: 1 });
    let mut calls = 0;
    let mut random = |bytes: &mut [u8]| {
        calls += 1;
        bytes.copy_from_slice(&images::noise(calls, bytes.len()));
        Ok(())
    };
    let options = FormatOptions { data_offset, ..FormatOptions::new(kdf) };
    luks::format(&options, &[b"another key", KEY], &mut random).unwrap()
}

/// A header whose key derivation is changed; its checksums are right.
fn with_kdf(header: &[u8], change: impl Fn(&mut Value)) -> Vec<u8> {
    let mut header = header.to_vec();
    for start in [0, 0x4000] {
        let copy = &mut header[start..start + 0x4000];
        let end = copy[4096..].iter().position(|byte| *byte == 0).unwrap();
        let mut json: Value = serde_json::from_slice(&copy[4096..4096 + end]).unwrap();
        for slot in json["keyslots"].as_object_mut().unwrap().values_mut() {
            change(&mut slot["kdf"]);
        }
        let text = serde_json::to_vec(&json).unwrap();
        copy[4096..].fill(0);
        copy[4096..4096 + text.len()].copy_from_slice(&text);
        copy[448..512].fill(0);
        let checksum = Sha256::digest(&*copy);
        copy[448..480].copy_from_slice(&checksum);
    }
    header
}

/// A world with `disk.raw` of this header, and the key files `key` and `wrong`.
fn world(header: &[u8]) -> World {
    let world = World::empty();
    fs::write(world.path("key"), KEY).unwrap();
    fs::write(world.path("wrong"), &KEY[..KEY.len() - 1]).unwrap();
    write(&world.path("disk.raw"), header);
    world
}

fn write(path: &Path, header: &[u8]) {
    images::make(path, OFFSET + (64 << 10), 1, &[]);
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, header, 0).unwrap();
}

#[track_caller]
fn prove(world: &World, more: &[&str]) -> Run {
    world.cofre(&[&["disk", "prove", "disk.raw", "--json"], more].concat())
}

/// A header that keeps the child busy for a minute or so.
fn slow() -> Vec<u8> {
    with_kdf(formatted(OFFSET).header(), |kdf| {
        kdf["memory"] = (64 << 10).into();
        kdf["time"] = 500.into();
    })
}

/// The one child of a process, once it has confined itself.
fn child_of(parent: &Child) -> PathBuf {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            let field = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).map(str::trim);
            if field("PPid:") == Some(&parent.id().to_string()) && field("Seccomp:") == Some("2") {
                return entry.path();
            }
        }
        assert!(Instant::now() < until, "there is no confined child");
        thread::sleep(Duration::from_millis(5));
    }
}

fn pid(process: &Path) -> Pid {
    let number = process.file_name().unwrap().to_str().unwrap().parse().unwrap();
    Pid::from_raw(number).unwrap()
}

#[test]
fn the_right_key_opens_and_no_other() {
    let formatted = formatted(OFFSET);
    let world = world(formatted.header());
    let opened = prove(&world, &["--key-file", "key"]).expect(0).json();
    let digest = Sha256::digest(formatted.unlocked().volume_key().expose());
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(opened["opens"], true);
    assert_eq!(opened["keyslot"], 1);
    assert_eq!(opened["volumeKeySha256"], digest.as_str());
    let refused = prove(&world, &["--key-file", "wrong"]).expect(12).json();
    assert_eq!(refused["opens"], false);

    let text = world.cofre(&["disk", "prove", "disk.raw", "--key-file", "key"]).expect(0).stdout;
    assert!(text.contains("opens disk.raw (keyslot 1)"), "{text}");
    let text = world.cofre(&["disk", "prove", "disk.raw", "--key-file", "wrong"]).expect(12).stdout;
    assert!(text.contains("does not open"), "{text}");
}

#[test]
fn detached_headers_and_disks_without_one() {
    let formatted = formatted(0);
    let world = world(&[]);
    fs::write(world.path("header"), formatted.header()).unwrap();
    let detached = ["--key-file", "key", "--header", "header"];
    assert_eq!(prove(&world, &detached).expect(0).json()["opens"], true);
    prove(&world, &["--key-file", "wrong", "--header", "header"]).expect(12);
    let error = prove(&world, &["--key-file", "key"]).refused(21, "EncryptionUnsupported");
    assert!(error["causes"][0].as_str().unwrap().contains("no LUKS header"), "{error}");
}

#[test]
fn files_that_cannot_be_used() {
    let world = world(formatted(OFFSET).header());
    fs::write(world.path("empty"), "").unwrap();
    fs::write(world.path("long"), vec![1; (64 << 10) + 1]).unwrap();
    for file in ["empty", "long", "missing"] {
        prove(&world, &["--key-file", file]).refused(2, "SecretFileUnusable");
    }
    prove(&world, &["--key-file", "key", "--header", "missing"]).refused(1, "SourceUnreadable");
    world.cofre(&["disk", "prove", "missing", "--key-file", "key", "--json"]).refused(1, "SourceUnreadable");
    // The data do not fit on the disk.
    let file = fs::OpenOptions::new().write(true).open(world.path("disk.raw")).unwrap();
    file.set_len(OFFSET - 4096).unwrap();
    prove(&world, &["--key-file", "key"]).refused(20, "EncryptionHeaderDamaged");
}

#[test]
fn hostile_headers_are_refused_in_no_time() {
    let good = formatted(OFFSET);
    let begun = Instant::now();
    let absurd = with_kdf(good.header(), |kdf| kdf["memory"] = (1_u64 << 31).into());
    let error = prove(&world(&absurd), &["--key-file", "key"]).refused(21, "KeyTooCostly");
    assert!(error["causes"][0].as_str().unwrap().contains("argon2_memory_kib"), "{error}");
    let absurd = with_kdf(good.header(), |kdf| kdf["time"] = u32::MAX.into());
    prove(&world(&absurd), &["--key-file", "key"]).refused(21, "KeyTooCostly");
    let unknown = with_kdf(good.header(), |kdf| kdf["type"] = "scrypt".into());
    prove(&world(&unknown), &["--key-file", "key"]).refused(21, "EncryptionUnsupported");
    let mut damaged = good.header().to_vec();
    (damaged[5000], damaged[0x4000 + 5000]) = (b'#', b'#');
    let error = prove(&world(&damaged), &["--key-file", "key"]).refused(20, "EncryptionHeaderDamaged");
    assert!(error["causes"][0].as_str().unwrap().contains("checksum"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(30));
}

/// The limits allow 1 GiB, the machine (here: a limit on the whole process) does not.
#[test]
fn a_machine_without_the_memory_is_said_to_be_one() {
    let hungry = with_kdf(formatted(OFFSET).header(), |kdf| kdf["memory"] = (1 << 20).into());
    let world = world(&hungry);
    let Some(mut shell) = tool("sh") else { return };
    shell.args(["-c", "ulimit -v 900000; exec \"$0\" disk prove disk.raw --key-file key --json"]);
    shell.arg(env!("CARGO_BIN_EXE_cofre")).current_dir(world.path(""));
    shell.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let error = world.run(shell).refused(21, "KeyTooCostly");
    assert!(error["causes"][0].as_str().unwrap().contains("no 1048576 KiB of memory"), "{error}");
}

#[test]
fn the_child_is_confined_and_shows_no_secret() {
    let world = world(&slow());
    let mut parent = world.command(&["disk", "prove", "disk.raw", "--key-file", "key", "--json"]);
    parent.env("COFRE_TEST_MARK", "in the environment");
    let parent = parent.spawn().unwrap();
    let child = child_of(&parent);
    let read = |process: &Path, name: &str| fs::read(process.join(name)).unwrap_or_default();

    let status = String::from_utf8(read(&child, "status")).unwrap();
    for line in ["Seccomp:\t2", "NoNewPrivs:\t1", "Threads:\t1"] {
        assert!(status.contains(line), "no {line} in {status}");
    }
    let limits = String::from_utf8(read(&child, "limits")).unwrap();
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name));
        let line = line.unwrap_or_else(|| panic!("no {name} in {limits}"));
        line.split_whitespace().next().unwrap().to_owned()
    };
    assert_eq!(limit("Max open files"), "0");
    assert_eq!(limit("Max core file size"), "0");
    assert_eq!(limit("Max file size"), "0");
    assert_eq!(limit("Max processes"), "0");
    assert_eq!(limit("Max address space"), ((1_u64 << 30) + (256 << 20)).to_string());
    assert_eq!(limit("Max cpu time"), "121");

    assert_eq!(read(&child, "cmdline"), b"cofre\0internal-prove\0");
    // Only its owner's superior may look at the rest of a process that cannot be traced.
    if let Ok(descriptors) = fs::read_dir(child.join("fd")) {
        // What these tests were started with, and passed on, is open but out of reach (`sandbox`).
        for descriptor in descriptors.map(|entry| entry.unwrap()) {
            let inherited = Path::new("/proc/self/fd").join(descriptor.file_name());
            let number: u32 = descriptor.file_name().to_str().unwrap().parse().unwrap();
            let target = fs::read_link(descriptor.path()).unwrap();
            assert!(
                number < 3 || fs::read_link(inherited).is_ok_and(|t| t == target),
                "{number}: {target:?}"
            );
        }
        assert_eq!(fs::read_link(child.join("cwd")).unwrap(), Path::new("/"));
        assert_eq!(read(&child, "environ"), b"");
    } else {
        eprintln!("passed over: only root sees descriptors and environment of the child");
    }
    let needle = &KEY[1..KEY.len() - 2];
    for process in [&child, &PathBuf::from(format!("/proc/{}", parent.id()))] {
        for name in ["cmdline", "environ"] {
            let shown = read(process, name);
            assert!(!shown.windows(needle.len()).any(|bytes| bytes == needle), "{name}");
        }
    }

    // Killed midway: a clean error, and nothing left.
    kill_process(pid(&child), Signal::KILL).unwrap();
    let error = finish(parent).refused(1, "ProofFailed");
    assert!(error["causes"][0].as_str().unwrap().contains("signal 9"), "{error}");
    assert!(!child.exists());
}

#[test]
fn the_child_ends_with_its_parent() {
    let world = world(&slow());
    let mut parent = world.command(&["disk", "prove", "disk.raw", "--key-file", "key"]).spawn().unwrap();
    let child = child_of(&parent);
    parent.kill().unwrap();
    assert_eq!(parent.wait().unwrap().signal(), Some(9));
    let until = Instant::now() + Duration::from_secs(20);
    // Whoever inherits orphans here may leave it a zombie.
    let gone =
        || fs::read_to_string(child.join("status")).map_or(true, |status| status.contains("State:\tZ"));
    while !gone() {
        assert!(Instant::now() < until, "the child outlives its parent");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_signal_interrupts_it() {
    let world = world(&slow());
    let parent =
        world.command(&["disk", "prove", "disk.raw", "--key-file", "key", "--json"]).spawn().unwrap();
    let child = child_of(&parent);
    kill_process(Pid::from_child(&parent), Signal::INT).unwrap();
    finish(parent).refused(130, "Interrupted");
    assert!(!child.exists());
}

/// A thread that is denied seccomp itself starts the program, which inherits that.
#[test]
fn without_a_filter_nothing_is_proved() {
    let world = world(formatted(OFFSET).header());
    let run = thread::scope(|scope| {
        let confined = scope.spawn(|| {
            let rules = [(libc::SYS_seccomp, Vec::new())].into_iter().collect();
            let denied = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
            let arch = std::env::consts::ARCH.try_into().unwrap();
            let filter = SeccompFilter::new(rules, SeccompAction::Allow, denied, arch).unwrap();
            apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
            prove(&world, &["--key-file", "key"])
        });
        confined.join().unwrap()
    });
    let error = run.refused(1, "ProofFailed");
    assert!(error["causes"][0].as_str().unwrap().contains("seccomp"), "{error}");
}

#[test]
fn the_hidden_command_is_hidden_and_useless_by_hand() {
    let world = World::empty();
    let shown = world.cofre(&["--help"]).expect(0).stdout
        + &world.cofre(&["disk", "--help"]).expect(0).stdout
        + &["bash", "zsh", "fish"]
            .map(|shell| world.cofre(&["completions", shell]).expect(0).stdout)
            .concat();
    assert!(shown.contains("prove") && !shown.contains("internal-prove"));
    // No question on standard input: it says so and ends.
    let run = world.cofre(&["internal-prove"]);
    assert!(run.stdout.contains("question"), "{run:?}");
}
