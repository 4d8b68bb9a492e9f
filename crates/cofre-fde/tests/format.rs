//! What we format, cryptsetup takes: it shows the same, opens it with the same secrets, finds the
//! same key, and changes it. Passed over, with a message, where cryptsetup is not installed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    fs::{self, File},
    io::Read,
    os::unix::fs::{FileExt, MetadataExt},
    path::PathBuf,
    process::{Command, Output},
};

use cofre_fde::{
    ErrorKind, FileSource, Limits,
    luks::{self, Argon2Cost, FormatOptions, Formatted, Kdf},
};
use support::{FIRST, SECOND};
use tempfile::TempDir;

fn random(bytes: &mut [u8]) -> std::io::Result<()> {
    File::open("/dev/urandom")?.read_exact(bytes)
}

fn pbkdf2() -> Kdf {
    Kdf::Pbkdf2 { hash: "sha256".to_owned(), iterations: 1000 }
}

fn argon2id(passes: u32, memory_kib: u32, lanes: u32) -> Kdf {
    Kdf::Argon2id(Argon2Cost { passes, memory_kib, lanes })
}

struct Bench {
    directory: TempDir,
}

impl Bench {
    fn new() -> Option<Self> {
        let found = Command::new("cryptsetup").arg("--version").output();
        if !found.is_ok_and(|output| output.status.success()) {
            eprintln!("passed over: cryptsetup is not installed");
            return None;
        }
        let bench = Self { directory: tempfile::tempdir().unwrap() };
        for (name, secret) in [("first", FIRST), ("second", SECOND), ("wrong", b"wrong")] {
            fs::write(bench.path(name), secret).unwrap();
        }
        Some(bench)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, formatted: &Formatted, size: u64) {
        let file = File::create(self.path(name)).unwrap();
        file.set_len(size).unwrap();
        file.write_all_at(formatted.header(), 0).unwrap();
    }

    fn source(&self, name: &str) -> FileSource {
        FileSource::open(self.path(name)).unwrap()
    }

    fn run(&self, arguments: &str) -> Output {
        let mut command = Command::new("cryptsetup");
        command.arg("--batch-mode").args(arguments.split(' '));
        command.env("LC_ALL", "C").current_dir(self.directory.path()).output().unwrap()
    }

    #[track_caller]
    fn cryptsetup(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cryptsetup {arguments}: {errors}");
        // A header that had to be repaired, or that is odd, is said to be so.
        assert_eq!(errors, "", "cryptsetup {arguments}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn opens(&self, key_file: &str, disk: &str) -> bool {
        self.run(&format!("luksOpen --test-passphrase --key-file {key_file} {disk}")).status.success()
    }

    fn volume_key(&self, key_file: &str, disk: &str) -> Vec<u8> {
        let _ = fs::remove_file(self.path("volume-key"));
        self.cryptsetup(&format!(
            "luksDump --dump-volume-key --volume-key-file volume-key --key-file {key_file} {disk}"
        ));
        fs::read(self.path("volume-key")).unwrap()
    }
}

#[test]
fn cryptsetup_shows_and_opens_every_combination() {
    let Some(bench) = Bench::new() else { return };
    let kdfs = [pbkdf2(), argon2id(1, 64, 1), argon2id(4, 1024, 2)];
    for (number, kdf) in kdfs.iter().enumerate() {
        for (key_bits, sector_size) in [(256, 512), (256, 4096), (512, 512), (512, 4096)] {
            for data_offset in [0, 0x8000 + 2 * 258_048, 16 << 20] {
                let label = format!("disk {number}");
                let options = FormatOptions {
                    label: label.clone(),
                    key_bits,
                    sector_size,
                    data_offset,
                    ..FormatOptions::new(kdf.clone())
                };
                let formatted = luks::format(&options, &[FIRST, SECOND], &mut random).unwrap();
                let length =
                    if data_offset == 0 { formatted.header().len() as u64 } else { data_offset + 8192 };
                bench.write("disk", &formatted, length);
                let before = fs::read(bench.path("disk")).unwrap();

                let dump = bench.cryptsetup("luksDump disk");
                let field = |name: &str| {
                    let line = dump.lines().find_map(|line| line.trim().strip_prefix(name));
                    line.unwrap_or_else(|| panic!("no {name} in {dump}")).trim().to_owned()
                };
                let info = luks::inspect(&bench.source("disk")).unwrap();
                assert_eq!(field("UUID:"), info.uuid);
                assert_eq!(field("Label:"), label);
                assert_eq!(field("offset:"), format!("{data_offset} [bytes]"));
                assert_eq!(field("sector:"), format!("{sector_size} [bytes]"));
                assert_eq!(field("cipher:"), "aes-xts-plain64");
                assert_eq!(field("Key:"), format!("{key_bits} bits"));
                let name = if number == 0 { "pbkdf2" } else { "argon2id" };
                assert_eq!(field("PBKDF:"), name, "{dump}");

                for key_file in ["first", "second"] {
                    assert!(bench.opens(key_file, "disk"), "{options:?}");
                    let key = bench.volume_key(key_file, "disk");
                    assert_eq!(key, formatted.unlocked().volume_key().expose(), "{options:?}");
                }
                assert!(!bench.opens("wrong", "disk"));
                // Nothing had to be repaired.
                assert!(before == fs::read(bench.path("disk")).unwrap());
            }
        }
    }
}

#[test]
fn cryptsetup_changes_a_header_that_we_wrote() {
    let Some(bench) = Bench::new() else { return };
    let formatted = luks::format(&FormatOptions::new(pbkdf2()), &[FIRST], &mut random).unwrap();
    bench.write("disk", &formatted, 20 << 20);
    let key = formatted.unlocked().volume_key().expose();
    let digest = luks::inspect(&bench.source("disk")).unwrap().volume_key_digest;
    let cheap = "--pbkdf pbkdf2 --pbkdf-force-iterations 1000";
    bench.cryptsetup(&format!("luksAddKey {cheap} --key-file first disk second"));
    bench.cryptsetup("luksRemoveKey disk first");
    assert!(!bench.opens("first", "disk"));
    let limits = Limits::default();
    assert_eq!(luks::unlock(&bench.source("disk"), SECOND, &limits).unwrap().volume_key().expose(), key);

    // And we change one that cryptsetup changed.
    let changed =
        luks::rekey(&bench.source("disk"), SECOND, &limits, &pbkdf2(), &[FIRST], &mut random).unwrap();
    bench.write("disk", &changed, 20 << 20);
    assert!(bench.opens("first", "disk") && !bench.opens("second", "disk"));
    assert_eq!(bench.volume_key("first", "disk"), key);
    assert_eq!(luks::inspect(&bench.source("disk")).unwrap().volume_key_digest, digest);

    // A slot that holds another key is not thrown away.
    bench.cryptsetup(&format!("luksAddKey {cheap} --key-file first --unbound --key-size 256 disk second"));
    let refused = luks::rekey(&bench.source("disk"), FIRST, &limits, &pbkdf2(), &[SECOND], &mut random);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn detached_headers_of_ours_are_taken() {
    let Some(bench) = Bench::new() else { return };
    let options = FormatOptions { data_offset: 0, ..FormatOptions::new(pbkdf2()) };
    let formatted = luks::format(&options, &[FIRST], &mut random).unwrap();
    bench.write("header", &formatted, formatted.header().len() as u64);
    File::create(bench.path("data")).unwrap().set_len(1 << 20).unwrap();
    let open = "luksOpen --test-passphrase --header header data --key-file";
    assert!(bench.run(&format!("{open} first")).status.success());
    assert!(!bench.run(&format!("{open} wrong")).status.success());
}

#[test]
fn what_is_not_in_use_stays_a_hole() {
    let directory = tempfile::tempdir().unwrap();
    let formatted = luks::format(&FormatOptions::new(pbkdf2()), &[FIRST], &mut random).unwrap();
    let file = File::create(directory.path().join("disk")).unwrap();
    file.set_len(64 << 20).unwrap();
    file.write_all_at(formatted.header(), 0).unwrap();
    assert!(formatted.header().len() < 300 << 10);
    assert!(file.metadata().unwrap().blocks() * 512 < 1 << 20);
}
