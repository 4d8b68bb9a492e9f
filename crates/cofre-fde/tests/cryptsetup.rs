//! Comparison with cryptsetup and QEMU: what they make, we open; what they say, we say. Tests are
//! passed over, with a message, where the tool is not installed. None needs root or device-mapper.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use cofre_fde::{
    ErrorKind, FileSource, ReadAt as _,
    luks::{self, CopyState, HeaderCopy, Kdf, LuksInfo, Priority, SlotState},
};
use support::{FIRST, SECOND, cheap};
use tempfile::TempDir;

/// Whether `tool` runs here.
fn installed(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("passed over: {tool} is not installed");
    }
    found
}

/// A directory with two key files and whatever is made in it.
struct Bench {
    directory: TempDir,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("first"), FIRST).unwrap();
        fs::write(directory.path().join("second"), SECOND).unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn file(&self, name: &str, size: u64) -> PathBuf {
        let path = self.path(name);
        File::create(&path).unwrap().set_len(size).unwrap();
        path
    }

    fn try_run(&self, program: &str, arguments: &str) -> Output {
        let mut command = Command::new(program);
        if program == "cryptsetup" {
            command.arg("--batch-mode");
        }
        command.args(arguments.split(' ').filter(|argument| !argument.is_empty()));
        command.env("LC_ALL", "C").current_dir(self.directory.path()).output().unwrap()
    }

    fn run(&self, program: &str, arguments: &str) -> String {
        let output = self.try_run(program, arguments);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments}: {text}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn cryptsetup(&self, arguments: &str) -> String {
        self.run("cryptsetup", arguments)
    }

    /// Formats `disk`; cheap key derivation unless `options` say otherwise.
    fn format(&self, options: &str, disk: &str) {
        let cheap =
            if options.contains("--pbkdf") { "" } else { "--pbkdf pbkdf2 --pbkdf-force-iterations 1000" };
        let small = if options.contains("luks2") {
            "--luks2-metadata-size 16k --luks2-keyslots-size 768k"
        } else {
            ""
        };
        self.cryptsetup(&format!("luksFormat {options} {cheap} {small} --key-file first {disk}"));
    }

    fn volume_key(&self, disk: &str) -> Vec<u8> {
        let _ = fs::remove_file(self.path("volume-key"));
        self.cryptsetup(&format!(
            "luksDump --dump-volume-key --volume-key-file volume-key --key-file first {disk}"
        ));
        fs::read(self.path("volume-key")).unwrap()
    }

    fn open(&self, disk: &str) -> FileSource {
        FileSource::open(self.path(disk)).unwrap()
    }

    fn inspect(&self, disk: &str) -> LuksInfo {
        luks::inspect(&self.open(disk)).unwrap()
    }

    fn unlock(&self, disk: &str, secret: &[u8]) -> luks::Unlocked {
        luks::unlock(&self.open(disk), secret, &cheap()).unwrap()
    }

    /// What the matrix asserts of every disk.
    fn check(&self, options: &str, disk: &str) {
        let dump = self.cryptsetup(&format!("luksDump {disk}"));
        let field = |name: &str| {
            let line = dump.lines().find_map(|line| line.trim().strip_prefix(name));
            line.unwrap_or_else(|| panic!("no {name} in {dump}")).trim().to_owned()
        };
        let info = self.inspect(disk);
        assert_eq!(info.uuid, field("UUID:"), "{options}");
        if info.version == 1 {
            assert_eq!(info.cipher, format!("{}-{}", field("Cipher name:"), field("Cipher mode:")));
            assert_eq!(info.data_offset, field("Payload offset:").parse::<u64>().unwrap() * 512);
            assert_eq!(info.key_bits.unwrap().to_string(), field("MK bits:"));
        } else {
            assert_eq!(info.cipher, field("cipher:"));
            assert_eq!(format!("{} [bytes]", info.data_offset), field("offset:"));
            assert_eq!(format!("{} [bytes]", info.sector_size), field("sector:"));
            assert_eq!(format!("{} bits", info.key_bits.unwrap()), field("Key:"));
            assert_eq!(info.copies.as_ref().unwrap().sequence.to_string(), field("Epoch:"));
        }
        let unlocked = self.unlock(disk, FIRST);
        assert_eq!(unlocked.volume_key().expose(), self.volume_key(disk), "{options}");
        let wrong = luks::unlock(&self.open(disk), SECOND, &cheap()).unwrap_err();
        assert_eq!(wrong.kind(), ErrorKind::WrongKey, "{options}");
    }
}

const CIPHERS: [&str; 11] = [
    "--cipher aes-xts-plain64 --key-size 512",
    "--cipher aes-xts-plain64 --key-size 256",
    "--cipher aes-xts-plain --key-size 512",
    "--cipher aes-cbc-essiv:sha256 --key-size 256",
    "--cipher aes-cbc-essiv:sha256 --key-size 192",
    "--cipher aes-cbc-essiv:sha256 --key-size 128",
    "--cipher aes-cbc-plain --key-size 256",
    "--cipher aes-cbc-plain64 --key-size 256",
    "--cipher aes-cbc-plain64 --key-size 128",
    "--cipher aes-ecb --key-size 256",
    "--cipher aes-ecb --key-size 128",
];
const HASHES: [&str; 5] = ["sha1", "sha256", "sha512", "ripemd160", "whirlpool"];

#[test]
fn luks1_with_every_cipher_and_hash() {
    if !installed("cryptsetup") {
        return;
    }
    let bench = Bench::new();
    let hashes = HASHES.iter().map(|hash| format!("--hash {hash} --cipher aes-xts-plain64 --key-size 512"));
    for options in CIPHERS.iter().map(|cipher| format!("{cipher} --hash SHA256")).chain(hashes) {
        let options = format!("--type luks1 {options}");
        bench.file("disk", 8 << 20);
        bench.format(&options, "disk");
        bench.check(&options, "disk");
    }
}

#[test]
fn luks2_with_every_cipher_hash_kdf_and_sector_size() {
    if !installed("cryptsetup") {
        return;
    }
    let bench = Bench::new();
    let xts = CIPHERS[0];
    let ciphers = CIPHERS.iter().map(|cipher| format!("{cipher} --sector-size 512"));
    let hashes = HASHES.iter().map(|hash| format!("{xts} --sector-size 512 --hash {hash}"));
    let sectors = [512, 1024, 2048, 4096].map(|size| format!("{xts} --sector-size {size}"));
    let kdfs = ["argon2i", "argon2id"].iter().flat_map(|kdf| {
        [(32, 1), (64, 2), (256, 4)].map(|(memory, lanes)| {
            format!(
                "{xts} --sector-size 512 --pbkdf {kdf} --pbkdf-force-iterations 4 --pbkdf-memory {memory} \
                 --pbkdf-parallel {lanes}"
            )
        })
    });
    for options in ciphers.chain(hashes).chain(sectors).chain(kdfs) {
        let options = format!("--type luks2 {options}");
        bench.file("disk", 8 << 20);
        bench.format(&options, "disk");
        bench.check(&options, "disk");
    }
}

#[test]
fn keyslots_come_and_go_and_the_digest_of_the_key_stays() {
    if !installed("cryptsetup") {
        return;
    }
    for version in ["luks1", "luks2"] {
        let bench = Bench::new();
        bench.file("disk", 8 << 20);
        bench.format(&format!("--type {version} --cipher aes-xts-plain64"), "disk");
        let mut seen = vec![bench.inspect("disk")];
        let cheap = "--pbkdf pbkdf2 --pbkdf-force-iterations 1000";
        for step in [
            format!("luksAddKey {cheap} --key-file first disk second"),
            format!("luksAddKey {cheap} --key-file first --key-slot 5 disk second"),
            "luksKillSlot --key-file first disk 1".to_owned(),
            format!("luksChangeKey {cheap} --key-file second --key-slot 5 disk second"),
        ] {
            bench.cryptsetup(&step);
            let info = bench.inspect("disk");
            let before = seen.last().unwrap();
            assert_eq!(info.volume_key_digest, before.volume_key_digest, "{version} {step}");
            assert_ne!(info.header_sha256, before.header_sha256, "{version} {step}");
            seen.push(info);
        }
        let slots: Vec<_> = seen
            .iter()
            .map(|info| info.keyslots.iter().map(|slot| slot.number).collect::<Vec<_>>())
            .collect();
        assert_eq!(slots, [vec![0], vec![0, 1], vec![0, 1, 5], vec![0, 5], vec![0, 5]]);
        assert_eq!(bench.unlock("disk", FIRST).slot(), 0);
        assert_eq!(bench.unlock("disk", SECOND).slot(), 5);

        // Formatting anew gives another key.
        bench.format(&format!("--type {version} --cipher aes-xts-plain64"), "disk");
        assert_ne!(bench.inspect("disk").volume_key_digest, seen[0].volume_key_digest);
    }
}

#[test]
fn a_conversion_between_the_versions_keeps_the_digest_of_the_key() {
    if !installed("cryptsetup") {
        return;
    }
    let bench = Bench::new();
    bench.file("disk", 32 << 20);
    bench.format("--type luks1 --cipher aes-xts-plain64", "disk");
    let digest = bench.inspect("disk").volume_key_digest;
    for version in [2, 1] {
        bench.cryptsetup(&format!("convert --type luks{version} disk"));
        let info = bench.inspect("disk");
        assert_eq!((info.version, &info.volume_key_digest), (version, &digest));
        bench.check("converted", "disk");
    }
}

#[test]
fn detached_headers_and_header_backups() {
    if !installed("cryptsetup") {
        return;
    }
    for version in ["luks1", "luks2"] {
        let bench = Bench::new();
        bench.file("header", 4 << 20);
        bench.file("data", (1 << 20) + 100);
        bench.format(&format!("--type {version} --cipher aes-xts-plain64 --header header"), "data");
        let info = bench.inspect("header");
        assert_eq!(
            (info.data_offset, info.header_length),
            (0, fs::metadata(bench.path("header")).unwrap().len())
        );
        bench.check(version, "header");
        let view = bench.unlock("header", FIRST).view(bench.open("data")).unwrap();
        assert_eq!(view.size(), 1 << 20);
        assert_eq!(luks::inspect(&bench.open("data")).unwrap_err().kind(), ErrorKind::NotEncrypted);

        bench.file("disk", 8 << 20);
        bench.format(&format!("--type {version} --cipher aes-xts-plain64"), "disk");
        bench.cryptsetup("luksHeaderBackup --header-backup-file backup disk");
        // The backup is cut off where the keyslots end, which may be before the data.
        assert_eq!(bench.inspect("backup").header_sha256, bench.inspect("disk").header_sha256);
        assert_eq!(bench.unlock("backup", FIRST).volume_key().expose(), bench.volume_key("disk"));
    }
}

#[test]
fn bytes_up_to_the_header_length_are_all_that_unlocking_needs() {
    if !installed("cryptsetup") {
        return;
    }
    for version in ["luks1", "luks2"] {
        let bench = Bench::new();
        bench.file("disk", 8 << 20);
        bench.format(&format!("--type {version} --cipher aes-xts-plain64"), "disk");
        let info = bench.inspect("disk");
        let mut kept = vec![0; usize::try_from(info.header_length).unwrap()];
        bench.open("disk").read_exact_at(&mut kept, 0).unwrap();
        let unlocked = luks::unlock(&kept, FIRST, &cheap()).unwrap();
        assert_eq!(unlocked.volume_key().expose(), bench.volume_key("disk"));
        assert_eq!(luks::inspect(&kept).unwrap(), info);
    }
}

#[test]
fn a_damaged_copy_is_replaced_by_the_other_as_in_cryptsetup() {
    if !installed("cryptsetup") {
        return;
    }
    let bench = Bench::new();
    bench.file("disk", 8 << 20);
    bench.format("--type luks2 --cipher aes-xts-plain64", "disk");
    let sound = fs::read(bench.path("disk")).unwrap();
    let before = bench.inspect("disk");
    for (at, used) in [(0, HeaderCopy::Secondary), (16384, HeaderCopy::Primary)] {
        for damage in [0..16_usize, 100..101, 448..449, 4096..4200, 16000..16384] {
            let mut disk = sound.clone();
            disk[at + damage.start..at + damage.end].iter_mut().for_each(|byte| *byte ^= 0x40);
            fs::write(bench.path("disk"), &disk).unwrap();
            let info = bench.inspect("disk");
            let copies = info.copies.unwrap();
            assert_eq!(copies.used, used, "{damage:?}");
            let state = if at == 0 { &copies.primary } else { &copies.secondary };
            assert!(matches!(state, CopyState::Damaged(_)), "{damage:?}");
            assert_eq!(info.volume_key_digest, before.volume_key_digest);
            bench.unlock("disk", FIRST);
            // cryptsetup repairs as it reads, so it comes last.
            let dump = bench.try_run("cryptsetup", "luksUUID --disable-locks disk");
            assert_eq!(String::from_utf8_lossy(&dump.stdout).trim(), before.uuid, "{damage:?}");
        }
    }
}

#[test]
fn priority_and_binding_as_cryptsetup_sets_them() {
    if !installed("cryptsetup") {
        return;
    }
    let bench = Bench::new();
    bench.file("disk", 8 << 20);
    bench.format("--type luks2 --cipher aes-xts-plain64", "disk");
    let cheap_kdf = "--pbkdf pbkdf2 --pbkdf-force-iterations 1000";
    bench
        .cryptsetup(&format!("luksAddKey {cheap_kdf} --key-file first --unbound --key-size 256 disk second"));
    bench.cryptsetup("config --key-slot 0 --priority ignore disk");
    let info = bench.inspect("disk");
    assert_eq!(info.keyslots[0].priority, Priority::Ignore);
    assert_eq!(info.keyslots[1].state, SlotState::Unbound);
    let source = bench.open("disk");
    assert_eq!(luks::unlock(&source, FIRST, &cheap()).unwrap_err().kind(), ErrorKind::NoKeyslot);
    assert_eq!(luks::unlock_slot(&source, 0, FIRST, &cheap()).unwrap().slot(), 0);
    assert_eq!(luks::unlock_slot(&source, 1, SECOND, &cheap()).unwrap_err().kind(), ErrorKind::NoKeyslot);
    bench.cryptsetup("config --key-slot 0 --priority prefer disk");
    assert_eq!(bench.inspect("disk").keyslots[0].priority, Priority::Prefer);
    bench.unlock("disk", FIRST);
}

#[test]
fn foreign_ciphers_are_inspected_and_refused_by_name() {
    if !installed("cryptsetup") {
        return;
    }
    let bench = Bench::new();
    for version in ["luks1", "luks2"] {
        for cipher in ["serpent-xts-plain64", "twofish-cbc-essiv:sha256"] {
            bench.file("disk", 8 << 20);
            let formatted = bench.try_run(
                "cryptsetup",
                &format!(
                    "luksFormat --type {version} --cipher {cipher} --key-size 256 --pbkdf pbkdf2 \
                     --pbkdf-force-iterations 1000 --key-file first disk"
                ),
            );
            if !formatted.status.success() {
                eprintln!("passed over: this kernel has no {cipher}");
                continue;
            }
            let info = bench.inspect("disk");
            assert_eq!((info.cipher.as_str(), info.opaque), (cipher, Some(format!("cipher {cipher}"))));
            let error = luks::unlock(&bench.open("disk"), FIRST, &cheap()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains(cipher), "{error}");
        }
    }
}

#[test]
fn a_re_encryption_under_way_makes_the_disk_opaque() {
    if !installed("cryptsetup") {
        return;
    }
    let bench = Bench::new();
    bench.file("disk", 32 << 20);
    bench.format("--type luks2 --cipher aes-xts-plain64", "disk");
    let started = bench.try_run(
        "cryptsetup",
        "reencrypt --init-only --resilience none --key-file first --pbkdf pbkdf2 --pbkdf-force-iterations 1000 disk",
    );
    if !started.status.success() {
        eprintln!("passed over: {}", String::from_utf8_lossy(&started.stderr));
        return;
    }
    let info = bench.inspect("disk");
    assert!(info.opaque.unwrap().starts_with("re-encryption under way"), "the reason is named");
    assert!(info.keyslots.iter().any(|slot| slot.kind == "reencrypt"));
    let error = luks::unlock(&bench.open("disk"), FIRST, &cheap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("re-encryption"), "{error}");
}

#[test]
fn disks_that_qemu_made_read_as_qemu_reads_them() {
    if !installed("qemu-img") {
        return;
    }
    let bench = Bench::new();
    let plain: Vec<u8> = (0..1_u32 << 20).map(|n| u8::try_from((n * 7 + n / 512) % 256).unwrap()).collect();
    fs::write(bench.path("plain"), &plain).unwrap();
    for options in [
        "",
        ",cipher-alg=aes-256,cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=sha256,hash-alg=sha1",
        ",cipher-alg=aes-128,cipher-mode=cbc,ivgen-alg=plain64",
        ",cipher-alg=aes-256,cipher-mode=ecb",
    ] {
        let secret = "--object secret,id=s0,file=first";
        let created = bench.try_run(
            "qemu-img",
            &format!("create -q {secret} -f luks -o key-secret=s0,iter-time=10{options} disk 1M"),
        );
        if !created.status.success() {
            eprintln!("passed over {options}: {}", String::from_utf8_lossy(&created.stderr));
            continue;
        }
        bench.run(
            "qemu-img",
            &format!("convert -n {secret} -f raw plain --target-image-opts driver=luks,key-secret=s0,file.filename=disk"),
        );
        let unlocked = luks::unlock(&bench.open("disk"), FIRST, &cofre_fde::Limits::default()).unwrap();
        let view = unlocked.view(bench.open("disk")).unwrap();
        let mut read = vec![0; plain.len()];
        assert_eq!(view.size(), plain.len() as u64);
        view.read_exact_at(&mut read, 0).unwrap();
        assert!(read == plain, "{options}");
        assert!(matches!(bench.inspect("disk").keyslots[0].kdf, Some(Kdf::Pbkdf2 { .. })));
    }
}

#[test]
fn the_example_writes_the_plaintext_or_says_why_not() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let bench = Bench::new();
    let mut disk = fs::read(fixtures.join("qemu-luks1.hdr")).unwrap();
    let info = luks::inspect(&disk).unwrap();
    disk.resize(usize::try_from(info.data_offset).unwrap(), 0);
    disk.extend(fs::read(fixtures.join("qemu-luks1.data")).unwrap());
    fs::write(bench.path("disk"), disk).unwrap();
    // Examples are built next to the tests: target/<profile>/deps/<this>, target/<profile>/examples/fdecat.
    let program =
        std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("examples/fdecat");
    if !program.exists() {
        eprintln!("passed over: the example was not built");
        return;
    }
    let program = program.to_str().unwrap();
    let output = bench.try_run(program, "disk --key-file first");
    assert!(output.status.success());
    assert_eq!((output.stdout.len(), output.stdout[0], output.stdout[8191]), (8192, 1, 106));
    let output = bench.try_run(program, "disk --key-file second");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("opens none"));
}
