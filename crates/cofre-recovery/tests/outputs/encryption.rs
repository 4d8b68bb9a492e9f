use cofre_arm::Problem;
use cofre_compute::{EncryptionMechanism, OsType};
use cofre_recovery::{
    captured::CapturedSet,
    outputs::{EncryptionFile, KeyAndSecret, KeyBlob, encryption},
};
use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::models::{captured, double_pass, key_url, machine, restored, secret_url, settings, single_pass};

/// Whether an entry says all that was captured.
fn same(entry: &KeyAndSecret, set: &CapturedSet, blob: &[u8]) -> bool {
    entry.secret_url.to_string() == set.secret_url
        && entry.secret_vault_id.as_ref() == Some(&set.secret_vault_id)
        && entry.secret_data == set.secret_data
        && entry.secret_content_type == set.secret_content_type
        && entry.secret_tags == set.secret_tags
        && entry.key_url.to_string() == set.key_url
        && entry.key_vault_id.as_ref() == Some(&set.key_vault_id)
        && entry.key_backup.expose() == blob
}

fn luns(file: &EncryptionFile) -> Vec<Option<u32>> {
    file.entries.iter().map(|e| e.lun).collect()
}

#[test]
fn one_secret_for_all_disks() {
    let vm = double_pass();
    let (keys, blobs) = captured(&vm);
    let bytes = encryption::encode(&vm, &keys, &blobs).unwrap();
    let json: Value = serde_json::from_slice(&bytes).unwrap();
    let details = json["OsDiskKeyAndSecretDetails"].as_object().unwrap();
    assert!(!details.contains_key("KeyVaultSecretBackupData") && !details.contains_key("Lun"));
    assert_eq!(json.as_object().unwrap().len(), 1, "data disks have no other");
    let file = encryption::parse(&bytes).unwrap();
    assert_eq!((file.mechanism, luns(&file)), (Some(EncryptionMechanism::DoublePass), vec![None]));
    assert!(same(&file.entries[0], &keys.sets[0], &blobs["key-0.blob"]));
    assert_eq!(file.of_disk(Some(3)).unwrap().lun, None);
}

#[test]
fn a_data_disk_with_a_secret_of_its_own_has_an_entry_and_the_key_is_there_once() {
    let vm = single_pass();
    let (keys, blobs) = captured(&vm);
    let bytes = encryption::encode(&vm, &keys, &blobs).unwrap();
    let json: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(json["DataDiskKeyAndSecretDetails"][0]["Lun"], 3);
    assert_eq!(json["DataDiskKeyAndSecretDetails"][0].get("KeyBackupData"), None);
    let file = encryption::parse(&bytes).unwrap();
    assert_eq!(luns(&file), [None, Some(3)]);
    assert!(same(file.of_disk(Some(3)).unwrap(), &keys.sets[1], &blobs["key-0.blob"]));
    assert!(same(file.of_disk(Some(0)).unwrap(), &keys.sets[0], &blobs["key-0.blob"]));
    assert_eq!((file.keys().len(), file.secrets().len()), (1, 2));
}

#[test]
fn only_data_disks_are_encrypted() {
    let mut vm = machine(OsType::Linux);
    vm.data_disks[0].disk.encryption_settings = Some(settings("bek"));
    let (keys, blobs) = captured(&vm);
    let file = encryption::parse(&encryption::encode(&vm, &keys, &blobs).unwrap()).unwrap();
    assert_eq!(luns(&file), [Some(0)]);
    assert!(file.of_disk(None).is_none());
}

#[test]
fn settings_that_changed_during_the_snapshot_are_both_there() {
    let vm = double_pass();
    let (mut keys, mut blobs) = captured(&vm);
    let newer = Zeroizing::new(b"a newer blob of the key".to_vec());
    let mut after = keys.sets[0].clone();
    after.secret_url = secret_url("bek-2");
    after.key_url = key_url("2");
    after.key_backup = "key-1.blob".into();
    after.key_backup_sha256 = KeyBlob::new(newer.clone()).sha256();
    blobs.insert("key-1.blob".into(), newer);
    // what the description names comes first, wherever it is in the record
    keys.sets.insert(0, after);
    let file = encryption::parse(&encryption::encode(&vm, &keys, &blobs).unwrap()).unwrap();
    assert_eq!(luns(&file), [None, None]);
    assert!(same(&file.entries[0], &keys.sets[1], &blobs["key-0.blob"]));
    assert!(same(&file.entries[1], &keys.sets[0], &blobs["key-1.blob"]));
    let restored: Vec<_> = file.keys().into_iter().map(|e| e.key_backup.expose().len()).collect();
    assert_eq!(restored, [256], "two versions of one key, and the blob with more of them");
    assert_eq!(file.secrets().len(), 2);
}

#[test]
fn damaged_captures_are_not_written() {
    let vm = double_pass();
    let (keys, mut blobs) = captured(&vm);
    let problem = |keys: &_, blobs: &_| encryption::encode(&vm, keys, blobs).unwrap_err().problem();
    let mut unversioned = keys.clone();
    unversioned.sets[0].key_url = "https://kv2.vault.localhost/keys/kek".into();
    assert_eq!(problem(&unversioned, &blobs), Problem::KeyUrlNotVersioned);
    let mut swapped = keys.clone();
    swapped.sets[0].secret_url.clone_from(&keys.sets[0].key_url);
    assert_eq!(problem(&swapped, &blobs), Problem::KeyUrlNotVersioned);
    let mut none = keys.clone();
    none.sets.clear();
    assert_eq!(problem(&none, &blobs), Problem::InvalidParameter);
    blobs.get_mut("key-0.blob").unwrap()[17] ^= 1;
    assert_eq!(problem(&keys, &blobs), Problem::KeyVaultBlobNotUsable);
    blobs.clear();
    assert_eq!(problem(&keys, &blobs), Problem::KeyVaultBlobNotUsable);
}

#[test]
fn the_published_members_alone_are_enough_and_each_is_needed() {
    let published = json!({"OsDiskKeyAndSecretDetails": {
        "KeyBackupData": "+/8Afg==", "SecretData": "sesame", "SecretUrl": secret_url("bek").replace("localhost/", "localhost:443/"),
        "KeyUrl": key_url("1"), "KeyVaultSecretBackupData": null,
    }});
    let file = encryption::parse(published.to_string().as_bytes()).unwrap();
    assert_eq!((file.mechanism, file.entries[0].secret_vault_id.clone()), (None, None));
    assert_eq!(file.entries[0].secret_url.to_string(), secret_url("bek"));
    assert_eq!(file.entries[0].key_backup.expose(), [0xfb, 0xff, 0, 0x7e]);
    let utf16: Vec<u8> = published.to_string().encode_utf16().flat_map(u16::to_le_bytes).collect();
    encryption::parse(&[b"\xff\xfe", utf16.as_slice(), &[0; 8]].concat()).unwrap();

    for member in ["KeyBackupData", "SecretData", "SecretUrl", "KeyUrl"] {
        let mut lacking = published.clone();
        lacking["OsDiskKeyAndSecretDetails"][member] = Value::Null;
        let error = encryption::parse(lacking.to_string().as_bytes()).unwrap_err();
        let wanted = if member == "KeyUrl" { Problem::BekOnly } else { Problem::InvalidParameter };
        assert_eq!(error.problem(), wanted, "{member}");
    }
    for (member, value) in [
        ("KeyBackupData", json!("?")),
        ("SecretData", json!("")),
        ("SecretTags", json!("sesame")),
        ("EncryptionMechanism", json!("sesame")),
        ("KeyVaultId", json!("sesame")),
    ] {
        let mut wrong = published.clone();
        wrong["OsDiskKeyAndSecretDetails"][member] = value;
        let error = encryption::parse(wrong.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.problem(), Problem::InvalidParameter, "{member}");
        assert!(!format!("{error:?} {}", error.in_full()).contains("sesame"), "{member}: {error:?}");
    }
    for none in ["{}", "[]", "", "{\"DataDiskKeyAndSecretDetails\": [{}]}"] {
        assert!(encryption::parse(none.as_bytes()).is_err(), "{none}");
    }
    assert!(encryption::parse(&vec![b' '; encryption::MAX_BYTES + 1]).is_err());
}

#[test]
fn nothing_prints_a_secret_or_a_blob() {
    let vm = double_pass();
    let (keys, blobs) = captured(&vm);
    let file = encryption::parse(&encryption::encode(&vm, &keys, &blobs).unwrap()).unwrap();
    let printed = format!("{file:?}");
    assert!(!printed.contains("d3JhcHBlZA") && !printed.contains("[0, 1,"), "{printed}");
    assert_eq!(restored(&vm).len(), 3);
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        secrets in vec(("[A-Za-z0-9_-]{1,300}", 0_usize..3, 0_u8..3, ".{0,30}"), 3),
        blobs in vec(vec(any::<u8>(), 1..100), 3),
    ) {
        // each disk a secret, one of three keys in some version, one of three blobs
        let mut vm = machine(OsType::Windows);
        vm.os_disk.encryption_settings = Some(settings("bek0"));
        for (at, disk) in vm.data_disks.iter_mut().enumerate() {
            disk.disk.encryption_settings = Some(settings(&format!("bek{}", at + 1)));
        }
        let (mut keys, mut files) = captured(&vm);
        files.clear();
        for (set, (data, blob, version, tag)) in keys.sets.iter_mut().zip(&secrets) {
            set.secret_data = cofre_recovery::captured::WrappedSecret::new(Zeroizing::new(data.clone()));
            set.secret_tags.insert(tag.clone(), tag.clone());
            set.key_url = key_url(&version.to_string());
            set.key_backup = format!("{blob}");
            let bytes = Zeroizing::new(blobs[*blob].clone());
            set.key_backup_sha256 = KeyBlob::new(bytes.clone()).sha256();
            files.insert(set.key_backup.clone(), bytes);
        }
        let bytes = encryption::encode(&vm, &keys, &files).unwrap();
        let file = encryption::parse(&bytes).unwrap();
        for (lun, set) in [None, Some(0), Some(3)].into_iter().zip(&keys.sets) {
            let entry = file.of_disk(lun).unwrap();
            prop_assert_eq!(entry.lun, lun);
            prop_assert!(same(entry, set, &files[&set.key_backup]));
        }
    }

    #[test]
    fn damaged_files_are_read_or_refused(at: usize, byte: u8, cut in 0_usize..4000, noise: Vec<u8>) {
        let vm = single_pass();
        let (keys, blobs) = captured(&vm);
        let mut bytes = encryption::encode(&vm, &keys, &blobs).unwrap().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = encryption::parse(&bytes);
        bytes.truncate(cut);
        let _ = encryption::parse(&bytes);
        let _ = encryption::parse(&noise);
    }
}
