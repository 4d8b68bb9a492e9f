//! The exam that every body of [`KeySource`] and [`KeyTarget`] takes.

use std::collections::BTreeMap;

use cofre_arm::{Problem, ResourceId};
use cofre_fde::luks::{self, FormatOptions, Kdf};
use zeroize::Zeroizing;

use super::{
    KeySource, KeyTarget, KeyVaultName, NEEDED, ObjectState, ProofAnswer, ProofQuestion, ProofState,
    StoredSecret,
};
use crate::captured::WrappedSecret;

/// Key vaults to be examined, and somebody who may do everything in them.
pub trait Examined {
    /// The backup service's principal: it has the rights that [`grant`](Self::grant) gave.
    fn source(&self) -> &dyn KeySource;
    /// Somebody who may restore keys and set secrets.
    fn target(&self) -> &dyn KeyTarget;
    /// The suffix of the key vaults.
    fn suffix(&self) -> String;
    /// Makes a key vault that is enabled for disk encryption; returns its id.
    fn create_vault(&self, vault: &str) -> ResourceId;
    /// Deletes one.
    fn delete_vault(&self, vault: &str);
    /// Gives the backup service's principal what it needs.
    fn grant(&self, vault: &str);
    /// Makes a key, or a version of it, and returns the version.
    fn create_key(&self, vault: &str, key: &str) -> String;
    /// Disables a version of a key.
    fn disable_key(&self, vault: &str, key: &str, version: &str);
    /// Disables a version of a secret.
    fn disable_secret(&self, vault: &str, secret: &str, version: &str);
    /// Wraps a disk key by the newest version of a key and keeps it as a secret; returns the secret's version.
    fn wrap(&self, vault: &str, key: &str, secret: &str, disk_key: &[u8]) -> String;
}

const ABSENT: &str = "00000000000000000000000000000000";
const DISK_KEY: &[u8] = b"the key of a disk";

/// A LUKS2 header that a key opens.
fn header(disk_key: &[u8]) -> Vec<u8> {
    let kdf = Kdf::Pbkdf2 { hash: "sha256".into(), iterations: 1000 };
    let mut random = |bytes: &mut [u8]| aws_lc_rs::rand::fill(bytes).map_err(std::io::Error::other);
    let formatted = luks::format(&FormatOptions::new(kdf), &[disk_key], &mut random);
    formatted.expect("a header can be made").header().to_vec()
}

/// The exam. The names `one`, `two` and `gone` must be free.
///
/// # Panics
/// When the body does not pass.
pub fn key_vaults_contract(examined: &dyn Examined) {
    let suffix = examined.suffix();
    let exam = Exam {
        examined,
        source: examined.source(),
        target: examined.target(),
        one: KeyVaultName { name: "one", suffix: &suffix },
        two: KeyVaultName { name: "two", suffix: &suffix },
        gone: KeyVaultName { name: "gone", suffix: &suffix },
    };
    exam.vaults_and_permissions();
    exam.states_and_versions();
    let blob = exam.secrets_and_blobs();
    exam.proofs(&blob);
    exam.vaults_that_go();
}

struct Exam<'a> {
    examined: &'a dyn Examined,
    source: &'a dyn KeySource,
    target: &'a dyn KeyTarget,
    one: KeyVaultName<'a>,
    two: KeyVaultName<'a>,
    gone: KeyVaultName<'a>,
}

impl Exam<'_> {
    fn vaults_and_permissions(&self) {
        let Self { examined, source, target, one, two, gone } = self;
        assert_eq!(source.vault(*gone).expect("asked"), None);
        assert_eq!(target.vault(*gone).expect("asked"), None);
        let id = examined.create_vault("one");
        examined.create_vault("two");
        let seen = target.vault(*one).expect("asked").expect("it is there");
        assert_eq!((seen.id, seen.enabled_for_disk_encryption), (Some(id.clone()), Some(true)));
        let version = examined.create_key("one", "kek");
        examined.create_key("two", "only-here");

        assert_eq!(source.missing_permissions(*one).expect("asked"), NEEDED, "all of them");
        let denied = source.backup_key(*one, "kek").expect_err("nothing was granted");
        assert_eq!(denied.problem(), Problem::KeyVaultPermissions);
        let denied = source.key_state(*one, "kek", &version).expect_err("nothing was granted");
        assert_eq!(denied.problem(), Problem::KeyVaultPermissions);
        examined.grant("one");
        assert!(source.missing_permissions(*one).expect("asked").is_empty());
        assert_eq!(source.missing_permissions(*two).expect("asked").len(), 5, "granted for one vault alone");
        let seen = source.vault(*one).expect("asked").expect("it is there");
        assert!(seen.id.is_none_or(|seen| seen == id), "the right id, or none");
    }

    fn states_and_versions(&self) {
        let Self { examined, source, target, one, gone, .. } = self;
        let first = source.versions_of_key(*one, "kek").expect("listed");
        let second = examined.create_key("one", "kek");
        let mut both = vec![first[0].clone(), second.clone()];
        both.sort();
        assert_eq!(source.versions_of_key(*one, "kek").expect("listed"), both);
        let none = source.versions_of_key(*one, "nothing").expect_err("there is no such key");
        assert_eq!(none.problem(), Problem::KeyVersionNotFound);
        assert_eq!(target.key_versions(*one, "nothing").expect("asked"), None);
        let mut seen = target.key_versions(*one, "kek").expect("asked").expect("it is there");
        seen.sort();
        assert_eq!(seen, both);

        let state = |version: &str| source.key_state(*one, "kek", version).expect("asked");
        assert_eq!((state(&first[0]), state(ABSENT)), (ObjectState::Usable, ObjectState::Gone));
        examined.disable_key("one", "kek", &first[0]);
        assert_eq!((state(&first[0]), state(&second)), (ObjectState::Disabled, ObjectState::Usable));
        let secret = examined.wrap("one", "kek", "bek", DISK_KEY);
        let state = |version: &str| source.secret_state(*one, "bek", version).expect("asked");
        assert_eq!((state(&secret), state(ABSENT)), (ObjectState::Usable, ObjectState::Gone));
        examined.disable_secret("one", "bek", &secret);
        assert_eq!(state(&secret), ObjectState::Disabled);
        assert!(source.secret(*one, "bek", &secret).is_err(), "a disabled secret is not shown");
        assert_eq!(source.secret_state(*gone, "bek", &secret).expect("asked"), ObjectState::Gone);
        assert_eq!(source.key_state(*gone, "kek", &second).expect("asked"), ObjectState::Gone);
    }

    fn secrets_and_blobs(&self) -> Zeroizing<Vec<u8>> {
        let Self { source, target, one, two, gone, .. } = self;
        let tags: BTreeMap<_, _> = [("MachineName", "web \"é\""), ("Empty", "")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let set = StoredSecret {
            value: WrappedSecret::new(Zeroizing::new("a+b/c=\n\u{1}".to_owned())),
            content_type: Some("Wrapped BEK".to_owned()),
            tags: tags.clone(),
        };
        let version = target.set_secret(*one, "kept", &set).expect("set");
        let kept = source.secret(*one, "kept", &version).expect("read");
        assert_eq!(kept.value.expose(), set.value.expose());
        assert_eq!((kept.content_type.as_deref(), kept.tags), (Some("Wrapped BEK"), tags));
        let missing = source.secret(*one, "kept", ABSENT).expect_err("no such version");
        assert_eq!(missing.problem(), Problem::KeyVersionNotFound);

        let blob = source.backup_key(*one, "kek").expect("backed up");
        let missing = source.backup_key(*one, "nothing").expect_err("no such key");
        assert_eq!(missing.problem(), Problem::KeyVersionNotFound);
        let unreachable = source.backup_key(*gone, "kek").expect_err("no such vault");
        assert_eq!(unreachable.problem(), Problem::KeyVaultUnreachable);
        let restored = target.restore_key(*two, &blob).expect("restored");
        let mut versions = restored.versions;
        versions.sort();
        let of_one = source.versions_of_key(*one, "kek").expect("listed");
        assert_eq!((restored.name.as_str(), versions), ("kek", of_one));
        let conflict = target.restore_key(*two, &blob).expect_err("it is there");
        assert_eq!(conflict.problem(), Problem::KeyVaultNameConflict);
        let mut damaged = blob.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        for bad in [&damaged[..], &blob[..blob.len() - 1], b"no blob"] {
            let refused = target.restore_key(*two, bad).expect_err("it cannot be opened");
            assert_eq!(refused.problem(), Problem::KeyVaultBlobNotUsable);
        }
        blob
    }

    fn proofs(&self, blob: &[u8]) {
        let Self { examined, source, one, two, .. } = self;
        let secret_version = examined.wrap("one", "kek", "proven", DISK_KEY);
        let secret = source.secret(*one, "proven", &secret_version).expect("read");
        let versions = source.versions_of_key(*one, "kek").expect("listed");
        let enabled =
            |version: &&String| source.key_state(*one, "kek", version).expect("asked") == ObjectState::Usable;
        let key_version = versions.iter().find(enabled).expect("one is enabled");
        let good = header(DISK_KEY);
        let ask = |header: &[u8], key: (KeyVaultName<'_>, &str, &str), algorithm: &str| -> ProofAnswer {
            let question = ProofQuestion {
                vault: *one,
                point: "0123456789abcdef0123456789abcdef",
                disk: "os",
                header,
                header_sha256: "",
                disk_size: 24 << 20,
                secret: ("proven", &secret_version),
                algorithm,
                secret_value: &secret.value,
                key,
                key_backup: blob,
            };
            source.prove(&question).expect("asked")
        };
        let key = (*one, "kek", key_version.as_str());
        let proven = ask(&good, key, "RSA-OAEP");
        assert_eq!(proven.state, ProofState::Proven);
        let record = proven.record.expect("a record");
        assert_eq!((&record["disk"], &record["state"]), (&"os".into(), &"proven".into()));
        assert_eq!(ask(&header(b"another key"), key, "RSA-OAEP").state, ProofState::DoesNotOpen);
        let largest = vec![0x5a; 4 << 20];
        assert!(matches!(ask(&largest, key, "RSA-OAEP").state, ProofState::Captured { .. }), "no header");
        for (key, algorithm) in
            [(key, "ROT13"), ((*one, "kek", ABSENT), "RSA-OAEP"), ((*two, "kek", key_version), "RSA-OAEP")]
        {
            let answer = ask(&good, key, algorithm);
            assert!(matches!(answer.state, ProofState::Captured { .. }), "{answer:?}");
        }
    }

    fn vaults_that_go(&self) {
        let Self { examined, source, target, one, .. } = self;
        examined.delete_vault("one");
        assert_eq!(source.vault(*one).expect("asked"), None);
        assert_eq!(target.vault(*one).expect("asked"), None);
        assert_eq!(source.secret_state(*one, "proven", ABSENT).expect("asked"), ObjectState::Gone);
        let missing = source.missing_permissions(*one).expect_err("it is gone");
        assert_eq!(missing.problem(), Problem::KeyVaultUnreachable);
    }
}

#[cfg(test)]
mod tests;
