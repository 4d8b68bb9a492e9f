//! Messages to people and programs: what happened, sent by HTTP or by mail. Knows no database: whoever calls keeps what
//! is to be sent, and sends again what failed.

mod message;
mod secret;
mod settings;
mod smtp;
mod webhook;

pub use self::{
    message::{Kind, Notification},
    settings::{MailSettings, MailTls, NotificationSettings, WebhookSettings},
    smtp::Mail,
    webhook::Webhook,
};

/// A way to tell somebody.
pub trait Channel: Send + Sync {
    /// What it is called in the settings.
    fn name(&self) -> &str;

    /// Tells; blocks until the other side took it.
    ///
    /// # Errors
    /// Why it did not, without secrets: it is tried again later.
    fn send(&self, notification: &Notification) -> cofre_arm::Result<()>;
}
