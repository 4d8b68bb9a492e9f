//! One key vault: its keys and secrets.

use std::{collections::BTreeMap, fmt, time::Duration};

use zeroize::Zeroizing;

use crate::{
    client::{Client, VaultAddress, check_label, json, parse},
    error::{ClientError, ErrorKind, Result},
    proof::{ProofQuestion, ProofReply},
    transport::{Again, Ask, Reply},
    wire::{self, Blob, KeyBundle, Page, SecretBundle, SetSecret},
};

/// The version of the published contract.
pub(crate) const API_VERSION: &str = "api-version=7.4";
/// Largest answer that holds a backup blob, in bytes.
const LARGEST_BLOB: u64 = 16 << 20;
/// Most pages of a list that are read.
const MOST_PAGES: usize = 400;

/// How a version of a key stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyState {
    /// Its name.
    pub name: String,
    /// The version.
    pub version: String,
    /// Whether it may be used.
    pub enabled: bool,
}

/// A version of a secret.
#[derive(Clone)]
pub struct Secret {
    /// The version.
    pub version: String,
    /// The value, wiped when dropped.
    pub value: Zeroizing<String>,
    /// Its content type.
    pub content_type: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Whether it may be used.
    pub enabled: bool,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("version", &self.version).finish_non_exhaustive()
    }
}

/// A secret to be set.
pub struct NewSecret<'a> {
    /// The value.
    pub value: &'a str,
    /// Its content type.
    pub content_type: Option<&'a str>,
    /// Its tags.
    pub tags: &'a BTreeMap<String, String>,
}

/// A right on a key vault that can be tried without doing anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// `keys/get`.
    GetKeys,
    /// `keys/list`.
    ListKeys,
    /// `keys/backup`.
    BackupKeys,
    /// `secrets/get`.
    GetSecrets,
    /// `secrets/list`.
    ListSecrets,
}

/// A name that nobody gives to a key or secret: what is tried on it finds nothing.
const NOBODY: &str = "cofre-permission-check-3f0c9a51d7e84b26";

/// A key vault, as a client sees it.
#[derive(Clone, Debug)]
pub struct Vault<'a> {
    client: &'a Client,
    address: VaultAddress,
}

impl<'a> Vault<'a> {
    pub(crate) fn new(client: &'a Client, address: VaultAddress) -> Self {
        Self { client, address }
    }

    pub(crate) fn host(&self) -> &str {
        self.address.host()
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}/{path}?{API_VERSION}", self.host())
    }

    fn get(&self, path: &str) -> Result<Reply> {
        self.client.ask_vault(Ask::get(&self.url(path)))
    }

    /// An answer that is a success.
    fn good(&self, reply: Reply, with_secret: bool) -> Result<Reply> {
        if reply.status == 200 { Ok(reply) } else { Err(wire::refusal(&reply, self.host(), with_secret)) }
    }

    fn key_state(&self, bundle: &KeyBundle) -> Result<KeyState> {
        let (name, version) = wire::name_and_version(&bundle.key.kid, "keys")
            .ok_or_else(|| ClientError::answer(self.host(), "the id of a key is none"))?;
        Ok(KeyState {
            name: name.to_owned(),
            version: version.to_owned(),
            enabled: bundle.attributes.enabled,
        })
    }

    /// A version of a key; the newest where none is named.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Disabled`], [`ErrorKind::Forbidden`], [`ErrorKind::VaultNotFound`] and those
    /// of the way there.
    pub fn key(&self, name: &str, version: Option<&str>) -> Result<KeyState> {
        let version = version.map(|version| check_label("version", version)).transpose()?.unwrap_or_default();
        let reply = self.get(&format!("keys/{}/{version}", check_label("name", name)?))?;
        self.key_state(&parse(&self.good(reply, false)?, self.host())?)
    }

    /// All versions of a key, in the server's order.
    ///
    /// # Errors
    /// As [`key`](Self::key); a key that is not there is an empty list for some servers, and [`ErrorKind::NotFound`] for
    /// others.
    pub fn key_versions(&self, name: &str) -> Result<Vec<String>> {
        let path = format!("keys/{}/versions", check_label("name", name)?);
        let (mut url, mut versions) = (self.url(&path), Vec::new());
        for _ in 0..MOST_PAGES {
            let reply = self.good(self.client.ask_vault(Ask::get(&url))?, false)?;
            let page: Page<wire::KeyId> = parse(&reply, self.host())?;
            for item in &page.value {
                let (_, version) = wire::name_and_version(&item.kid, "keys")
                    .ok_or_else(|| ClientError::answer(self.host(), "the id of a key's version is none"))?;
                versions.push(version.to_owned());
            }
            match page.next_link.filter(|link| !link.is_empty()) {
                None => return Ok(versions),
                // The token goes to the vault and nowhere else.
                Some(next) if next.starts_with(&format!("https://{}/", self.host())) => url = next,
                Some(_) => {
                    return Err(ClientError::answer(self.host(), "the next page is on another server"));
                }
            }
        }
        Err(ClientError::answer(self.host(), "a list does not end"))
    }

    /// The backup blob of a key: all of its versions, sealed by the server.
    ///
    /// # Errors
    /// As [`key`](Self::key).
    pub fn backup_key(&self, name: &str) -> Result<Zeroizing<Vec<u8>>> {
        let url = self.url(&format!("keys/{}/backup", check_label("name", name)?));
        let reply = self.client.ask_vault(Ask {
            method: "POST",
            limit: LARGEST_BLOB,
            patience: Duration::from_secs(120),
            ..Ask::get(&url)
        })?;
        let blob: Blob = parse(&self.good(reply, false)?, self.host())?;
        wire::bytes(&blob.value, self.host())
    }

    /// Restores a key from its backup blob.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when its name is taken, [`ErrorKind::BadRequest`] for a blob that the server cannot open,
    /// and as [`key`](Self::key).
    pub fn restore_key(&self, blob: &[u8]) -> Result<KeyState> {
        let body = Blob { value: wire::text(blob) };
        let body = json(&body, body.value.len() + 32)?;
        let reply = self.client.ask_vault(Ask {
            method: "POST",
            body: &body,
            patience: Duration::from_secs(120),
            again: Again::IfRefused,
            ..Ask::get(&self.url("keys/restore"))
        })?;
        self.key_state(&parse(&self.good(reply, false)?, self.host())?)
    }

    /// A version of a secret; the newest where none is named.
    ///
    /// # Errors
    /// As [`key`](Self::key).
    pub fn secret(&self, name: &str, version: Option<&str>) -> Result<Secret> {
        let version = version.map(|version| check_label("version", version)).transpose()?.unwrap_or_default();
        let reply = self.get(&format!("secrets/{}/{version}", check_label("name", name)?))?;
        let bundle: SecretBundle = parse(&self.good(reply, false)?, self.host())?;
        let (_, version) = wire::name_and_version(&bundle.id, "secrets")
            .ok_or_else(|| ClientError::answer(self.host(), "the id of a secret is none"))?;
        Ok(Secret {
            version: version.to_owned(),
            value: bundle.value,
            content_type: bundle.content_type,
            tags: bundle.tags.unwrap_or_default(),
            enabled: bundle.attributes.enabled,
        })
    }

    /// Sets a secret: makes a new version, which is returned.
    ///
    /// # Errors
    /// As [`key`](Self::key), and [`ErrorKind::Conflict`] when a deleted secret holds the name.
    pub fn set_secret(&self, name: &str, secret: &NewSecret<'_>) -> Result<String> {
        let NewSecret { value, content_type, tags } = secret;
        let room = 2 * value.len() + 4096;
        let body = json(&SetSecret { value, content_type: *content_type, tags }, room)?;
        let url = self.url(&format!("secrets/{}", check_label("name", name)?));
        let reply = self.client.ask_vault(Ask { method: "PUT", body: &body, ..Ask::get(&url) })?;
        let bundle: SecretBundle = parse(&self.good(reply, true)?, self.host())?;
        let (_, version) = wire::name_and_version(&bundle.id, "secrets")
            .ok_or_else(|| ClientError::answer(self.host(), "the id of a secret is none"))?;
        Ok(version.to_owned())
    }

    /// Whether the principal has a right. Servers do not say so when asked; they refuse before they look whether there
    /// is what they were asked for. So something is asked for that is not there.
    ///
    /// # Errors
    /// [`ErrorKind::VaultNotFound`] and those of the way there.
    pub fn may(&self, right: Right) -> Result<bool> {
        let list = |collection| format!("https://{}/{collection}?{API_VERSION}&maxresults=1", self.host());
        let (method, url) = match right {
            Right::GetKeys => ("GET", self.url(&format!("keys/{NOBODY}/"))),
            Right::ListKeys => ("GET", list("keys")),
            Right::BackupKeys => ("POST", self.url(&format!("keys/{NOBODY}/backup"))),
            Right::GetSecrets => ("GET", self.url(&format!("secrets/{NOBODY}/"))),
            Right::ListSecrets => ("GET", list("secrets")),
        };
        match self.good(self.client.ask_vault(Ask { method, ..Ask::get(&url) })?, false) {
            Ok(_) => Ok(true),
            Err(error) => match error.kind() {
                ErrorKind::NotFound => Ok(true),
                ErrorKind::Forbidden => Ok(false),
                _ => Err(error),
            },
        }
    }

    /// Has captured keys tried on a header inside the key vault. `None` where the server has no such operation, as
    /// Azure's key vaults.
    ///
    /// # Errors
    /// As [`key`](Self::key), and [`ErrorKind::BadRequest`].
    pub fn prove(&self, question: &ProofQuestion<'_>) -> Result<Option<ProofReply>> {
        crate::proof::ask(self.client, self.host(), question)
    }
}
