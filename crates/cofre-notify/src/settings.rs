//! Whom to tell, in `config.json`.

use std::{net::IpAddr, path::PathBuf};

use cofre_arm::{ApiError, Result};
use serde::{Deserialize, Serialize};

use crate::{Channel, Mail, Webhook};

/// Whom to tell, and of what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct NotificationSettings {
    /// Programs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub webhooks: Vec<WebhookSettings>,
    /// People.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mail: Vec<MailSettings>,
    /// Minutes after its time from which on a scheduled backup that nobody began counts as missed.
    pub missed_after_minutes: u32,
}

impl Default for NotificationSettings {
    fn default() -> Self {
        Self { webhooks: Vec::new(), mail: Vec::new(), missed_after_minutes: 240 }
    }
}

/// A program that takes messages by HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebhookSettings {
    /// What it is called.
    pub name: String,
    /// Where messages go: HTTPS, or HTTP to this host.
    pub url: String,
    /// Header that carries the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// File with the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
}

/// How a mail server is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MailTls {
    /// TLS from STARTTLS on; nothing is sent without.
    #[default]
    StartTls,
    /// TLS from the first byte on.
    Always,
    /// None: to this host alone.
    None,
}

/// People who get mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MailSettings {
    /// What they are called.
    pub name: String,
    /// The mail server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How it is spoken to.
    #[serde(default)]
    pub tls: MailTls,
    /// Who mail is from.
    pub from: String,
    /// Who gets it.
    pub to: Vec<String>,
    /// Name to log in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// File with the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
}

impl NotificationSettings {
    /// The ways to tell. Secret files are read when something is sent.
    ///
    /// # Errors
    /// `InvalidParameter`, with what is wrong.
    pub fn channels(&self) -> Result<Vec<Box<dyn Channel>>> {
        let mut channels: Vec<Box<dyn Channel>> = Vec::new();
        for webhook in &self.webhooks {
            channels.push(Box::new(Webhook::new(webhook.clone())?));
        }
        for mail in &self.mail {
            channels.push(Box::new(Mail::new(mail.clone())?));
        }
        for (index, channel) in channels.iter().enumerate() {
            if channels[..index].iter().any(|other| other.name() == channel.name()) {
                let message = format!("two receivers of notifications are called {}", channel.name());
                return Err(ApiError::invalid(message));
            }
        }
        Ok(channels)
    }
}

/// Whether a host is this one, by its address or the name that always means it.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
