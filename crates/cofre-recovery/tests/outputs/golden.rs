//! The files byte for byte, and what another program reads in them.
//!
//! With `COFRE_WRITE_GOLDEN=1` in the environment the files are written anew, to be looked at in a diff.

use std::{fs, path::PathBuf, process::Command};

use cofre_recovery::outputs::{configuration, encryption, template};

use crate::models::{captured, double_pass, restored, single_pass};

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn check(name: &str, bytes: &[u8]) {
    let path = golden(name);
    if std::env::var_os("COFRE_WRITE_GOLDEN").is_some() {
        fs::write(&path, bytes).unwrap();
    }
    let wanted = fs::read(&path).unwrap();
    assert!(wanted == bytes, "{} differs:\n{}", path.display(), String::from_utf8_lossy(bytes));
}

#[test]
fn files_are_what_they_were() {
    for (name, machine) in [("double-pass", double_pass()), ("single-pass", single_pass())] {
        let (keys, blobs) = captured(&machine);
        let disks = restored(&machine);
        check(&format!("{name}.config.json"), &configuration::encode(&machine, &disks).unwrap());
        check(&format!("{name}.encryption.json"), &encryption::encode(&machine, &keys, &blobs).unwrap());
        check(
            &format!("{name}.azuredeploy.json"),
            &template::template(&machine, &disks, Some(&keys)).unwrap(),
        );
    }
}

/// The published scripts' way through the two files, in Python; prints what they take from them.
const SCRIPT: &str = r#"
import base64, hashlib, json, sys
config = json.loads(open(sys.argv[1], 'rb').read().decode('utf-16-le').rstrip('\0'))
storage = config['properties.storageProfile']
print(config['properties.hardwareProfile']['vmSize'], storage['osDisk']['osType'], storage['osDisk']['name'])
print(storage['osDisk']['vhd']['uri'], storage['osDisk']['VirtualHardDisk']['Uri'])
for disk in storage['dataDisks']:
    print(disk['lun'], disk['name'], disk['vhd']['uri'], disk['diskSizeBytes'], disk['diskSizeGB'])
print(ascii(config['tags']['owner']))
details = json.loads(open(sys.argv[2], encoding='ascii').read())['OsDiskKeyAndSecretDetails']
print(hashlib.sha256(base64.b64decode(details['KeyBackupData'], validate=True)).hexdigest())
print(details['SecretData'], details['SecretUrl'], details['KeyUrl'], ascii(details['SecretTags']['VolumeLabel']))
"#;

#[test]
fn python_reads_the_same() {
    let run = Command::new("python3")
        .args(["-c", SCRIPT])
        .args([golden("double-pass.config.json"), golden("double-pass.encryption.json")])
        .output();
    let Ok(output) = run else {
        eprintln!("skipped: there is no python3");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let at = "https://sa1.blob.localhost/restore-7";
    let wanted = [
        "Standard_D2s_v3 Linux os".to_owned(),
        format!("{at}/os.vhd {at}/os.vhd"),
        format!("0 data {at}/data.vhd 1073741824 1"),
        format!("3 logs {at}/logs.vhd 1073743360 2"),
        r"'Zo\xeb \U0001f600'".to_owned(),
        // SHA-256 of the bytes 0 to 255
        "40aff2e9d2d8922e47afd4648e6967497158785fbd1da870e7110266bf944880".to_owned(),
        "d3JhcHBlZA_-secret \
         https://kv1.vault.localhost/secrets/bek/00112233445566778899aabbccddeeff \
         https://kv2.vault.localhost/keys/kek/ffeeddccbbaa99887766554433221100 'Gr\\xf6\\xdfe'"
            .to_owned(),
    ];
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().collect::<Vec<_>>(), wanted);
}
