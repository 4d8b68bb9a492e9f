//! Backup blobs: across vaults, across homes, and where they must stay closed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::OnceLock;

use cofre_keyvault::{
    AttributesChange, ErrorKind, KeySpec, LONGEST_BLOB, PageRequest, SecretSpec, SecretUpdate, Tags,
    read_blob_header,
};
use proptest::prelude::*;
use support::{Home, kind, secret};

#[test]
fn a_key_moves_with_all_its_versions() {
    let home = Home::new().with_vault("kv-1").with_vault("kv-2");
    let (vaults, admin) = (&home.vaults, &home.admin);
    let spec = KeySpec { tags: Tags::from([("a".into(), "b".into())]), ..KeySpec::default() };
    let first = vaults.create_key(admin, "kv-1", "Kek", &spec).unwrap();
    let second = vaults.create_key(admin, "kv-1", "kek", &KeySpec::default()).unwrap();
    let wrapped = vaults.wrap_key(admin, "kv-1", "kek", Some(&first.version), "RSA-OAEP", b"k").unwrap();
    let blob = vaults.backup_key(admin, "kv-1", "kek").unwrap();
    assert_ne!(vaults.backup_key(admin, "kv-1", "kek").unwrap(), blob);

    assert_eq!(kind(vaults.restore_key(admin, "kv-1", &blob)), ErrorKind::NameConflict);
    assert_eq!(home.last_event().reason.as_deref(), Some("KeyVaultNameConflict"));
    assert_eq!(home.last_event().object.as_deref(), Some("Kek"));
    assert_eq!(vaults.restore_key(admin, "kv-2", &blob).unwrap(), second);
    assert_eq!(home.last_event().object.as_deref(), Some("Kek"));
    assert_eq!(vaults.key(admin, "kv-2", "kek", Some(&first.version)).unwrap(), first);
    let opened = vaults
        .unwrap_key(admin, "kv-2", "kek", Some(&first.version), "RSA-OAEP", wrapped.value.expose())
        .unwrap();
    assert_eq!(opened.value.expose(), b"k");
    // The next version comes after the restored ones.
    let third = vaults.create_key(admin, "kv-2", "kek", &KeySpec::default()).unwrap();
    assert_eq!(vaults.key(admin, "kv-2", "kek", None).unwrap().version, third.version);

    home.end_vault("kv-1");
    let home = home.with_vault("kv-1");
    home.vaults.restore_key(&home.admin, "kv-1", &blob).unwrap();
    assert_eq!(kind(home.vaults.restore_secret(&home.admin, "kv-1", &blob)), ErrorKind::BlobNotUsable);
}

#[test]
fn a_secret_moves_with_all_its_versions() {
    let home = Home::new().with_vault("kv-1").with_vault("kv-2");
    let (vaults, admin) = (&home.vaults, &home.admin);
    let spec = SecretSpec {
        content_type: Some("Wrapped BEK".into()),
        tags: Tags::from([("DiskEncryptionKeyFileName".into(), "LinuxPassPhraseFileName".into())]),
        ..secret("one \u{1F511} \"quoted\"")
    };
    let first = vaults.set_secret(admin, "kv-1", "Bek", &spec).unwrap();
    let second = home.set("kv-1", "bek", "two");
    let update = SecretUpdate {
        attributes: AttributesChange { enabled: Some(false), ..Default::default() },
        ..Default::default()
    };
    vaults.update_secret(admin, "kv-1", "bek", Some(&second), &update).unwrap();
    let blob = vaults.backup_secret(admin, "kv-1", "bek").unwrap();
    home.end_secret("kv-1", "bek");

    let restored = vaults.restore_secret(admin, "kv-2", &blob).unwrap();
    assert_eq!((restored.version, restored.attributes.enabled), (second.clone(), false));
    assert_eq!(vaults.secret(admin, "kv-2", "bek", Some(&first.properties.version)).unwrap(), first);
    assert_eq!(kind(vaults.secret(admin, "kv-2", "bek", None)), ErrorKind::Disabled);
    vaults.restore_secret(admin, "kv-1", &blob).unwrap();
    assert_eq!(kind(vaults.restore_key(admin, "kv-1", &blob)), ErrorKind::BlobNotUsable);
}

#[test]
fn five_hundred_versions_and_no_more() {
    let home = Home::new().with_vault("kv-1").with_vault("kv-2");
    for i in 0..500 {
        home.set("kv-1", "bek", &format!("{i}"));
    }
    let blob = home.vaults.backup_secret(&home.admin, "kv-1", "bek").unwrap();
    home.vaults.restore_secret(&home.admin, "kv-2", &blob).unwrap();
    assert_eq!(home.vaults.secret(&home.admin, "kv-2", "bek", None).unwrap().value.expose(), "499");
    let page = PageRequest { after: None, limit: 250 };
    let first = home.vaults.list_secret_versions(&home.admin, "kv-2", "bek", page).unwrap();
    let page = PageRequest { after: first.next.as_deref(), limit: 250 };
    assert_eq!(home.vaults.list_secret_versions(&home.admin, "kv-2", "bek", page).unwrap().items.len(), 250);
    home.set("kv-1", "bek", "501st");
    assert_eq!(kind(home.vaults.backup_secret(&home.admin, "kv-1", "bek")), ErrorKind::TooManyVersions);
}

#[test]
fn blobs_stay_in_their_place_unless_the_kit_carries_the_key() {
    let home = Home::new().with_vault("kv-1");
    let version = home.set("kv-1", "bek", "value");
    let blob = home.vaults.backup_secret(&home.admin, "kv-1", "bek").unwrap();
    let header = read_blob_header(&blob).unwrap();
    assert!(!header.is_key);

    for other in [Home::at("sub-2", "europe"), Home::at("sub-1", "asia"), Home::at("sub-1", "europe")] {
        let other = other.with_vault("kv-1");
        let error = other.vaults.restore_secret(&other.admin, "kv-1", &blob).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BlobNotUsable);
        assert!(!error.to_string().contains(&header.key_id), "{error}");
    }

    let kit = home.vaults.export_ring_for_kit(&home.admin).unwrap();
    let elsewhere = Home::at("sub-2", "europe").with_vault("kv-1");
    assert_eq!(kind(elsewhere.vaults.import_blob_keys(&elsewhere.admin, &kit)), ErrorKind::Invalid);
    let new_home = Home::at("SUB-1", "EUROPE").with_vault("kv-9");
    assert_eq!(new_home.vaults.import_blob_keys(&new_home.admin, &kit).unwrap(), 1);
    assert_eq!(new_home.vaults.import_blob_keys(&new_home.admin, &kit).unwrap(), 0);
    let restored = new_home.vaults.restore_secret(&new_home.admin, "kv-9", &blob).unwrap();
    assert_eq!(restored.version, version);
    // What is sealed there is sealed under its own key.
    let fresh = new_home.vaults.backup_secret(&new_home.admin, "kv-9", "bek").unwrap();
    assert_ne!(read_blob_header(&fresh).unwrap().key_id, header.key_id);
}

#[test]
fn a_new_blob_key_leaves_old_blobs_readable() {
    let home = Home::new().with_vault("kv-1").with_vault("kv-2");
    home.set("kv-1", "bek", "value");
    let old = home.vaults.backup_secret(&home.admin, "kv-1", "bek").unwrap();
    let id = home.vaults.rotate_blob_key(&home.admin).unwrap();
    let new = home.vaults.backup_secret(&home.admin, "kv-1", "bek").unwrap();
    assert_eq!(read_blob_header(&new).unwrap().key_id, id);
    assert_ne!(read_blob_header(&old).unwrap().key_id, id);
    for blob in [old, new] {
        home.vaults.restore_secret(&home.admin, "kv-2", &blob).unwrap();
        home.end_secret("kv-2", "bek");
    }
}

/// A home with two vaults and a key's and a secret's blob.
fn scene() -> &'static (Home, Vec<u8>, Vec<u8>) {
    static SCENE: OnceLock<(Home, Vec<u8>, Vec<u8>)> = OnceLock::new();
    SCENE.get_or_init(|| {
        let home = Home::new().with_vault("kv-1").with_vault("kv-2");
        home.set("kv-1", "bek", "value");
        home.vaults.create_key(&home.admin, "kv-1", "kek", &KeySpec::default()).unwrap();
        let secret = home.vaults.backup_secret(&home.admin, "kv-1", "bek").unwrap();
        let key = home.vaults.backup_key(&home.admin, "kv-1", "kek").unwrap();
        (home, secret, key)
    })
}

/// That neither route takes a blob, and that both say the same.
fn refused(blob: &[u8]) {
    let (home, ..) = scene();
    let secret = home.vaults.restore_secret(&home.admin, "kv-2", blob).unwrap_err();
    let key = home.vaults.restore_key(&home.admin, "kv-2", blob).unwrap_err();
    assert_eq!((secret.kind(), key.kind()), (ErrorKind::BlobNotUsable, ErrorKind::BlobNotUsable));
    assert_eq!(secret.to_string(), secret_answer());
    assert!(std::error::Error::source(&secret).is_none() && std::error::Error::source(&key).is_none());
}

fn secret_answer() -> String {
    let (home, ..) = scene();
    home.vaults.restore_secret(&home.admin, "kv-2", b"").unwrap_err().to_string()
}

#[test]
fn every_byte_of_a_blob_counts() {
    let (_, blob, _) = scene();
    for at in 0..blob.len() {
        let mut bad = blob.clone();
        bad[at] ^= 0x40;
        refused(&bad);
    }
    for length in (0..blob.len()).step_by(7) {
        refused(&blob[..length]);
    }
    refused(&[blob.as_slice(), &[0]].concat());
    refused(&vec![0; LONGEST_BLOB + 1]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn changed_blobs_are_refused(
        is_key: bool,
        at in any::<prop::sample::Index>(),
        with in prop::collection::vec(any::<u8>(), 1..40),
        cut in any::<bool>(),
    ) {
        let (_, secret, key) = scene();
        let good = if is_key { key } else { secret };
        let at = at.index(good.len());
        let mut bad = good.clone();
        if cut {
            bad.truncate(at);
        }
        let end = (at + with.len()).min(bad.len());
        bad.splice(at..end, with);
        prop_assume!(bad != *good);
        refused(&bad);
    }
}
