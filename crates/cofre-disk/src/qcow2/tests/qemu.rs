//! Images made by QEMU, against what QEMU reads from them. Skipped where its tools are not installed.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::*;
use crate::{ImageFormat, RawSource, open_source};

/// A directory with images, made by the tools of QEMU.
struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    /// None when the tools are not there.
    fn new() -> Option<Self> {
        for tool in ["qemu-img", "qemu-io"] {
            if Command::new(tool).arg("--version").output().is_err() {
                eprintln!("skipped: {tool} is not installed");
                return None;
            }
        }
        Some(Self { dir: tempfile::tempdir().unwrap() })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs a tool in the directory.
    fn run(&self, command: &str) {
        let words: Vec<_> = command.split_whitespace().collect();
        let output = Command::new(words[0]).args(&words[1..]).current_dir(self.dir.path()).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Runs commands of qemu-io on an image.
    fn io(&self, format: &str, name: &str, commands: &[&str]) {
        let mut io = Command::new("qemu-io");
        io.args(["-f", format]).args(commands.iter().flat_map(|command| ["-c", *command])).arg(name);
        let output = io.current_dir(self.dir.path()).output().unwrap();
        assert!(output.status.success(), "{commands:?}: {}", String::from_utf8_lossy(&output.stdout));
    }

    /// Compares an image with what QEMU converts it to.
    fn check(&self, name: &str) -> Qcow2Source {
        self.run(&format!("qemu-img convert -f qcow2 -O raw {name} {name}.raw"));
        let expected = std::fs::read(self.path(&format!("{name}.raw"))).unwrap();
        let source = Qcow2Source::open(self.path(name)).unwrap();
        for piece in [61_441, 1 << 20] {
            assert!(bytes(&source, piece) == expected, "{name}");
        }
        check_holes(&source, &expected);
        source.verify_unchanged().unwrap();
        source
    }
}

#[test]
fn every_version_cluster_size_and_disk_size() {
    let Some(bench) = Bench::new() else { return };
    for compat in ["0.10", "1.1"] {
        for cluster_size in ["512", "4k", "64k", "2M"] {
            for size in [512, 5 << 20, (5 << 20) + 512, 1_000_448] {
                let options = format!("compat={compat},cluster_size={cluster_size}");
                bench.run(&format!("qemu-img create -q -f qcow2 -o {options} a.qcow2 {size}"));
                let zero = if size > 700_000 { "write -z 128k 200k" } else { "write -z 0 512" };
                let end = format!("write -P 5 {} 512", size - 512);
                let mut commands = vec!["write -P 1 0 512", zero, &end];
                if size > 700_000 {
                    commands.extend(["write -P 2 65000 100000", "write -P 3 700000 13", "discard 64k 64k"]);
                }
                bench.io("qcow2", "a.qcow2", &commands);
                let source = bench.check("a.qcow2");
                assert_eq!(source.size(), size);
            }
        }
    }
}

#[test]
fn compressed_images() {
    let Some(bench) = Bench::new() else { return };
    // Half of it compresses well, half of it does not.
    let noise =
        |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(n | 1).to_be_bytes()[3];
    let disk: Vec<u8> = (0..(6_u64 << 20) + 512)
        .map(|n| if n % 500_000 < 250_000 { noise(n) } else { (n / 3000).to_le_bytes()[0] })
        .collect();
    std::fs::write(bench.path("disk.raw"), disk).unwrap();
    for kind in ["zlib", "zstd"] {
        for cluster_size in ["512", "64k", "2M"] {
            let options = format!("compression_type={kind},cluster_size={cluster_size}");
            bench.run(&format!("qemu-img convert -c -f raw -O qcow2 -o {options} disk.raw a.qcow2"));
            bench.check("a.qcow2");
            // Some of it is overwritten, and becomes ordinary.
            bench.io("qcow2", "a.qcow2", &["write -P 7 1M 70000", "write -z 3M 64k"]);
            bench.check("a.qcow2");
        }
    }
    bench.run("qemu-img convert -c -f raw -O qcow2 -o compat=0.10 disk.raw a.qcow2");
    bench.check("a.qcow2");
}

#[test]
fn chains_over_qcow2_and_raw() {
    let Some(bench) = Bench::new() else { return };
    bench.run("qemu-img create -q -f raw base.raw 3000832");
    bench.io("raw", "base.raw", &["write -P 1 0 1M", "write -P 2 2M 400k"]);
    bench.run("qemu-img create -q -f qcow2 -o cluster_size=4k -b base.raw -F raw middle.qcow2 5M");
    bench.io("qcow2", "middle.qcow2", &["write -P 3 100k 10k", "write -z 200k 100k", "write -P 4 4M 1M"]);
    let middle = bench.check("middle.qcow2");
    assert_eq!(middle.files().len(), 2);
    // A chain that becomes shorter and longer again.
    bench.run("qemu-img create -q -f qcow2 -b middle.qcow2 -F qcow2 small.qcow2 4500480");
    bench.run("qemu-img create -q -f qcow2 -o compat=0.10 -b small.qcow2 -F qcow2 top.qcow2 8M");
    bench.io("qcow2", "top.qcow2", &["write -P 6 7M 10k", "write -P 7 0 1k", "discard 100k 64k"]);
    let source = bench.check("top.qcow2");
    assert_eq!(source.files().len(), 4);
    // Written below an open image: noticed.
    bench.io("raw", "base.raw", &["write -P 9 0 1M"]);
    assert_eq!(source.verify_unchanged().unwrap_err().kind(), ErrorKind::Changed);
}

#[test]
fn internal_snapshots_are_left_alone() {
    let Some(bench) = Bench::new() else { return };
    bench.run("qemu-img create -q -f qcow2 a.qcow2 5M");
    bench.io("qcow2", "a.qcow2", &["write -P 1 0 1M"]);
    bench.run("qemu-img snapshot -c first a.qcow2");
    bench.io("qcow2", "a.qcow2", &["write -P 2 512k 1M"]);
    bench.check("a.qcow2");
}

#[test]
fn options_of_qemu_that_are_refused() {
    let Some(bench) = Bench::new() else { return };
    bench.run("qemu-img create -q -f qcow2 -o data_file=data.raw a.qcow2 1M");
    bench.run("qemu-img create -q -f qcow2 -o extended_l2=on b.qcow2 1M");
    bench.run("qemu-img create -q -f qcow2 c.qcow2 1M");
    bench.run("qemu-img create -q -f qcow2 -b c.qcow2 -F qcow2 d.qcow2 1M");
    bench.run("qemu-img rebase -u -b json:{\"driver\":\"file\",\"filename\":\"c.qcow2\"} -F qcow2 d.qcow2");
    let cases =
        [("a.qcow2", "external data file"), ("b.qcow2", "extended L2"), ("d.qcow2", "named by a protocol")];
    for (name, expected) in cases {
        let error = open_source(bench.path(name), ImageFormat::Qcow2).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn a_huge_sparse_disk_is_walked_in_few_steps() {
    let Some(bench) = Bench::new() else { return };
    for (cluster_size, allowed) in [("64k", 8), ("2M", 8)] {
        let options = format!("cluster_size={cluster_size}");
        bench.run(&format!("qemu-img create -q -f qcow2 -o {options} base.qcow2 5T"));
        bench.io("qcow2", "base.qcow2", &["write -P 1 1T 64k", "write -P 2 3T 1k"]);
        bench.run("qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2 6T");
        bench.io("qcow2", "top.qcow2", &["write -P 3 5999G 64k", "write -z 3T 2M"]);
        let source = Qcow2Source::open(bench.path("top.qcow2")).unwrap();
        let extents = extents(&source);
        assert!(extents.len() <= allowed, "{extents:?}");
        let data: Vec<_> = extents.iter().filter(|e| e.kind == ExtentKind::Data).map(|e| e.start).collect();
        assert_eq!(data, [1 << 40, 5999 << 30]);
        let mut byte = [0; 2];
        source.read_exact_at(&mut byte, (1 << 40) - 1).unwrap();
        assert_eq!(byte, [0, 1]);
    }
}

/// An image held open by qemu-io, until it is dropped.
struct Holder(std::process::Child);

impl Holder {
    fn new(path: &Path, format: &str, read_only: bool) -> Self {
        let mut io = Command::new("qemu-io");
        io.args(["-f", format]).args(read_only.then_some("-r")).arg(path);
        let mut child = io.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // It answers when it has opened the image and taken its locks.
        child.stdin.as_mut().unwrap().write_all(b"length\n").unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("MiB"), "{line}");
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[test]
fn an_image_in_use_is_refused() {
    let Some(bench) = Bench::new() else { return };
    bench.run("qemu-img create -q -f qcow2 a.qcow2 1M");
    bench.run("qemu-img create -q -f raw a.raw 1M");
    bench.run("qemu-img create -q -f qcow2 -b a.qcow2 -F qcow2 top.qcow2 1M");
    let in_use = |name: &str, format| {
        let error = open_source(bench.path(name), format).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InUse, "{error}");
        assert!(error.to_string().contains("is writing to it"), "{error}");
    };
    let open_before = RawSource::open(bench.path("a.raw")).unwrap();
    {
        let _qcow2 = Holder::new(&bench.path("a.qcow2"), "qcow2", false);
        let _raw = Holder::new(&bench.path("a.raw"), "raw", false);
        in_use("a.qcow2", ImageFormat::Qcow2);
        in_use("top.qcow2", ImageFormat::Qcow2);
        in_use("a.raw", ImageFormat::Raw);
        assert_eq!(open_before.verify_unchanged().unwrap_err().kind(), ErrorKind::InUse);
    }
    // Readers do not disturb, also where they are the base of something that is written.
    let _reader = Holder::new(&bench.path("a.raw"), "raw", true);
    RawSource::open(bench.path("a.raw")).unwrap();
    let _writer = Holder::new(&bench.path("top.qcow2"), "qcow2", false);
    in_use("top.qcow2", ImageFormat::Qcow2);
    Qcow2Source::open(bench.path("a.qcow2")).unwrap();
}
