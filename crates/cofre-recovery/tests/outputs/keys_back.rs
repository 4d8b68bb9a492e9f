use std::collections::BTreeMap;

use cofre_arm::{ObjectUrl, Problem};
use cofre_compute::OsType;
use cofre_recovery::outputs::{
    CapturedSecret, MovedKeys, encryption,
    keys_back::{restored_key, rewritten_machine, rewritten_settings, secret_to_set},
};

use crate::models::{
    KEY_VERSION, captured, double_pass, key_url, key_vault, secret_url, settings, single_pass,
};

fn url(text: &str) -> ObjectUrl {
    text.parse().unwrap()
}

/// What the key vault answers: the newest version.
fn restored() -> ObjectUrl {
    url("https://new.vault.localhost:8443/keys/kek/0a0a")
}

fn tags(all: &[(&str, &str)]) -> BTreeMap<String, String> {
    all.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn captured_tags_are_kept_and_the_key_is_the_restored_one() {
    let (keys, blobs) = captured(&double_pass());
    let from_point = CapturedSecret::try_from(&keys.sets[0]).unwrap();
    let set = secret_to_set(&from_point, &restored(), "web-1", OsType::Linux).unwrap();
    assert_eq!((set.name.as_str(), set.content_type.as_str()), ("bek", "Wrapped BEK"));
    assert_eq!(set.value, keys.sets[0].secret_data);
    let key = format!("https://new.vault.localhost/keys/kek/{KEY_VERSION}");
    let wanted = tags(&[
        ("DiskEncryptionKeyEncryptionAlgorithm", "RSA-OAEP-256"),
        ("DiskEncryptionKeyEncryptionKeyURL", &key),
        ("DiskEncryptionKeyFileName", "LinuxPassPhraseFileName"),
        ("MachineName", "web-1"),
        ("VolumeLabel", "Größe"),
    ]);
    assert_eq!(set.tags, wanted, "with the version that wraps the secret, and no port");

    let file = encryption::parse(&encryption::encode(&double_pass(), &keys, &blobs).unwrap()).unwrap();
    let from_file = CapturedSecret::from(&file.entries[0]);
    assert_eq!(secret_to_set(&from_file, &restored(), "web-1", OsType::Linux).unwrap(), set);
}

#[test]
fn what_was_not_captured_is_filled_in() {
    let (mut keys, _) = captured(&double_pass());
    let set = &mut keys.sets[0];
    set.secret_tags = tags(&[("machinename", "old"), ("diskencryptionkeyencryptionkeyurl", "https://old")]);
    set.secret_content_type = None;
    let to_set =
        secret_to_set(&CapturedSecret::try_from(&*set).unwrap(), &restored(), "web", OsType::Windows)
            .unwrap();
    assert_eq!(to_set.content_type, "Wrapped BEK");
    let key = format!("https://new.vault.localhost/keys/kek/{KEY_VERSION}");
    let wanted = tags(&[
        ("DiskEncryptionKeyEncryptionAlgorithm", "RSA-OAEP"),
        ("DiskEncryptionKeyEncryptionKeyURL", &key),
        ("DiskEncryptionKeyFileName", "bek.BEK"),
        ("machinename", "old"),
    ]);
    assert_eq!(to_set.tags, wanted);

    set.secret_tags.clear();
    for (name, wanted) in [("web_1-A", "web_1-A"), ("web.1", ""), ("wéb", "")] {
        let captured = CapturedSecret::try_from(&*set).unwrap();
        let to_set = secret_to_set(&captured, &restored(), name, OsType::Windows).unwrap();
        assert_eq!(to_set.tags["MachineName"], wanted, "{name}");
    }
}

#[test]
fn another_key_is_not_taken_for_the_restored_one() {
    let old = url(&key_url(KEY_VERSION));
    for bad in ["https://new.vault.localhost/keys/other/1", "https://new.vault.localhost/secrets/kek/1"] {
        assert_eq!(restored_key(&old, &url(bad)).unwrap_err().problem(), Problem::InvalidParameter);
    }
    let unversioned = url("https://kv2.vault.localhost/keys/kek");
    assert_eq!(restored_key(&unversioned, &restored()).unwrap_err().problem(), Problem::KeyUrlNotVersioned);
    let (mut keys, _) = captured(&double_pass());
    keys.sets[0].secret_url = "https://kv1.vault.localhost/secrets/bek".into();
    assert_eq!(CapturedSecret::try_from(&keys.sets[0]).unwrap_err().problem(), Problem::KeyUrlNotVersioned);
}

fn moved(secret: &str) -> MovedKeys {
    MovedKeys {
        old_secret: url(&secret_url(secret)),
        old_key: url(&key_url(KEY_VERSION)),
        secret: url(&format!("https://new.vault.localhost/secrets/{secret}/5")),
        secret_vault_id: key_vault("new"),
        key: restored_key(&url(&key_url(KEY_VERSION)), &restored()).unwrap(),
        key_vault_id: key_vault("new-too"),
    }
}

#[test]
fn settings_name_the_new_places() {
    let mut old = settings("bek");
    old.disk_encryption_key.secret_url =
        old.disk_encryption_key.secret_url.replace("localhost/", "localhost:443/");
    let new = rewritten_settings(&old, &[moved("other"), moved("bek")]).unwrap();
    assert!(new.enabled);
    assert_eq!(new.disk_encryption_key.secret_url, "https://new.vault.localhost/secrets/bek/5");
    assert_eq!(new.disk_encryption_key.source_vault.id, key_vault("new"));
    let key = new.key_encryption_key.unwrap();
    assert_eq!(key.key_url, format!("https://new.vault.localhost/keys/kek/{KEY_VERSION}"));
    assert_eq!(key.source_vault.id, key_vault("new-too"));

    let error = rewritten_settings(&old, &[moved("other")]).unwrap_err();
    assert_eq!(error.problem(), Problem::KeyOrSecretNotFound, "the old places must not be used");
    let mut bek_only = old.clone();
    bek_only.key_encryption_key = None;
    assert!(rewritten_settings(&bek_only, &[moved("bek")]).is_err());
    let mut unversioned = moved("bek");
    unversioned.secret.version = None;
    assert_eq!(rewritten_settings(&old, &[unversioned]).unwrap_err().problem(), Problem::KeyUrlNotVersioned);
    old.enabled = false;
    assert_eq!(rewritten_settings(&old, &[]).unwrap(), old);
}

#[test]
fn all_settings_of_a_machine_are_rewritten() {
    for machine in [double_pass(), single_pass()] {
        let new = rewritten_machine(&machine, &[moved("bek"), moved("bek-logs")]).unwrap();
        assert_eq!(new.key_sets().len(), machine.key_sets().len());
        for set in new.key_sets() {
            assert!(set.settings.disk_encryption_key.secret_url.starts_with("https://new."), "{set:?}");
        }
        assert_eq!(new.encryption_mechanism(), machine.encryption_mechanism());
    }
    assert!(rewritten_machine(&single_pass(), &[moved("bek")]).is_err());
}
