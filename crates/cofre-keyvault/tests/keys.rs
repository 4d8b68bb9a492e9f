//! Keys and secrets: versions, attributes, limits, cryptographic use.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{collections::BTreeSet, process::Command};

use cofre_keyvault::{
    AttributesChange, ErrorKind, KeyOperation, KeySpec, KeyUpdate, PageRequest, RsaSize, SecretSpec,
    SecretUpdate, Tags,
};
use jiff::{SignedDuration, Timestamp};
use support::{Home, kind, secret, value};

fn start() -> Timestamp {
    support::START.parse().unwrap()
}

fn tags(count: usize) -> Tags {
    (0..count).map(|i| (format!("tag{i}"), "v".to_owned())).collect()
}

#[test]
fn versions_of_a_secret() {
    let home = Home::new().with_vault("kv-1");
    let (vaults, admin) = (&home.vaults, &home.admin);
    let spec = SecretSpec { content_type: Some("Wrapped BEK".into()), tags: tags(15), ..secret("one") };
    let first = vaults.set_secret(admin, "kv-1", "Disk-1", &spec).unwrap();
    home.clock.advance(5);
    let second = home.set("KV-1", "DISK-1", "two");
    assert_ne!(first.properties.version, second);
    for version in [&first.properties.version, &second] {
        assert!(version.len() == 32 && version.bytes().all(|b| b.is_ascii_hexdigit()));
    }

    let current = vaults.secret(admin, "kv-1", "disk-1", None).unwrap();
    assert_eq!((current.value.expose(), current.properties.name.as_str()), ("two", "Disk-1"));
    assert_eq!(current.properties.version, second);
    let old = vaults.secret(admin, "kv-1", "disk-1", Some(&first.properties.version.to_uppercase())).unwrap();
    assert_eq!(old, first);
    assert_eq!(
        (old.properties.content_type.as_deref(), old.properties.tags.len()),
        (Some("Wrapped BEK"), 15)
    );
    assert_eq!((old.properties.attributes.created, old.properties.attributes.updated), (start(), start()));

    let update = SecretUpdate {
        content_type: Some("BEK".into()),
        attributes: AttributesChange { enabled: Some(false), ..Default::default() },
        tags: Some(Tags::new()),
    };
    let changed =
        vaults.update_secret(admin, "kv-1", "disk-1", Some(&first.properties.version), &update).unwrap();
    assert_eq!((changed.content_type.as_deref(), changed.tags.len()), (Some("BEK"), 0));
    assert_eq!(changed.attributes.updated, start() + SignedDuration::from_secs(5));
    assert_eq!(changed.attributes.created, start());
    assert_eq!(kind(vaults.secret(admin, "kv-1", "disk-1", Some(&changed.version))), ErrorKind::Disabled);
    assert_eq!(home.last_event().reason.as_deref(), Some("KeyOrSecretDisabled"));
    vaults.secret(admin, "kv-1", "disk-1", None).unwrap();

    let listed = vaults.list_secret_versions(admin, "kv-1", "disk-1", PageRequest::default()).unwrap();
    let ids: BTreeSet<_> = listed.items.iter().map(|item| item.version.clone()).collect();
    assert_eq!((ids, listed.next), ([changed.version, second.clone()].into(), None));

    let deleted = vaults.delete_secret(admin, "kv-1", "Disk-1").unwrap().properties;
    assert_eq!(deleted.version, second);
    assert_eq!(kind(vaults.secret(admin, "kv-1", "disk-1", Some(&second))), ErrorKind::ObjectNotFound);
    assert_eq!(kind(vaults.delete_secret(admin, "kv-1", "disk-1")), ErrorKind::ObjectNotFound);
    // A name that is used again begins anew.
    vaults.purge_secret(admin, "kv-1", "disk-1").unwrap();
    home.set("kv-1", "disk-1", "three");
    let listed = vaults.list_secret_versions(admin, "kv-1", "disk-1", PageRequest::default()).unwrap();
    assert_eq!((listed.items.len(), listed.items[0].name.as_str()), (1, "disk-1"));
}

#[test]
fn lists_come_in_pages() {
    let home = Home::new().with_vault("kv-1").with_vault("kv-2");
    let names: Vec<_> = (0..7).map(|i| format!("s-{i}")).collect();
    for name in &names {
        home.set("kv-1", name, "x");
    }
    home.set("kv-2", "elsewhere", "x");
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let request = PageRequest { after: after.as_deref(), limit: 3 };
        let page = home.vaults.list_secrets(&home.admin, "kv-1", request).unwrap();
        assert!(page.items.len() <= 3);
        seen.extend(page.items.into_iter().map(|item| item.name));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, names);
    assert!(home.vaults.list_keys(&home.admin, "kv-1", PageRequest::default()).unwrap().items.is_empty());

    let page = home.vaults.list_vaults(PageRequest { after: None, limit: 1 }).unwrap();
    assert_eq!((page.items[0].name.as_str(), page.next.as_deref()), ("kv-1", Some("kv-1")));
    let page = home.vaults.list_vaults(PageRequest { after: page.next.as_deref(), limit: 5 }).unwrap();
    assert_eq!((page.items[0].name.as_str(), page.next), ("kv-2", None));
}

#[test]
fn limits_are_kept() {
    let home = Home::new().with_vault("kv-1");
    let (vaults, admin) = (&home.vaults, &home.admin);
    let set = |name: &str, spec: &SecretSpec| vaults.set_secret(admin, "kv-1", name, spec).map(drop);
    let largest = "x".repeat(25 * 1024);
    set("a", &secret(&largest)).unwrap();
    assert_eq!(vaults.secret(admin, "kv-1", "a", None).unwrap().value.expose(), largest);
    assert!(cofre_keyvault::SecretValue::new(zeroize::Zeroizing::new(largest + "x")).is_err());
    set("a", &SecretSpec { content_type: Some("é".repeat(255)), ..secret("x") }).unwrap();
    let one_tag =
        |name: String, value: String| SecretSpec { tags: Tags::from([(name, value)]), ..secret("x") };
    set("a", &one_tag("n".repeat(256), "v".repeat(256))).unwrap();

    let expires_first =
        AttributesChange { not_before: Some(start()), expires: Some(start()), ..AttributesChange::default() };
    let bad = [
        SecretSpec { content_type: Some("é".repeat(256)), ..secret("x") },
        SecretSpec { tags: tags(16), ..secret("x") },
        one_tag("n".repeat(257), String::new()),
        one_tag(String::new(), String::new()),
        one_tag("n".into(), "v".repeat(257)),
        SecretSpec { attributes: expires_first, ..secret("x") },
    ];
    for spec in &bad {
        assert_eq!(kind(set("b", spec)), ErrorKind::Invalid, "{spec:?}");
    }
    for name in ["", "a b", "a/b", "../x", &"x".repeat(128)] {
        assert_eq!(kind(set(name, &secret("x"))), ErrorKind::Invalid, "{name}");
        assert_eq!(home.last_event().object, None, "what is no name stays out of the audit");
    }
    assert_eq!(kind(vaults.secret(admin, "kv-1", "a", Some("not-a-version"))), ErrorKind::Invalid);
    assert_eq!(kind(vaults.secret(admin, "kv-1", "a", Some(&"0".repeat(32)))), ErrorKind::ObjectNotFound);
    assert_eq!(kind(vaults.secret(admin, "none", "a", None)), ErrorKind::VaultNotFound);
    assert_eq!(kind(vaults.secret(admin, "no--name", "a", None)), ErrorKind::Invalid);
    assert!(vaults.secret(admin, "kv-1", "b", None).is_err(), "nothing of a refused set is left");
}

#[test]
fn keys_are_used_by_version_and_by_their_rules() {
    let home = Home::new().with_vault("kv-1");
    let (vaults, admin) = (&home.vaults, &home.admin);
    let first =
        vaults.create_key(admin, "kv-1", "Kek", &KeySpec { tags: tags(1), ..KeySpec::default() }).unwrap();
    let second = vaults.create_key(admin, "kv-1", "kek", &KeySpec::default()).unwrap();
    assert_ne!((&first.version, &first.n), (&second.version, &second.n));
    assert_eq!((first.n.len(), first.e.as_slice(), first.name.as_str()), (256, [1, 0, 1].as_slice(), "Kek"));
    use KeyOperation::{Sign, UnwrapKey, WrapKey};
    assert_eq!(first.operations, KeyOperation::ALL);
    assert_eq!(vaults.key(admin, "kv-1", "KEK", None).unwrap(), second);
    assert_eq!(vaults.key(admin, "kv-1", "KEK", Some(&first.version)).unwrap(), first);
    assert_eq!(vaults.list_keys(admin, "kv-1", PageRequest::default()).unwrap().items.len(), 1);
    let versions = vaults.list_key_versions(admin, "kv-1", "kek", PageRequest::default()).unwrap();
    assert_eq!(versions.items.len(), 2);

    let wrap = |version: Option<&str>, algorithm: &str| {
        vaults.wrap_key(admin, "kv-1", "kek", version, algorithm, b"k")
    };
    let unwrap = |version: Option<&str>, wrapped: &[u8]| {
        vaults.unwrap_key(admin, "kv-1", "kek", version, "RSA-OAEP", wrapped)
    };
    let wrapped = wrap(Some(&first.version), "RSA-OAEP").unwrap();
    assert_eq!((&wrapped.version, wrapped.algorithm), (&first.version, "RSA-OAEP"));
    let wrapped = wrapped.value.expose().to_vec();
    assert_eq!(unwrap(Some(&first.version), &wrapped).unwrap().value.expose(), b"k");
    assert_eq!(
        vaults
            .decrypt(admin, "kv-1", "kek", Some(&first.version), "RSA-OAEP", &wrapped)
            .unwrap()
            .value
            .expose(),
        b"k"
    );
    assert_eq!(kind(unwrap(None, &wrapped)), ErrorKind::UnwrapFailed, "another version");
    assert_eq!(home.last_event().version.as_deref(), Some(second.version.as_str()));
    for algorithm in ["RSA1_5", "RSA-OAEP-512", "A256KW", ""] {
        assert_eq!(kind(wrap(None, algorithm)), ErrorKind::UnsupportedAlgorithm);
        assert_eq!(home.last_event().reason.as_deref(), Some("KeyAlgorithmNotSupported"));
    }
    let one = |change: AttributesChange, operations: Option<Vec<KeyOperation>>| {
        let update = KeyUpdate { attributes: change, operations, tags: None };
        vaults.update_key(admin, "kv-1", "kek", Some(&first.version), &update).unwrap()
    };
    let changed = one(AttributesChange::default(), Some(vec![UnwrapKey, Sign, UnwrapKey]));
    assert_eq!((changed.operations, changed.tags.len()), (vec![UnwrapKey, Sign], 1));
    assert_eq!(kind(wrap(Some(&first.version), "RSA-OAEP")), ErrorKind::OperationNotPermitted);
    unwrap(Some(&first.version), &wrapped).unwrap();
    one(AttributesChange::default(), Some(vec![UnwrapKey, WrapKey]));

    let hour = SignedDuration::from_hours(1);
    let (from, to) = (start() + hour, start() + hour * 2);
    one(AttributesChange { not_before: Some(from), expires: Some(to), enabled: None }, None);
    assert_eq!(kind(wrap(Some(&first.version), "RSA-OAEP")), ErrorKind::NotYetValid);
    unwrap(Some(&first.version), &wrapped).unwrap();
    home.clock.advance(3600);
    wrap(Some(&first.version), "RSA-OAEP").unwrap();
    home.clock.advance(3600);
    assert_eq!(kind(wrap(Some(&first.version), "RSA-OAEP")), ErrorKind::Expired);
    unwrap(Some(&first.version), &wrapped).unwrap();
    one(AttributesChange { enabled: Some(false), ..Default::default() }, None);
    assert_eq!(kind(unwrap(Some(&first.version), &wrapped)), ErrorKind::Disabled);
    vaults.key(admin, "kv-1", "kek", Some(&first.version)).unwrap();

    assert_eq!(vaults.delete_key(admin, "kv-1", "kek").unwrap().key, second);
    assert_eq!(kind(unwrap(Some(&second.version), &wrapped)), ErrorKind::ObjectNotFound);
}

#[test]
fn larger_keys() {
    let home = Home::new().with_vault("kv-1");
    for (size, bytes) in [(RsaSize::Bits3072, 384), (RsaSize::Bits4096, 512)] {
        let spec = KeySpec { size, ..KeySpec::default() };
        let key = home.vaults.create_key(&home.admin, "kv-1", "kek", &spec).unwrap();
        assert_eq!(key.n.len(), bytes);
        let wrapped = home.vaults.wrap_key(&home.admin, "kv-1", "kek", None, "RSA-OAEP-256", b"k").unwrap();
        assert_eq!(wrapped.value.expose().len(), bytes);
    }
    assert!(RsaSize::from_bits(1024).is_err() && RsaSize::from_bits(2048).is_ok());
}

#[test]
fn openssl_unwraps_what_we_wrap_and_the_other_way_round() {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("passed over: openssl is not installed");
        return;
    }
    let home = Home::new().with_vault("kv-1");
    let (vaults, admin) = (&home.vaults, &home.admin);
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).display().to_string();
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", &at("key.pem")]);
    let text = openssl(&["pkey", "-in", &at("key.pem"), "-noout", "-text"]);
    let components = support::openssl_components(std::str::from_utf8(&text).unwrap());
    let imported = vaults.import_key(admin, "kv-1", "kek", &components, &KeySpec::default()).unwrap();
    assert_eq!(imported.n, components.n);

    for (algorithm, hash) in [("RSA-OAEP", "sha1"), ("RSA-OAEP-256", "sha256")] {
        let hash = format!("rsa_oaep_md:{hash}");
        let options = ["-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", &hash, "-inkey", &at("key.pem")]
            .map(str::to_owned);
        let pkeyutl = |direction: &str, input: &[u8]| {
            std::fs::write(at("in"), input).unwrap();
            let mut arguments = vec!["pkeyutl", direction, "-in"];
            let input = at("in");
            arguments.push(&input);
            arguments.extend(options.iter().map(String::as_str));
            openssl(&arguments)
        };
        let wrapped = vaults.wrap_key(admin, "kv-1", "kek", None, algorithm, b"passphrase").unwrap();
        assert_eq!(pkeyutl("-decrypt", wrapped.value.expose()), b"passphrase", "{algorithm}");
        let theirs = pkeyutl("-encrypt", b"from openssl");
        let opened = vaults.unwrap_key(admin, "kv-1", "kek", None, algorithm, &theirs).unwrap();
        assert_eq!(opened.value.expose(), b"from openssl", "{algorithm}");
    }

    let broken = cofre_keyvault::RsaComponents {
        n: vec![0xff; 256],
        ..support::openssl_components(std::str::from_utf8(&text).unwrap())
    };
    assert_eq!(
        kind(vaults.import_key(admin, "kv-1", "bad", &broken, &KeySpec::default())),
        ErrorKind::Invalid
    );
    let empty = cofre_keyvault::RsaComponents {
        e: Vec::new(),
        ..support::openssl_components(std::str::from_utf8(&text).unwrap())
    };
    assert_eq!(
        kind(vaults.import_key(admin, "kv-1", "bad", &empty, &KeySpec::default())),
        ErrorKind::Invalid
    );
}

#[test]
fn nothing_shows_a_secret() {
    const SECRET: &str = "correct-horse-battery-staple";
    let home = Home::new().with_vault("kv-1");
    let (vaults, admin) = (&home.vaults, &home.admin);
    let spec = secret(SECRET);
    let bundle = vaults.set_secret(admin, "kv-1", "bek", &spec).unwrap();
    let key = vaults.create_key(admin, "kv-1", "kek", &KeySpec::default()).unwrap();
    let wrapped = vaults.wrap_key(admin, "kv-1", "kek", None, "RSA-OAEP", SECRET.as_bytes()).unwrap();
    let opened = vaults.unwrap_key(admin, "kv-1", "kek", None, "RSA-OAEP", wrapped.value.expose()).unwrap();
    // Secrets in places where they do not belong.
    let errors = [
        vaults.secret(admin, "kv-1", &format!("{SECRET} "), None).unwrap_err(),
        vaults.secret(admin, &format!("{SECRET}-"), "x", None).unwrap_err(),
        vaults.secret(admin, "kv-1", "bek", Some(SECRET)).unwrap_err(),
        vaults.wrap_key(admin, "kv-1", "kek", None, &format!("{SECRET} {SECRET}"), b"").unwrap_err(),
        vaults.unwrap_key(admin, "kv-1", "kek", None, "RSA-OAEP", SECRET.as_bytes()).unwrap_err(),
        vaults.restore_secret(admin, "kv-1", SECRET.as_bytes()).unwrap_err(),
    ];
    let shown = format!(
        "{spec:?} {bundle:?} {key:?} {opened:?} {errors:?} {vaults:?} {:?} {:?}",
        value(SECRET),
        home.root
    );
    assert!(!shown.contains(SECRET), "{shown}");
    let audit = serde_json::to_string(&home.state.events()).unwrap();
    assert!(!audit.contains("horse"), "{audit}");
    let stored = format!("{:?}", home.state);
    assert!(!stored.contains("horse"));
    let sentinel = SECRET.as_bytes();
    for record in cofre_keyvault::state::State::list(&*home.state, "", None, 1000).unwrap() {
        assert!(!record.body.windows(sentinel.len()).any(|window| window == sentinel), "{}", record.path);
    }
}
