//! Without cofre: kit, openssl and restic give the disk, whatever became of the home's database and keys.

use std::{fs, process::Command};

use super::*;
use crate::world::tool;

#[test]
fn kit_openssl_and_restic_give_the_disk() {
    let (Some(mut openssl), Some(mut restic)) = (tool("openssl"), tool("restic")) else { return };
    let (home, ..) = Home::protected();
    home.ok("backup now --vault-name bv --item-name web");
    let repository = home.repository();
    for gone in ["cofre.db", "cofre.db-wal", "cofre.db-shm", "keys/service.key", "keys/keyvault-root.key"] {
        let _ = fs::remove_file(home.world.path("home").join(gone));
    }

    // docs/home.md, "Sealing"
    let read =
        |path: &std::path::Path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let kit = read(&home.world.path("kit.json"));
    let envelope = read(&repository.parent().unwrap().join("envelope.json"));
    let pem = home.world.path("key.pem");
    fs::write(&pem, kit["recoveryKey"].as_str().unwrap()).unwrap();
    let label = format!("cofre envelope 1 {}", envelope["repository"].as_str().unwrap());
    let label: String = label.bytes().map(|b| format!("{b:02x}")).collect();
    let sealed = home.world.path("sealed");
    let base64 = envelope["sealedSecret"].as_str().unwrap();
    fs::write(home.world.path("sealed.b64"), base64).unwrap();
    let decoded = Command::new("base64").arg("-d").arg(home.world.path("sealed.b64")).output().unwrap();
    fs::write(&sealed, decoded.stdout).unwrap();
    let secret = openssl
        .args(["pkeyutl", "-decrypt", "-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha256"])
        .args(["-pkeyopt", &format!("rsa_oaep_label:{label}"), "-inkey"])
        .arg(&pem)
        .arg("-in")
        .arg(&sealed)
        .output()
        .unwrap();
    assert!(secret.status.success(), "{}", String::from_utf8_lossy(&secret.stderr));
    fs::write(home.world.path("password"), secret.stdout).unwrap();

    restic.arg("-r").arg(&repository).args(["--no-cache", "--no-lock", "--password-file"]);
    let tar = restic
        .arg(home.world.path("password"))
        .args(["dump", "-a", "tar", "latest", "/disks/0-os/extents"])
        .output()
        .unwrap();
    assert!(tar.status.success(), "{}", String::from_utf8_lossy(&tar.stderr));
    fs::write(home.world.path("disk.tar"), tar.stdout).unwrap();
    let disk = Command::new("tar").arg("-xOf").arg(home.world.path("disk.tar")).output().unwrap();
    assert!(disk.stdout == fs::read(home.world.path("vm/web.raw")).unwrap(), "the disk differs");
}
