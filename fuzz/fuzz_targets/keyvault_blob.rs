//! What a key vault takes from outside: backup blobs, lists of blob keys, proof records. Of a blob only the
//! plain header is parsed before the whole is authenticated; the content is fuzzed as well, as if the blob
//! key were known to the enemy.
#![no_main]

use std::sync::{
    Arc, LazyLock,
    atomic::{AtomicBool, Ordering},
};

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf,
};
use cofre_keyvault::{
    AccessPolicy, AuditEvent, Caller, ErrorKind, KeyPermission, KeyVaults, Permissions, Place, Principal,
    RootKey, SecretPermission, SystemClock, VaultSpec,
    proof::ProofRecord,
    read_blob_header,
    state::{Change, MemoryState, Record, State, StateError},
};
use libfuzzer_sys::fuzz_target;

/// The key that the enemy knows: 32 zero bytes, imported under this id.
const KEY_ID: [u8; 16] = [0xaa; 16];

/// A storage that stays as it is once frozen, so that no input changes what the next one meets.
#[derive(Default)]
struct Frozen {
    state: MemoryState,
    frozen: AtomicBool,
}

impl State for Frozen {
    fn read(&self, path: &str) -> Result<Option<Record>, StateError> {
        self.state.read(path)
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Record>, StateError> {
        self.state.list(prefix, after, limit)
    }

    fn commit(&self, changes: &[Change], events: &[AuditEvent]) -> Result<(), StateError> {
        if self.frozen.load(Ordering::Relaxed) { Ok(()) } else { self.state.commit(changes, events) }
    }

    fn version(&self) -> Result<u64, StateError> {
        self.state.version()
    }

    fn append(&self, events: &[AuditEvent], as_of: Option<u64>) -> Result<(), StateError> {
        if self.frozen.load(Ordering::Relaxed) { Ok(()) } else { self.state.append(events, as_of) }
    }
}

fn caller() -> Caller {
    Caller { object_id: "o".into(), tenant: "t".into(), name: "n".into(), ..Caller::default() }
}

static VAULTS: LazyLock<KeyVaults> = LazyLock::new(|| {
    let state = Arc::new(Frozen::default());
    let place = Place { tenant: "t".into(), subscription: "s".into(), geography: "g".into() };
    let root = RootKey::from_bytes(&[7; 32].into());
    let vaults = KeyVaults::open(state.clone(), &root, Arc::new(SystemClock), &place).expect("opens");
    let permissions = Permissions {
        keys: [KeyPermission::Restore].into(),
        secrets: [SecretPermission::Restore].into(),
        ..Permissions::default()
    };
    let policy = AccessPolicy { principal: Principal::from(&caller()), permissions };
    let spec = VaultSpec {
        id: "/subscriptions/s/x".into(),
        name: "vault".into(),
        access_policies: vec![policy],
        ..VaultSpec::default()
    };
    vaults.create_vault(&caller(), &spec).expect("a vault");
    let kit = format!(
        r#"{{"format":"cofre-keyvault-blob-keys","version":1,"place":{{"tenant":"t","subscription":"s","geography":"g"}},
        "keys":[{{"id":"{}","use":"blob","vault":"","place":{{"tenant":"t","subscription":"s","geography":"g"}},
        "imported":false,"created":"2026-01-01T00:00:00Z","key":"{}"}}]}}"#,
        "aa".repeat(16),
        "A".repeat(43)
    );
    assert_eq!(vaults.import_blob_keys(&caller(), kit.as_bytes()).expect("a kit"), 1);
    state.frozen.store(true, Ordering::Relaxed);
    vaults
});

fn field(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).expect("short").to_be_bytes(), bytes].concat()
}

/// A blob of `content` under the key that the enemy knows (docs/keyvault-format.md).
fn sealed(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut key = [0; 32];
    let prk = hkdf::Salt::none(hkdf::HKDF_SHA256).extract(&[0; 32]);
    prk.expand(&[b"cofre-keyvault blob"], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut key))
        .expect("a key");
    let header = [b"CKVB", [1, kind].as_slice(), &KEY_ID, &[0; 12]].concat();
    let context = [field(b"blob"), field(b"s"), field(b"g")].concat();
    let associated = [field(b"cofre-keyvault envelope"), field(&header), field(&context)].concat();
    let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, &key).expect("a key"));
    let mut content = content.to_vec();
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    cipher.seal_in_place_append_tag(nonce, Aad::from(associated), &mut content).expect("sealed");
    [header, content].concat()
}

/// Restores as both kinds; whatever is refused is refused with the one kind.
fn restore(blob: &[u8]) -> bool {
    let key = VAULTS.restore_key(&caller(), "vault", blob).map(drop);
    let secret = VAULTS.restore_secret(&caller(), "vault", blob).map(drop);
    for error in [&key, &secret].into_iter().filter_map(|result| result.as_ref().err()) {
        assert_eq!(error.kind(), ErrorKind::BlobNotUsable, "{error:?}");
    }
    key.is_ok() || secret.is_ok()
}

fuzz_target!(|data: &[u8]| {
    let Some((&which, bytes)) = data.split_first() else { return };
    match which {
        0 => {
            let _ = read_blob_header(bytes);
            assert!(!restore(bytes), "nobody guesses a tag");
        }
        1 => drop(restore(&sealed(1, bytes))),
        2 => drop(restore(&sealed(2, bytes))),
        3 => drop(VAULTS.import_blob_keys(&caller(), bytes)),
        _ => {
            if let Ok(record) = serde_json::from_slice::<ProofRecord>(bytes) {
                assert_eq!(VAULTS.verify_proof(&record).unwrap_err().kind(), ErrorKind::ProofNotValid);
            }
        }
    }
});
