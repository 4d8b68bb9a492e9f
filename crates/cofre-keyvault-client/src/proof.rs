//! `POST /cofre/prove`: an operation of this project's own servers, not of the published contract.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::{
    client::{Client, json, parse},
    error::{ClientError, ErrorKind, Result, tidy},
    transport::Ask,
    wire,
};

/// Longest header that is sent, in bytes.
const LONGEST_HEADER: usize = 4 << 20;

/// A version of a key or secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectName<'a> {
    /// The name of its key vault.
    pub vault: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The version.
    pub version: &'a str,
}

/// Does this secret, unwrapped by the key in this blob, open this header?
pub struct ProofQuestion<'a> {
    /// The recovery point, as it is called outside.
    pub point: &'a str,
    /// The disk within it.
    pub disk: &'a str,
    /// The header, 4 MiB at most.
    pub header: &'a [u8],
    /// Bytes of the disk.
    pub data_size: u64,
    /// How the secret is wrapped.
    pub algorithm: &'a str,
    /// Which secret it was; its key vault is the one that is asked.
    pub secret: ObjectName<'a>,
    /// Its value, still wrapped.
    pub secret_value: &'a str,
    /// Which key of the blob wraps it.
    pub key: ObjectName<'a>,
    /// The key's backup blob.
    pub key_backup: &'a [u8],
}

/// The answer in a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProofWord {
    /// They open it.
    Proven,
    /// They were tried, and do not.
    DoesNotOpen,
    /// They were not tried, or not to the end.
    NotShown {
        /// Why not.
        reason: String,
    },
}

/// The answer.
#[derive(Clone, Debug)]
pub struct ProofReply {
    /// In a word.
    pub word: ProofWord,
    /// The server's own sealed record of it.
    pub record: Value,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    point: &'a str,
    disk: &'a str,
    header: &'a str,
    data_size: u64,
    algorithm: &'a str,
    secret: SecretBody<'a>,
    key: KeyBody<'a>,
    key_backup: &'a str,
}

#[derive(Serialize)]
struct SecretBody<'a> {
    name: &'a str,
    version: &'a str,
    value: &'a str,
}

#[derive(Serialize)]
struct KeyBody<'a> {
    vault: &'a str,
    name: &'a str,
    version: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    state: State,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum State {
    Proven,
    Captured { reason: String, detail: String },
}

pub(crate) fn ask(client: &Client, host: &str, question: &ProofQuestion<'_>) -> Result<Option<ProofReply>> {
    if question.header.len() > LONGEST_HEADER {
        return Err(ClientError::new(
            ErrorKind::Setting,
            format!("the header is longer than {LONGEST_HEADER} bytes: it is not sent"),
        ));
    }
    let (header, backup): (Zeroizing<String>, _) =
        (wire::text(question.header), wire::text(question.key_backup));
    let ProofQuestion { secret, key, .. } = question;
    let body = Body {
        point: question.point,
        disk: question.disk,
        header: &header,
        data_size: question.data_size,
        algorithm: question.algorithm,
        secret: SecretBody { name: secret.name, version: secret.version, value: question.secret_value },
        key: KeyBody { vault: key.vault, name: key.name, version: key.version },
        key_backup: &backup,
    };
    let body = json(&body, header.len() + backup.len() + 2 * question.secret_value.len() + 8192)?;
    let url = format!("https://{host}/cofre/prove?api-version=1.0");
    // Trying may take as long as the cost that the header asks for, after others that wait.
    let reply = client.ask_vault(Ask {
        method: "POST",
        body: &body,
        patience: Duration::from_secs(600),
        ..Ask::get(&url)
    })?;
    if reply.status != 200 {
        let error = wire::refusal(&reply, host, true);
        // Our own servers name what is missing; others know nothing of the path.
        let is_ours = error.code() == "KeyOrSecretNotFound";
        return match error.kind() {
            ErrorKind::NotSupported => Ok(None),
            ErrorKind::NotFound if !is_ours => Ok(None),
            _ => Err(error),
        };
    }
    let record: Value = parse(&reply, host)?;
    let state = Record::deserialize(&record)
        .map_err(|_| ClientError::answer(host, "the record of a proof is none"))?
        .state;
    let word = match state {
        State::Proven => ProofWord::Proven,
        State::Captured { reason, .. } if reason == "doesNotOpen" => ProofWord::DoesNotOpen,
        State::Captured { detail, .. } => ProofWord::NotShown { reason: tidy(&detail) },
    };
    Ok(Some(ProofReply { word, record }))
}
