//! A set of header, secret and key that was proven lately is not tried again; anything else is.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::Mutex;

use base64ct::{Base64, Encoding as _};
use cofre_keyvault::{
    AttributesChange, ErrorKind, KeySpec, Outcome, SecretUpdate, WrapAlgorithm,
    proof::{
        HeaderProver, ObjectReference, ProofMaterial, ProofRecord, ProofRequest, ProofState, ProverAnswer,
    },
    state::{Change, State as _},
};
use support::{Home, caller, header, kind, place, value};
use zeroize::Zeroizing;

const PASSPHRASE: &[u8] = b"first passphrase";
const DAY: i64 = 24 * 3600;

/// Counts how often it is asked; what it says can be changed.
struct Counting {
    asked: Mutex<usize>,
    opens: Mutex<bool>,
}

impl Counting {
    fn new() -> Self {
        Self { asked: Mutex::new(0), opens: Mutex::new(true) }
    }

    fn asked(&self) -> usize {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

impl HeaderProver for Counting {
    fn try_open(&self, _: &[u8], _: u64, secret: &[u8]) -> ProverAnswer {
        *self.asked.lock().unwrap() += 1;
        if *self.opens.lock().unwrap() && secret == PASSPHRASE {
            ProverAnswer::Opens { volume_key_fingerprint_input: Zeroizing::new([7; 32]), keyslot: 3 }
        } else {
            ProverAnswer::DoesNotOpen
        }
    }
}

struct Scene {
    home: Home,
    prover: Counting,
    header: Vec<u8>,
    secret: ObjectReference,
    key: ObjectReference,
    text: String,
    blob: Vec<u8>,
}

impl Scene {
    fn new() -> Self {
        let home = Home::new().with_vault("kv-1");
        let (vaults, admin) = (&home.vaults, &home.admin);
        let key = vaults.create_key(admin, "kv-1", "kek", &KeySpec::default()).unwrap();
        let wrapped = vaults.wrap_key(admin, "kv-1", "kek", None, "RSA-OAEP", PASSPHRASE).unwrap();
        let text = Base64::encode_string(wrapped.value.expose());
        let reference = |name: &str, version: String| ObjectReference {
            vault: "kv-1".into(),
            name: name.into(),
            version,
        };
        let secret = reference("bek", home.set("kv-1", "bek", &text));
        let key = reference("kek", key.version);
        let blob = vaults.backup_key(admin, "kv-1", "kek").unwrap();
        Self { prover: Counting::new(), header: header("luks2-two-slots.hdr"), secret, key, text, blob, home }
    }

    fn request<'a>(&'a self, material: ProofMaterial<'a>) -> ProofRequest<'a> {
        ProofRequest {
            point: "point-7",
            disk: "os",
            header: &self.header,
            data_size: 1 << 20,
            algorithm: WrapAlgorithm::RsaOaep,
            material,
        }
    }

    /// Proves, and tells how often a header was tried for it.
    fn prove(&self, request: &ProofRequest<'_>) -> (ProofRecord, usize) {
        let record = self.home.vaults.prove(&self.home.admin, request, &self.prover).unwrap();
        self.home.vaults.verify_proof(&record).unwrap();
        (record, self.prover.asked())
    }

    fn stored(&self) -> (ProofRecord, usize) {
        self.prove(&self.request(ProofMaterial::Stored { secret: &self.secret, key: Some(&self.key) }))
    }

    fn captured(&self) -> (ProofRecord, usize) {
        let value = value(&self.text);
        let (secret, key, key_blob) = (&self.secret, &self.key, &self.blob);
        self.prove(&self.request(ProofMaterial::Captured { secret, value: &value, key, key_blob }))
    }

    fn entries(&self) -> usize {
        self.home.state.list("proofs/", None, 10_000).unwrap().len()
    }
}

#[test]
fn an_unchanged_set_is_tried_once() {
    let scene = Scene::new();
    let (first, asked) = scene.captured();
    assert_eq!((asked, first.state.clone(), first.tried), (1, ProofState::Proven, Some(first.time)));
    scene.home.clock.advance(DAY);
    let again = ProofMaterial::Captured {
        secret: &scene.secret,
        value: &value(&scene.text),
        key: &scene.key,
        key_blob: &scene.blob,
    };
    let (second, asked) =
        scene.prove(&ProofRequest { point: "point-8", disk: "data", ..scene.request(again) });
    assert_eq!((asked, second.tried), (0, first.tried));
    assert_eq!(
        (second.point.as_str(), second.disk.as_str()),
        ("point-8", "data"),
        "it is a proof of its own"
    );
    assert!(second.time > first.time && second.mac != first.mac);
    assert_eq!(
        (&second.state, &second.keyslot, &second.fingerprint, &second.header_sha256),
        (&ProofState::Proven, &Some(3), &first.fingerprint, &first.header_sha256)
    );
    let event = scene.home.last_event();
    assert_eq!(event.outcome, Outcome::Allowed);
    assert!(event.context.unwrap().ends_with("tried 2026-03-01T12:00:00Z"));
    assert_eq!(scene.entries(), 1);
}

#[test]
fn whatever_changes_is_tried_again() {
    let mut scene = Scene::new();
    assert_eq!((scene.captured().1, scene.captured().1), (1, 0));
    assert_eq!((scene.stored().1, scene.stored().1), (1, 0), "what a key vault holds is another question");

    let (vaults, admin) = (&scene.home.vaults, &scene.home.admin);
    let value = value(&scene.text);
    let material =
        |secret, key_blob| ProofMaterial::Captured { secret, value: &value, key: &scene.key, key_blob };
    let request = scene.request(material(&scene.secret, &scene.blob));
    assert_eq!(scene.prove(&ProofRequest { data_size: 2 << 20, ..request }).1, 1);
    let elsewhere = ObjectReference { version: "0".repeat(32), ..scene.secret.clone() };
    assert_eq!(scene.prove(&scene.request(material(&elsewhere, &scene.blob))).1, 1);
    let same_key = vaults.backup_key(admin, "kv-1", "kek").unwrap();
    assert_eq!(scene.prove(&scene.request(material(&scene.secret, &same_key))).1, 1, "another blob");
    let other_algorithm = ProofRequest {
        algorithm: WrapAlgorithm::RsaOaep256,
        ..scene.request(material(&scene.secret, &scene.blob))
    };
    let (record, asked) = scene.prove(&other_algorithm);
    assert!(asked == 1 && record.state != ProofState::Proven);

    // Another value under the same reference, as only a caller can state it.
    let wrapped = vaults.wrap_key(admin, "kv-1", "kek", None, "RSA-OAEP", PASSPHRASE).unwrap();
    let kept = std::mem::replace(&mut scene.text, Base64::encode_string(wrapped.value.expose()));
    assert_eq!(scene.captured().1, 1);
    scene.text = kept;
    assert_eq!(scene.captured().1, 0);
    scene.header[4096] ^= 1;
    assert_eq!(scene.captured().1, 1);
    scene.header[4096] ^= 1;
    scene.header.push(0);
    assert_eq!(scene.captured().1, 1);
    scene.header.pop();
    assert_eq!(scene.captured().1, 0);
    scene.home.vaults.rotate_blob_key(&scene.home.admin).unwrap();
    assert_eq!((scene.captured().1, scene.captured().1), (1, 0), "a new blob key begins anew");
}

#[test]
fn only_what_was_proven_is_kept() {
    let scene = Scene::new();
    *scene.prover.opens.lock().unwrap() = false;
    for _ in 0..2 {
        let (record, asked) = scene.captured();
        assert!(asked == 1 && record.state != ProofState::Proven && record.tried == Some(record.time));
    }
    assert_eq!(scene.entries(), 0);
    *scene.prover.opens.lock().unwrap() = true;
    assert_eq!(scene.captured().0.state, ProofState::Proven);
}

#[test]
fn rights_are_looked_at_each_time() {
    let scene = Scene::new();
    assert_eq!(scene.stored().1, 1);
    let (vaults, admin) = (&scene.home.vaults, &scene.home.admin);
    let material = || ProofMaterial::Stored { secret: &scene.secret, key: Some(&scene.key) };
    let stranger = vaults.prove(&caller("stranger"), &scene.request(material()), &scene.prover);
    assert_eq!(kind(stranger), ErrorKind::Forbidden);
    let attributes = AttributesChange { enabled: Some(false), ..AttributesChange::default() };
    let update = SecretUpdate { attributes, ..SecretUpdate::default() };
    vaults.update_secret(admin, "kv-1", "bek", None, &update).unwrap();
    let disabled = vaults.prove(admin, &scene.request(material()), &scene.prover);
    assert_eq!(kind(disabled), ErrorKind::Disabled);
}

#[test]
fn a_trial_counts_for_a_week() {
    let scene = Scene::new();
    let (first, _) = scene.captured();
    scene.home.clock.advance(7 * DAY);
    assert_eq!(scene.captured().1, 0);
    scene.home.clock.advance(1);
    let (later, asked) = scene.captured();
    assert_eq!((asked, later.tried), (1, Some(later.time)));
    assert_eq!((scene.captured().1, scene.entries()), (0, 1), "the entry was replaced");
    // A clock that was set back knows nothing of a trial in the future.
    scene.home.clock.advance(-1);
    assert_eq!(scene.captured().1, 1);
    scene.home.clock.advance(-7 * DAY);
    let (back, asked) = scene.captured();
    assert_eq!((asked, back.tried), (1, first.tried));
}

#[test]
fn old_entries_go_a_few_at_a_time() {
    let mut scene = Scene::new();
    for byte in 0..6 {
        scene.header[4096] = byte;
        scene.captured();
    }
    assert_eq!(scene.entries(), 6);
    scene.home.clock.advance(30 * DAY);
    scene.header[4096] = 100;
    scene.captured();
    assert_eq!(scene.entries(), 7, "none is older than thirty days");
    scene.home.clock.advance(1);
    scene.header[4096] = 101;
    scene.captured();
    assert_eq!(scene.entries(), 2);

    for byte in 0..40 {
        scene.header[4096] = byte;
        scene.captured();
    }
    scene.home.clock.advance(31 * DAY);
    scene.header[4096] = 200;
    let before = scene.entries();
    scene.captured();
    let gone = before + 1 - scene.entries();
    assert!((1..=8).contains(&gone), "{gone} at once");
    // Those that keep coming see to it that the old ones are a small part in the end.
    for round in 0..200_u8 {
        scene.header[4096] = round;
        scene.header[4097] = 1;
        scene.captured();
    }
    assert!(scene.entries() <= 201 + 10, "{} entries are left", scene.entries());
}

#[test]
fn damaged_foreign_and_orphaned_entries_do_no_harm() {
    let scene = Scene::new();
    scene.captured();
    let entry = scene.home.state.list("proofs/", None, 1).unwrap().remove(0);
    let replace = |body: Vec<u8>| {
        let now = scene.home.state.read(&entry.path).unwrap().unwrap();
        let change = Change::Replace { path: now.path, revision: now.revision, body };
        scene.home.state.commit(&[change], &[]).unwrap();
    };
    for at in [0, 10, 30, 50, entry.body.len() - 1] {
        let mut bad = entry.body.clone();
        bad[at] ^= 1;
        replace(bad);
        assert_eq!((scene.captured().1, scene.captured().1), (1, 0), "byte {at}");
    }
    replace(Vec::new());
    assert_eq!(scene.captured().1, 1);

    // One that was put at the path of another question does not answer it.
    let good = scene.home.state.read(&entry.path).unwrap().unwrap().body;
    let path = format!("proofs/{}", "0".repeat(64));
    let moved = Change::Create { path: path.clone(), body: good };
    scene.home.state.commit(&[moved], &[]).unwrap();
    let mut other = Scene { header: vec![1; 64], ..scene };
    assert_eq!(other.captured().1, 1);
    assert!(other.home.state.read(&path).unwrap().is_none(), "what opens nowhere is cleaned up");

    // Entries of another place in the same storage stay: they are for that place to judge.
    let elsewhere = cofre_keyvault::KeyVaults::open(
        other.home.state.clone(),
        &other.home.root,
        other.home.clock.clone(),
        &place("Sub-2", "Europe"),
    )
    .unwrap();
    other.home.vaults = elsewhere;
    other.home = Home { ..other.home }.with_vault("kv-9");
    let (vaults, admin) = (&other.home.vaults, &other.home.admin);
    let version = other.home.set("kv-9", "bek", &Base64::encode_string(PASSPHRASE));
    let bare = ObjectReference { vault: "kv-9".into(), name: "bek".into(), version };
    let before = other.entries();
    let request = other.request(ProofMaterial::Stored { secret: &bare, key: None });
    assert_eq!(vaults.prove(admin, &request, &other.prover).unwrap().state, ProofState::Proven);
    assert_eq!(other.entries(), before + 1);
}
