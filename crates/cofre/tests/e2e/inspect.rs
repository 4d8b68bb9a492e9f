//! `cofre disk inspect` on what cryptsetup makes.

use std::fs;

use crate::{
    images,
    world::{World, tool},
};

#[test]
fn a_luks_disk_is_described_and_a_plain_one_said_to_be_plain() {
    let world = World::empty();
    images::make(&world.path("plain.raw"), 1 << 20, 1, &[(0, 1 << 20)]);
    let plain = world.cofre(&["disk", "inspect", "plain.raw", "--json"]).expect(0).json();
    assert_eq!(plain["encrypted"], false);
    assert!(world.cofre(&["disk", "inspect", "plain.raw"]).expect(0).stdout.contains("is not encrypted"));
    world.cofre(&["disk", "inspect", "none.raw", "--json"]).refused(1, "SourceUnreadable");

    let Some(mut cryptsetup) = tool("cryptsetup") else { return };
    images::make(&world.path("luks.raw"), 32 << 20, 1, &[]);
    cryptsetup.args([
        "luksFormat",
        "-q",
        "--type",
        "luks2",
        "--pbkdf",
        "pbkdf2",
        "--pbkdf-force-iterations",
        "1000",
    ]);
    cryptsetup.args(["--uuid", "11111111-2222-3333-4444-555555555555", "luks.raw", "secret"]);
    let output = cryptsetup.current_dir(world.path("")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let luks = world.cofre(&["disk", "inspect", "luks.raw", "--json"]).expect(0).json();
    assert_eq!(luks["encrypted"], true);
    assert_eq!(luks["format"], "luks");
    assert_eq!(luks["uuid"], "11111111-2222-3333-4444-555555555555");
    assert_eq!(luks["cipher"], "aes-xts-plain64");
    assert_eq!(luks["keyslots"].as_array().unwrap().len(), 1);
    for field in ["headerSha256", "volumeKeyDigest"] {
        assert_eq!(luks[field].as_str().unwrap().len(), 64, "{field}");
    }
    let text = world.cofre(&["disk", "inspect", "luks.raw"]).expect(0).stdout;
    assert!(text.contains("LUKS2") && text.contains(luks["volumeKeyDigest"].as_str().unwrap()), "{text}");
    assert!(text.contains("keyslot 0        active; pbkdf2"), "{text}");

    // both copies spoilt: damage
    let mut bytes = fs::read(world.path("luks.raw")).unwrap();
    for at in [100, 0x4000 + 100] {
        bytes[at] ^= 1;
    }
    fs::write(world.path("luks.raw"), bytes).unwrap();
    world.cofre(&["disk", "inspect", "luks.raw", "--json"]).refused(20, "EncryptionHeaderDamaged");
}
