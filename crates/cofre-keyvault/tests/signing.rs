//! Signatures: who may make and check them, with which versions, and that openssl agrees.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::process::Command;

use aws_lc_rs::digest;
use base64ct::{Base64, Encoding as _};
use cofre_keyvault::{
    AttributesChange, ErrorKind, KeyOperation, KeyPermission, KeySpec, KeyUpdate, Operation, Outcome,
    RsaSize, SignatureAlgorithm,
};
use jiff::{SignedDuration, Timestamp};
use support::{Home, caller, kind};

const DIGEST: [u8; 32] = [7; 32];

#[test]
fn sizes_and_algorithms() {
    let home = Home::new().with_vault("kv-1");
    let (vaults, admin) = (&home.vaults, &home.admin);
    for (size, bytes) in [(RsaSize::Bits2048, 256), (RsaSize::Bits3072, 384), (RsaSize::Bits4096, 512)] {
        let key =
            vaults.create_key(admin, "kv-1", "Signer", &KeySpec { size, ..KeySpec::default() }).unwrap();
        for algorithm in SignatureAlgorithm::ALL {
            let (name, digest) = (algorithm.as_str(), vec![3; algorithm.digest_bytes()]);
            let signed = vaults.sign(admin, "kv-1", "signer", None, name, &digest).unwrap();
            assert_eq!((signed.name.as_str(), &signed.version), ("Signer", &key.version));
            assert_eq!((signed.algorithm, signed.value.expose().len()), (name, bytes));
            let verify = |digest: &[u8], signature: &[u8]| {
                vaults.verify(admin, "kv-1", "signer", Some(&key.version), name, digest, signature)
            };
            assert!(verify(&digest, signed.value.expose()).unwrap());
            assert!(!verify(&vec![4; digest.len()], signed.value.expose()).unwrap());
            assert!(!verify(&digest, b"").unwrap());
            assert_eq!(kind(verify(&digest[1..], signed.value.expose())), ErrorKind::Invalid);
            assert_eq!(
                kind(vaults.sign(admin, "kv-1", "signer", None, name, &digest[1..])),
                ErrorKind::Invalid
            );
        }
    }
    for algorithm in ["RSA-OAEP", "ES256", "RSNULL", "ps256", ""] {
        assert_eq!(
            kind(vaults.sign(admin, "kv-1", "signer", None, algorithm, &DIGEST)),
            ErrorKind::UnsupportedAlgorithm
        );
        assert_eq!(home.last_event().reason.as_deref(), Some("KeyAlgorithmNotSupported"));
        assert_eq!(
            kind(vaults.verify(admin, "kv-1", "signer", None, algorithm, &DIGEST, b"x")),
            ErrorKind::UnsupportedAlgorithm
        );
    }
}

#[test]
fn permissions_operations_and_periods_are_looked_at() {
    let home = Home::new().with_vault("kv-1");
    let (vaults, admin) = (&home.vaults, &home.admin);
    let key = vaults.create_key(admin, "kv-1", "signer", &KeySpec::default()).unwrap();
    let user = caller("user");
    let sign = || vaults.sign(&user, "kv-1", "signer", None, "RS256", &DIGEST);
    let all_but = |without: KeyPermission| -> Vec<_> {
        KeyPermission::ALL.iter().copied().filter(|permission| *permission != without).collect()
    };
    home.allow("kv-1", &user, &all_but(KeyPermission::Sign), &[]);
    assert_eq!(kind(sign()), ErrorKind::Forbidden);
    let event = home.last_event();
    assert_eq!((event.operation, event.outcome), (Operation::Sign, Outcome::Refused));

    home.allow("kv-1", &user, &[KeyPermission::Sign], &[]);
    let signature = sign().unwrap().value;
    let event = home.last_event();
    assert_eq!(
        (event.operation, event.outcome, event.version.as_deref()),
        (Operation::Sign, Outcome::Allowed, Some(key.version.as_str()))
    );
    let verify = || vaults.verify(&user, "kv-1", "signer", None, "RS256", &DIGEST, signature.expose());
    home.allow("kv-1", &user, &all_but(KeyPermission::Verify), &[]);
    assert_eq!(kind(verify()), ErrorKind::Forbidden);
    home.allow("kv-1", &user, &[KeyPermission::Verify, KeyPermission::Sign], &[]);
    assert!(verify().unwrap());
    let event = home.last_event();
    assert_eq!((event.operation, event.outcome), (Operation::Verify, Outcome::Allowed));

    let change = |attributes: AttributesChange, operations: Option<Vec<KeyOperation>>| {
        let update = KeyUpdate { attributes, operations, tags: None };
        vaults.update_key(admin, "kv-1", "signer", None, &update).unwrap();
    };
    change(AttributesChange::default(), Some(vec![KeyOperation::Verify]));
    assert_eq!(kind(sign()), ErrorKind::OperationNotPermitted);
    change(AttributesChange::default(), Some(vec![KeyOperation::Sign]));
    sign().unwrap();
    assert_eq!(kind(verify()), ErrorKind::OperationNotPermitted);
    change(AttributesChange::default(), Some(vec![KeyOperation::Sign, KeyOperation::Verify]));

    let start: Timestamp = support::START.parse().unwrap();
    let hour = SignedDuration::from_hours(1);
    let (not_before, expires) = (Some(start + hour), Some(start + hour * 2));
    change(AttributesChange { not_before, expires, enabled: None }, None);
    assert_eq!(kind(sign()), ErrorKind::NotYetValid);
    assert!(verify().unwrap(), "what was signed once can be verified");
    home.clock.advance(3600);
    sign().unwrap();
    home.clock.advance(3600);
    assert_eq!(kind(sign()), ErrorKind::Expired);
    assert!(verify().unwrap());
    change(AttributesChange { enabled: Some(false), ..AttributesChange::default() }, None);
    assert_eq!(kind(sign()), ErrorKind::Disabled);
    assert_eq!(kind(verify()), ErrorKind::Disabled);
}

/// The public key as a PEM file holds it: SubjectPublicKeyInfo around `n` and `e`.
fn public_pem(n: &[u8], e: &[u8]) -> String {
    let element = |tag: u8, content: &[u8]| -> Vec<u8> {
        let length = match content.len() {
            short @ 0..=127 => vec![u8::try_from(short).unwrap()],
            long => [&[0x82][..], &u16::try_from(long).unwrap().to_be_bytes()].concat(),
        };
        [&[tag][..], &length, content].concat()
    };
    let integer = |bytes: &[u8]| element(2, &[&[0][..], bytes].concat());
    let key = element(0x30, &[integer(n), integer(e)].concat());
    let rsa_encryption = [0x30, 13, 6, 9, 42, 134, 72, 134, 247, 13, 1, 1, 1, 5, 0];
    let info = element(0x30, &[&rsa_encryption[..], &element(3, &[&[0][..], &key].concat())].concat());
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", Base64::encode_string(&info))
}

#[test]
fn openssl_verifies_what_we_sign_and_the_other_way_round() {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("passed over: openssl is not installed");
        return;
    }
    let home = Home::new().with_vault("kv-1");
    let (vaults, admin) = (&home.vaults, &home.admin);
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).display().to_string();
    let run = |arguments: &[String]| Command::new("openssl").args(arguments).output().unwrap();
    let options = |algorithm: SignatureAlgorithm| -> Vec<String> {
        let bits = algorithm.digest_bytes() * 8;
        let mut options = vec!["-pkeyopt".to_owned(), format!("digest:sha{bits}")];
        if algorithm.as_str().starts_with('P') {
            for option in
                ["rsa_padding_mode:pss", "rsa_pss_saltlen:digest", &format!("rsa_mgf1_md:sha{bits}")]
            {
                options.extend(["-pkeyopt".to_owned(), option.to_owned()]);
            }
        }
        options
    };
    let words = |text: &[&str]| text.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let key = vaults.create_key(admin, "kv-1", "signer", &KeySpec::default()).unwrap();
    let pem = public_pem(&key.n, &key.e);
    // openssl wants lines of at most 64 digits.
    let (head, rest) = pem.split_once('\n').unwrap();
    let (body, foot) = rest.split_once('\n').unwrap();
    let body: Vec<_> = body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    std::fs::write(at("public.pem"), format!("{head}\n{}\n{foot}", body.join("\n"))).unwrap();

    let made = run(&words(&[
        "genpkey",
        "-algorithm",
        "RSA",
        "-pkeyopt",
        "rsa_keygen_bits:2048",
        "-out",
        &at("k.pem"),
    ]));
    assert!(made.status.success());
    let text = run(&words(&["pkey", "-in", &at("k.pem"), "-noout", "-text"])).stdout;
    let components = support::openssl_components(std::str::from_utf8(&text).unwrap());
    vaults.import_key(admin, "kv-1", "theirs", &components, &KeySpec::default()).unwrap();

    for algorithm in SignatureAlgorithm::ALL {
        let of = match algorithm.digest_bytes() {
            32 => &digest::SHA256,
            48 => &digest::SHA384,
            _ => &digest::SHA512,
        };
        let digest = digest::digest(of, b"what is signed").as_ref().to_vec();
        std::fs::write(at("digest"), &digest).unwrap();
        let name = algorithm.as_str();

        let ours = vaults.sign(admin, "kv-1", "signer", None, name, &digest).unwrap();
        std::fs::write(at("signature"), ours.value.expose()).unwrap();
        let verify = words(&[
            "pkeyutl",
            "-verify",
            "-pubin",
            "-inkey",
            &at("public.pem"),
            "-in",
            &at("digest"),
            "-sigfile",
            &at("signature"),
        ]);
        let output = run(&[verify, options(algorithm)].concat());
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));

        let sign =
            words(&["pkeyutl", "-sign", "-inkey", &at("k.pem"), "-in", &at("digest"), "-out", &at("theirs")]);
        let output = run(&[sign, options(algorithm)].concat());
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let theirs = std::fs::read(at("theirs")).unwrap();
        assert!(vaults.verify(admin, "kv-1", "theirs", None, name, &digest, &theirs).unwrap(), "{name}");
        assert!(!vaults.verify(admin, "kv-1", "signer", None, name, &digest, &theirs).unwrap(), "{name}");
    }
}
