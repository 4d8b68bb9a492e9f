//! qcow2 in, VHD in and out, as qemu-img sees them.

use std::{path::Path, process::Command};

use crate::{
    images,
    world::{World, tool},
};

fn qemu_img(world: &World, args: &[&str]) -> Option<String> {
    let mut command: Command = tool("qemu-img")?;
    let output = command.args(args).current_dir(world.path("")).output().unwrap();
    assert!(output.status.success(), "qemu-img {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn size(path: &Path) -> u64 {
    path.metadata().unwrap().len()
}

#[test]
fn qcow2_with_a_chain_equals_what_qemu_img_converts() {
    let world = World::new();
    images::make(&world.path("base.raw"), 40 << 20, 1, &[(0, 3_000_000), (20 << 20, 1_000_000)]);
    if qemu_img(&world, &["convert", "-c", "-O", "qcow2", "base.raw", "base.qcow2"]).is_none() {
        return;
    }
    qemu_img(&world, &["create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "top.qcow2", "70M"]);
    images::make(&world.path("new.raw"), 70 << 20, 7, &[(1 << 20, 500_000), (69 << 20, 1000)]);
    qemu_img(&world, &["convert", "-O", "qcow2", "-B", "base.qcow2", "-F", "qcow2", "new.raw", "top.qcow2"]);
    for image in ["base.qcow2", "top.qcow2"] {
        qemu_img(&world, &["convert", "-O", "raw", image, "expected.raw"]);
        let made = world.ingest("vm", &[&format!("os={image}")], &[]);
        images::assert_same(&world.path("expected.raw"), &world.restore(&made["point"], "os", "out.raw"));
    }
    // the format is what the caller says, never what the bytes say
    std::fs::copy(world.path("base.qcow2"), world.path("guest.raw")).unwrap();
    let made = world.ingest("raw", &["os=guest.raw"], &[]);
    assert_eq!(made["disks"][0]["size"], size(&world.path("guest.raw")));
    images::assert_same(&world.path("guest.raw"), &world.restore(&made["point"], "os", "out.raw"));
    let run = world.repo("ingest", &["--name", "x", "--disk", "os=base.raw,format=qcow2"]);
    run.refused(21, "SourceUnsupported");
}

#[test]
fn a_vhd_is_one_to_qemu_and_to_us() {
    let world = World::new();
    for (i, bytes) in [5_000_192, 512, 3_000_001].into_iter().enumerate() {
        images::full(&world.path("a.raw"), bytes, 1);
        let made = world.ingest(&format!("vm{i}"), &["os=a.raw"], &[]);
        let point = made["point"].as_str().unwrap();
        world
            .repo("restore", &[point, "--disk", "os", "--to", "a.vhd", "--format", "vhd", "--force"])
            .expect(0);
        let padded = (bytes as u64).next_multiple_of(512);
        assert_eq!(size(&world.path("a.vhd")), padded + 512);
        // read back as a source of ours
        let again = world.ingest("again", &["os=a.vhd,format=vhd"], &["--parent", "none"]);
        assert_eq!(again["disks"][0]["size"], padded);
        let back = world.restore(&again["point"], "os", "b.raw");
        std::fs::OpenOptions::new().write(true).open(&back).unwrap().set_len(bytes as u64).unwrap();
        images::assert_same(&world.path("a.raw"), &back);

        if let Some(info) = qemu_img(&world, &["info", "-f", "vpc", "--output", "json", "a.vhd"]) {
            let info: serde_json::Value = serde_json::from_str(&info).unwrap();
            assert_eq!(info["virtual-size"], padded);
            std::fs::OpenOptions::new()
                .write(true)
                .open(world.path("a.raw"))
                .unwrap()
                .set_len(padded)
                .unwrap();
            let same = qemu_img(&world, &["compare", "-f", "raw", "-F", "vpc", "a.raw", "a.vhd"]);
            assert!(same.unwrap().contains("Images are identical"));
        }
    }
}
