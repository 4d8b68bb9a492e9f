//! Proofs: what is proven, what is not, who may ask, and that nobody forges a record.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use base64ct::{Base64, Base64Unpadded, Base64Url, Base64UrlUnpadded, Encoding as _};
use cofre_keyvault::{
    AttributesChange, ErrorKind, KeyPermission, KeySpec, KeyUpdate, Operation, Outcome, SecretPermission,
    SecretUpdate, SecretValue, VaultUpdate, WrapAlgorithm,
    proof::{
        CaptureReason, HeaderProver, LONGEST_HEADER, ObjectReference, Origin, ProofMaterial, ProofRecord,
        ProofRequest, ProofState, ProverAnswer,
    },
};
use support::{Home, LuksProver, caller, header, kind, value};
use zeroize::Zeroizing;

const FIRST: &[u8] = b"first passphrase";
const SECOND: &[u8] = b"second passphrase\n";

/// A key in `kv-1`, and secrets in `kv-1` wrapped by it.
struct Scene {
    home: Home,
    key: ObjectReference,
    header: Vec<u8>,
}

impl Scene {
    fn new() -> Self {
        let home = Home::new().with_vault("kv-1").with_vault("kv-2");
        let key = home.vaults.create_key(&home.admin, "kv-1", "kek", &KeySpec::default()).unwrap();
        let key = ObjectReference { vault: "kv-1".into(), name: "kek".into(), version: key.version };
        Self { home, key, header: header("luks2-two-slots.hdr") }
    }

    fn wrap(&self, plain: &[u8]) -> Vec<u8> {
        let (vaults, admin) = (&self.home.vaults, &self.home.admin);
        let wrapped =
            vaults.wrap_key(admin, "kv-1", "kek", Some(&self.key.version), "RSA-OAEP", plain).unwrap();
        wrapped.value.expose().to_vec()
    }

    fn set(&self, text: &str) -> ObjectReference {
        let version = self.home.set("kv-1", "bek", text);
        ObjectReference { vault: "kv-1".into(), name: "bek".into(), version }
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

    fn prove(&self, material: ProofMaterial<'_>) -> (ProofRecord, Vec<Vec<u8>>) {
        let prover = LuksProver::default();
        let record = self.home.vaults.prove(&self.home.admin, &self.request(material), &prover).unwrap();
        self.home.vaults.verify_proof(&record).unwrap();
        (record, prover.tried.into_inner().unwrap())
    }

    fn stored<'a>(&'a self, secret: &'a ObjectReference) -> ProofMaterial<'a> {
        ProofMaterial::Stored { secret, key: Some(&self.key) }
    }
}

fn captured(reason: CaptureReason) -> impl Fn(&ProofState) -> bool {
    move |state| matches!(state, ProofState::Captured { reason: found, .. } if *found == reason)
}

#[test]
fn a_wrapped_secret_opens_its_header_however_it_is_encoded() {
    let scene = Scene::new();
    let wrapped = scene.wrap(FIRST);
    let texts = [
        Base64UrlUnpadded::encode_string(&wrapped),
        Base64Url::encode_string(&wrapped),
        Base64::encode_string(&wrapped),
        Base64Unpadded::encode_string(&wrapped),
    ];
    for text in texts {
        let secret = scene.set(&text);
        let (record, tried) = scene.prove(scene.stored(&secret));
        assert_eq!(
            (record.state, record.origin, record.keyslot),
            (ProofState::Proven, Origin::Stored, Some(0))
        );
        assert_eq!(tried, [FIRST]);
        assert_eq!((record.secret, record.key), (secret, Some(scene.key.clone())));
        assert_eq!((record.point.as_str(), record.disk.as_str()), ("point-7", "os"));
        assert_eq!(record.key_blob_sha256, None);
    }
    let event = scene.home.last_event();
    assert_eq!(
        (event.operation, event.outcome, event.object.as_deref()),
        (Operation::Prove, Outcome::Allowed, Some("kek"))
    );
    assert!(event.context.unwrap().starts_with("proven: point point-7, disk os, secret kv-1/bek/"));
}

#[test]
fn a_bare_secret_is_decoded_once() {
    let scene = Scene::new();
    let secret = scene.set(&Base64::encode_string(SECOND));
    let (record, tried) = scene.prove(ProofMaterial::Stored { secret: &secret, key: None });
    assert_eq!((record.state, record.keyslot, record.key), (ProofState::Proven, Some(1), None));
    assert_eq!((record.algorithm, tried), (None, vec![SECOND.to_vec()]));
}

#[test]
fn equal_volume_keys_have_equal_fingerprints() {
    let scene = Scene::new();
    let (first, second) = (scene.wrap(FIRST), scene.wrap(SECOND));
    let first = scene.set(&Base64::encode_string(&first));
    let second = scene.set(&Base64::encode_string(&second));
    let (one, _) = scene.prove(scene.stored(&first));
    let (two, _) = scene.prove(scene.stored(&second));
    assert_eq!((one.keyslot, two.keyslot), (Some(0), Some(1)));
    assert!(one.fingerprint.is_some() && one.fingerprint == two.fingerprint);
    let other = Scene { header: header("luks1-xts.hdr"), ..scene };
    let (three, _) = other.prove(other.stored(&first));
    assert_ne!(three.fingerprint, one.fingerprint);
    assert_ne!(three.header_sha256, one.header_sha256);
}

#[test]
fn closed_is_closed_wherever_it_stays_closed() {
    let scene = Scene::new();
    let wrong = scene.wrap(b"not the passphrase");
    let mut corrupt = scene.wrap(FIRST);
    corrupt[100] ^= 1;
    let mut records = Vec::new();
    for (text, is_real) in [
        (Base64::encode_string(&wrong), true),
        (Base64::encode_string(&corrupt), false),
        (Base64::encode_string(FIRST), false),
        ("no base64 at all!".to_owned(), false),
        (String::new(), false),
    ] {
        let secret = scene.set(&text);
        let (mut record, tried) = scene.prove(scene.stored(&secret));
        assert_eq!(tried.len(), 1, "the header is tried in any case");
        assert_eq!(tried[0] == b"not the passphrase", is_real);
        assert!(is_real || tried[0].len() == 172);
        record.secret.version.clear();
        record.mac.clear();
        records.push(record);
    }
    assert!(records.iter().all(|record| *record == records[0]), "{records:?}");
    assert!(captured(CaptureReason::DoesNotOpen)(&records[0].state));
    assert_eq!((&records[0].keyslot, &records[0].fingerprint), (&None, &None));
    assert_eq!(scene.home.last_event().outcome, Outcome::Allowed);
}

/// Says that everything opens.
struct Credulous;

impl HeaderProver for Credulous {
    fn try_open(&self, _: &[u8], _: u64, _: &[u8]) -> ProverAnswer {
        ProverAnswer::Opens { volume_key_fingerprint_input: Zeroizing::new([7; 32]), keyslot: 0 }
    }
}

/// Says what it was told to.
struct Fixed(fn() -> ProverAnswer);

impl HeaderProver for Fixed {
    fn try_open(&self, _: &[u8], _: u64, _: &[u8]) -> ProverAnswer {
        (self.0)()
    }
}

#[test]
fn what_the_prover_says_is_recorded() {
    let scene = Scene::new();
    let secret = scene.set(&Base64::encode_string(&scene.wrap(FIRST)));
    let request = scene.request(scene.stored(&secret));
    let cases: [(fn() -> ProverAnswer, CaptureReason); 3] = [
        (|| ProverAnswer::TooCostly("argon2".into()), CaptureReason::TooCostly),
        (|| ProverAnswer::Unsupported("serpent\u{7}".into()), CaptureReason::Unsupported),
        (|| ProverAnswer::Failed("x".repeat(100_000)), CaptureReason::Failed),
    ];
    for (answer, reason) in cases {
        let record = scene.home.vaults.prove(&scene.home.admin, &request, &Fixed(answer)).unwrap();
        scene.home.vaults.verify_proof(&record).unwrap();
        let ProofState::Captured { reason: found, detail } = record.state else { panic!("not captured") };
        assert_eq!(found, reason);
        assert!(detail.len() <= 400 && !detail.contains('\u{7}'), "{detail}");
    }
    // A header that opens with random bytes proves nothing.
    let secret = scene.set("no base64 at all!");
    let request = scene.request(scene.stored(&secret));
    let record = scene.home.vaults.prove(&scene.home.admin, &request, &Credulous).unwrap();
    assert!(captured(CaptureReason::DoesNotOpen)(&record.state));
}

#[test]
fn long_headers_are_not_tried() {
    let mut scene = Scene::new();
    let secret = scene.set(&Base64::encode_string(&scene.wrap(FIRST)));
    scene.header.resize(LONGEST_HEADER, 0);
    assert_eq!(scene.prove(scene.stored(&secret)).0.state, ProofState::Proven);
    scene.header.push(0);
    let (record, tried) = scene.prove(scene.stored(&secret));
    assert!(captured(CaptureReason::TooCostly)(&record.state) && tried.is_empty());
}

/// What a recovery point holds.
fn capture(scene: &Scene) -> (ObjectReference, SecretValue, Vec<u8>) {
    let text = Base64Url::encode_string(&scene.wrap(FIRST));
    let secret = scene.set(&text);
    (secret, value(&text), scene.home.vaults.backup_key(&scene.home.admin, "kv-1", "kek").unwrap())
}

#[test]
fn what_was_captured_is_proven_without_the_live_key() {
    let scene = Scene::new();
    let (secret, text, blob) = capture(&scene);
    let (vaults, admin) = (&scene.home.vaults, &scene.home.admin);
    scene.home.end_key("kv-1", "kek");
    scene.home.end_secret("kv-1", "bek");
    let material =
        || ProofMaterial::Captured { secret: &secret, value: &text, key: &scene.key, key_blob: &blob };
    let (record, tried) = scene.prove(material());
    assert_eq!((record.state.clone(), record.origin), (ProofState::Proven, Origin::Captured));
    assert_eq!((tried, record.key_blob_sha256.as_ref().map(String::len)), (vec![FIRST.to_vec()], Some(64)));

    // The record outlives blob keys and vaults, and can be read in a home that has the kit.
    vaults.rotate_blob_key(admin).unwrap();
    scene.home.end_vault("kv-1");
    vaults.verify_proof(&record).unwrap();
    assert_eq!(kind(vaults.prove(admin, &scene.request(material()), &Credulous)), ErrorKind::VaultNotFound);
    let other = Home::new();
    assert_eq!(kind(other.vaults.verify_proof(&record)), ErrorKind::ProofNotValid);
    let kit = vaults.export_ring_for_kit(admin).unwrap();
    assert_eq!(other.vaults.import_blob_keys(&other.admin, &kit).unwrap(), 2);
    other.vaults.verify_proof(&record).unwrap();
}

#[test]
fn a_captured_blob_counts_for_its_own_key_alone() {
    let scene = Scene::new();
    let (secret, text, blob) = capture(&scene);
    let (vaults, admin) = (&scene.home.vaults, &scene.home.admin);
    let prove = |key: &ObjectReference, blob: &[u8]| {
        let material = ProofMaterial::Captured { secret: &secret, value: &text, key, key_blob: blob };
        vaults.prove(admin, &scene.request(material), &Credulous)
    };
    prove(&scene.key, &blob).unwrap();
    for wrong in [
        ObjectReference { vault: "kv-2".into(), ..scene.key.clone() },
        ObjectReference { name: "other".into(), ..scene.key.clone() },
        ObjectReference { version: "0".repeat(32), ..scene.key.clone() },
    ] {
        assert_eq!(kind(prove(&wrong, &blob)), ErrorKind::ObjectNotFound, "{wrong:?}");
    }
    let mut bad = blob.clone();
    bad[200] ^= 1;
    assert_eq!(kind(prove(&scene.key, &bad)), ErrorKind::BlobNotUsable);
    let secret_blob = vaults.backup_secret(admin, "kv-1", "bek").unwrap();
    assert_eq!(kind(prove(&scene.key, &secret_blob)), ErrorKind::BlobNotUsable);
    assert_eq!(scene.home.last_event().reason.as_deref(), Some("KeyVaultBlobNotUsable"));
}

#[test]
fn who_may_prove() {
    let scene = Scene::new();
    let secret = scene.set(&Base64::encode_string(&scene.wrap(FIRST)));
    let (vaults, admin) = (&scene.home.vaults, &scene.home.admin);
    let backup = caller("backup");
    let prove = || vaults.prove(&backup, &scene.request(scene.stored(&secret)), &LuksProver::default());
    use KeyPermission as K;
    use SecretPermission as S;
    let all_but_get: Vec<_> = K::ALL.iter().copied().filter(|permission| *permission != K::Get).collect();
    let secrets_but_get: Vec<_> = S::ALL.iter().copied().filter(|permission| *permission != S::Get).collect();
    for (keys, secrets) in [
        (&[][..], &[][..]),
        (&all_but_get, S::ALL),
        (K::ALL, &secrets_but_get),
        (&[K::Get], &[]),
        (&[], &[S::Get]),
    ] {
        scene.home.allow("kv-1", &backup, keys, secrets);
        assert_eq!(kind(prove()), ErrorKind::Forbidden);
        assert_eq!(
            (scene.home.last_event().operation, scene.home.last_event().outcome),
            (Operation::Prove, Outcome::Refused)
        );
    }
    scene.home.allow("kv-1", &backup, &[K::Get], &[S::Get]);
    assert_eq!(prove().unwrap().state, ProofState::Proven);

    let flag = |on| {
        let update = VaultUpdate { enabled_for_disk_encryption: Some(on), ..VaultUpdate::default() };
        vaults.update_vault(admin, "kv-1", &update).unwrap();
    };
    flag(false);
    assert_eq!(kind(prove()), ErrorKind::NotEnabledForDiskEncryption);
    flag(true);
    let off = AttributesChange { enabled: Some(false), ..AttributesChange::default() };
    let on = AttributesChange { enabled: Some(true), ..AttributesChange::default() };
    let version = Some(secret.version.as_str());
    for attributes in [off, on] {
        vaults
            .update_secret(admin, "kv-1", "bek", version, &SecretUpdate { attributes, ..Default::default() })
            .unwrap();
        assert_eq!(
            prove().map(drop).map_err(|error| error.kind()),
            if attributes == on { Ok(()) } else { Err(ErrorKind::Disabled) }
        );
    }
    let without_unwrap = KeyUpdate { operations: Some(vec![]), ..KeyUpdate::default() };
    vaults.update_key(admin, "kv-1", "kek", None, &without_unwrap).unwrap();
    assert_eq!(kind(prove()), ErrorKind::OperationNotPermitted);

    for (point, disk) in [("", "os"), ("p", ""), ("p\n", "os"), (&*"p".repeat(257), "os")] {
        let request = ProofRequest { point, disk, ..scene.request(scene.stored(&secret)) };
        assert_eq!(kind(vaults.prove(admin, &request, &Credulous)), ErrorKind::Invalid);
    }
}

type Forgery<'a> = Box<dyn Fn(&mut ProofRecord) + 'a>;

#[test]
fn a_record_cannot_be_changed() {
    let scene = Scene::new();
    let (secret, text, blob) = capture(&scene);
    let material =
        ProofMaterial::Captured { secret: &secret, value: &text, key: &scene.key, key_blob: &blob };
    let (record, _) = scene.prove(material);
    let json = serde_json::to_string(&record).unwrap();
    let read: ProofRecord = serde_json::from_str(&json).unwrap();
    assert_eq!(read, record);
    scene.home.vaults.verify_proof(&read).unwrap();

    let elsewhere = ObjectReference { name: "x".into(), ..secret };
    let later = record.time + jiff::SignedDuration::from_nanos(1);
    let does_not_open = ProofState::Captured { reason: CaptureReason::DoesNotOpen, detail: String::new() };
    let changes: Vec<Forgery<'_>> = vec![
        Box::new(|r| r.version = 1),
        Box::new(|r| (r.version, r.tried) = (1, None)),
        Box::new(|r| r.version = 3),
        Box::new(|r| r.tried = None),
        Box::new(|r| r.tried = Some(later)),
        Box::new(|r| r.tried = Some(record.time - jiff::SignedDuration::from_nanos(1))),
        Box::new(|r| r.state = does_not_open.clone()),
        Box::new(|r| r.origin = Origin::Stored),
        Box::new(|r| r.point.push('8')),
        Box::new(|r| r.disk.push('8')),
        Box::new(|r| (r.point, r.disk) = ("point-7o".into(), "s".into())),
        Box::new(|r| r.header_sha256 = "0".repeat(64)),
        Box::new(|r| r.secret = elsewhere.clone()),
        Box::new(|r| r.key = None),
        Box::new(|r| r.key = Some(elsewhere.clone())),
        Box::new(|r| r.algorithm = Some(WrapAlgorithm::RsaOaep256)),
        Box::new(|r| r.algorithm = None),
        Box::new(|r| r.key_blob_sha256 = None),
        Box::new(|r| r.keyslot = Some(1)),
        Box::new(|r| r.fingerprint = None),
        Box::new(|r| r.time = later),
        Box::new(|r| r.mac_key_id = "0".repeat(32)),
        Box::new(|r| r.mac = "0".repeat(64)),
        Box::new(|r| r.mac.clear()),
        Box::new(|r| r.mac.truncate(62)),
    ];
    for (i, change) in changes.iter().enumerate() {
        let mut forged = record.clone();
        change(&mut forged);
        assert_eq!(kind(scene.home.vaults.verify_proof(&forged)), ErrorKind::ProofNotValid, "change {i}");
    }
    let mut other = json.clone();
    other.insert_str(1, r#""extra":1,"#);
    assert!(serde_json::from_str::<ProofRecord>(&other).is_err());
    let text = format!("{record:?} {json}");
    assert!(!text.contains("passphrase"));
}
