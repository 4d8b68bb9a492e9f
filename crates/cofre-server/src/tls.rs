//! The home's own certificate authority, and the server's certificate.
//!
//! Clients are told to trust the authority's certificate; its key signs nothing but certificates of this server. A
//! certificate lives a year, is made anew when less than 30 days are left or when a name is missing, and is never kept
//! longer than the authority.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    net::IpAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use cofre_arm::{ApiError, Problem, Result};
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SerialNumber,
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// How long an authority lives, in days: about ten years.
const AUTHORITY_DAYS: i64 = 3652;
/// How long a server's certificate lives, in days: more than 398 are refused by some clients.
const CERTIFICATE_DAYS: i64 = 365;
/// How many days before its end it is replaced.
const RENEWAL_DAYS: i64 = 30;

/// Where the files are.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    folder: PathBuf,
}

/// What the server's certificate was made for, kept beside it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    names: Vec<String>,
    expires: Timestamp,
}

fn failed(doing: &str, path: &Path, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ApiError {
    ApiError::new(Problem::StateUnavailable, format!("cannot {doing} {}", path.display())).because(error)
}

fn unmade(error: rcgen::Error) -> ApiError {
    ApiError::new(Problem::StateUnavailable, "a certificate cannot be made").because(error)
}

/// Writes a file whole or not at all.
fn write(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let fresh = path.with_extension("new");
    let put = || -> io::Result<()> {
        let _ = fs::remove_file(&fresh);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    put().map_err(|error| failed("write", path, error))
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    fs::read(path).map(Zeroizing::new).map_err(|error| failed("read", path, error))
}

/// `not_before` and `not_after` as rcgen wants them.
fn period(params: &mut CertificateParams, now: Timestamp, until: Timestamp) {
    let date = |time: Timestamp| {
        let date = jiff::tz::Offset::UTC.to_datetime(time);
        let month = u8::try_from(date.month()).unwrap_or(1);
        let day = u8::try_from(date.day()).unwrap_or(1);
        rcgen::date_time_ymd(i32::from(date.year()), month, day)
    };
    // A day earlier: clocks differ, and dates are whole days.
    params.not_before = date(now - SignedDuration::from_hours(24));
    params.not_after = date(until);
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "cofre");
    name.push(DnType::CommonName, common);
    name
}

impl TlsFiles {
    /// The files in a folder.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The authority's certificate: what clients are told to trust.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    fn authority_key(&self) -> PathBuf {
        self.folder.join("ca.key")
    }

    fn certificate(&self) -> PathBuf {
        self.folder.join("server.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.join("server.key")
    }

    fn made(&self) -> PathBuf {
        self.folder.join("server.json")
    }

    /// Makes an authority where there is none. The key is written before the certificate, so that a certificate has
    /// its key.
    ///
    /// # Errors
    /// `StateUnavailable`.
    pub fn ensure_authority(&self, now: Timestamp, tenant: &str) -> Result<()> {
        if self.authority().exists() {
            return Ok(());
        }
        let key = KeyPair::generate().map_err(unmade)?;
        let mut params = CertificateParams::new(Vec::new()).map_err(unmade)?;
        params.distinguished_name = name(&format!("cofre authority {tenant}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        period(&mut params, now, now + SignedDuration::from_hours(24 * AUTHORITY_DAYS));
        let certificate = params.self_signed(&key).map_err(unmade)?;
        write(&self.authority_key(), Zeroizing::new(key.serialize_pem()).as_bytes(), 0o600)?;
        write(&self.authority(), certificate.pem().as_bytes(), 0o644)
    }

    /// What the server needs to speak TLS under these names; a certificate is made where none is good enough.
    ///
    /// # Errors
    /// `StateUnavailable`, `InvalidParameter` for names that no certificate can have.
    pub fn server_config(&self, now: Timestamp, names: &[String]) -> Result<Arc<ServerConfig>> {
        let renewal = now + SignedDuration::from_hours(24 * RENEWAL_DAYS);
        let made: Option<Made> =
            fs::read(self.made()).ok().and_then(|json| serde_json::from_slice(&json).ok());
        let good = made.is_some_and(|made| made.names == names && made.expires > renewal);
        if !good {
            self.make_certificate(now, names)?;
        }
        let (path, pem) = (self.certificate(), read(&self.certificate())?);
        let chain = CertificateDer::pem_slice_iter(&pem)
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(|error| failed("use the certificate", &path, error))?;
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key())?)
            .map_err(|error| failed("use the key", &self.key(), error))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| failed("use the certificate", &path, error))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    fn make_certificate(&self, now: Timestamp, names: &[String]) -> Result<()> {
        let (authority, authority_key) = (read(&self.authority())?, read(&self.authority_key())?);
        let text = |path: &Path, bytes: &[u8]| {
            String::from_utf8(bytes.to_vec()).map(Zeroizing::new).map_err(|error| failed("read", path, error))
        };
        let issuer_key = KeyPair::from_pem(&text(&self.authority_key(), &authority_key)?)
            .map_err(|error| failed("use the key", &self.authority_key(), error))?;
        // The issuer's own parameters are what names and key identifier are taken from.
        let mut parent = CertificateParams::new(Vec::new()).map_err(unmade)?;
        let der = CertificateDer::from_pem_slice(&authority)
            .map_err(|error| failed("use the certificate", &self.authority(), error))?;
        parent.distinguished_name = name(&common_name(&der).ok_or_else(|| {
            failed("use the certificate", &self.authority(), "it is not one of ours".to_owned())
        })?);
        parent.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = Issuer::new(parent, issuer_key);

        let key = KeyPair::generate().map_err(unmade)?;
        let mut params = CertificateParams::new(names.to_vec()).map_err(|error| {
            ApiError::invalid(format!("one of {} cannot stand in a certificate", names.join(", ")))
                .because(error)
        })?;
        params.distinguished_name = name(names.first().map_or("cofre", String::as_str));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let mut serial = [0; 16];
        aws_lc_rs::rand::fill(&mut serial)
            .map_err(|_| ApiError::new(Problem::StateUnavailable, "the system has no random bytes"))?;
        serial[0] &= 0x7f;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let expires = now + SignedDuration::from_hours(24 * CERTIFICATE_DAYS);
        period(&mut params, now, expires);
        let certificate = params.signed_by(&key, &issuer).map_err(unmade)?;

        // What says that the pair is good goes first and comes back last: a crash between leaves none that is trusted.
        match fs::remove_file(self.made()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", &self.made(), error));
            }
            _ => {}
        }
        write(&self.key(), Zeroizing::new(key.serialize_pem()).as_bytes(), 0o600)?;
        write(&self.certificate(), certificate.pem().as_bytes(), 0o644)?;
        let made = serde_json::to_vec(&Made { names: names.to_vec(), expires })
            .map_err(|error| failed("write", &self.made(), error))?;
        write(&self.made(), &made, 0o644)
    }
}

/// The common name of an authority made above: `cofre authority TENANT`, as UTF8String.
fn common_name(der: &[u8]) -> Option<String> {
    const START: &[u8] = b"cofre authority ";
    let at = der.windows(START.len()).position(|window| window == START)?;
    let length = usize::from(*der.get(at.checked_sub(1)?)?);
    String::from_utf8(der.get(at..at + length)?.to_vec()).ok()
}

/// The names a server answers to: its hosts, key vaults, and loopback.
#[must_use]
pub fn certificate_names(host: &str, key_vault_suffix: &str, listen: IpAddr) -> Vec<String> {
    let mut names = vec![
        host.to_owned(),
        format!("*.{key_vault_suffix}"),
        key_vault_suffix.to_owned(),
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    if !listen.is_unspecified() {
        names.push(listen.to_string());
    }
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_kept_until_they_no_longer_do() {
        let folder = tempfile::tempdir().unwrap();
        let files = TlsFiles::new(folder.path());
        let now: Timestamp = "2026-11-25T12:00:00Z".parse().unwrap();
        let names = certificate_names("localhost", "vault.localhost", IpAddr::from([127, 0, 0, 1]));
        assert_eq!(names, ["localhost", "*.vault.localhost", "vault.localhost", "127.0.0.1", "::1"]);
        assert!(files.server_config(now, &names).is_err(), "without an authority");
        files.ensure_authority(now, "tenant").unwrap();
        let authority = fs::read(files.authority()).unwrap();
        files.ensure_authority(now, "tenant").unwrap();
        assert_eq!(fs::read(files.authority()).unwrap(), authority);

        let serial = || fs::read(files.certificate()).unwrap();
        files.server_config(now, &names).unwrap();
        let first = serial();
        files.server_config(now + SignedDuration::from_hours(24 * 300), &names).unwrap();
        assert_eq!(serial(), first);
        files.server_config(now + SignedDuration::from_hours(24 * 340), &names).unwrap();
        let second = serial();
        assert_ne!(second, first, "renewed in time");
        let other = certificate_names("backup.example.com", "vault.localhost", IpAddr::from([0, 0, 0, 0]));
        files.server_config(now, &other).unwrap();
        assert_ne!(serial(), second, "another name");
        fs::remove_file(files.made()).unwrap();
        let third = serial();
        files.server_config(now, &other).unwrap();
        assert_ne!(serial(), third, "a pair that was being made when the process died");
    }
}
