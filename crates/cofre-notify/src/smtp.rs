//! Messages by mail.

use std::{fmt, time::Duration};

use cofre_arm::{ApiError, Problem, Result};
use lettre::{
    Message, SmtpTransport, Transport as _,
    message::{Mailbox, header::ContentType},
    transport::smtp::{
        authentication::Credentials,
        client::{Tls, TlsParameters},
    },
};

use crate::{Channel, MailSettings, MailTls, Notification, secret, settings::is_loopback};

/// How long the server may take for each step.
const PATIENCE: Duration = Duration::from_secs(20);

/// People who get mail.
pub struct Mail {
    settings: MailSettings,
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail").field("name", &self.settings.name).finish_non_exhaustive()
    }
}

impl Mail {
    /// A receiver of mail; nothing is sent yet.
    ///
    /// # Errors
    /// `InvalidParameter` for addresses that are none, for a user without a password, and for a server elsewhere that is
    /// to be spoken to without TLS.
    pub fn new(settings: MailSettings) -> Result<Self> {
        let name = &settings.name;
        let mailbox = |text: &String| {
            text.parse::<Mailbox>()
                .map_err(|_| ApiError::invalid(format!("{text:?} is no mail address, in the mail {name}")))
        };
        let from = mailbox(&settings.from)?;
        let to = settings.to.iter().map(mailbox).collect::<Result<Vec<_>>>()?;
        if to.is_empty() {
            return Err(ApiError::invalid(format!("the mail {name} is for nobody")));
        }
        if settings.user.is_some() != settings.password_file.is_some() {
            let message = format!("the mail {name} has a user or a password file, not both");
            return Err(ApiError::invalid(message).recommend("Set `user` and `passwordFile`, or neither."));
        }
        if settings.tls == MailTls::None && !is_loopback(&settings.host) {
            let message = format!("the mail {name} would go to {} without TLS", settings.host);
            return Err(ApiError::invalid(message).recommend("Set `tls` to startTls or always."));
        }
        Ok(Self { settings, from, to })
    }

    fn transport(&self) -> Result<SmtpTransport> {
        let MailSettings { name, host, port, tls, user, password_file, .. } = &self.settings;
        let parameters = || {
            TlsParameters::new(host.clone()).map_err(|e| {
                let message = format!("no TLS for the mail server of {name}");
                ApiError::new(Problem::StateUnavailable, message).because(e)
            })
        };
        let tls = match tls {
            MailTls::StartTls => Tls::Required(parameters()?),
            MailTls::Always => Tls::Wrapper(parameters()?),
            MailTls::None => Tls::None,
        };
        let mut builder =
            SmtpTransport::builder_dangerous(host.as_str()).port(*port).tls(tls).timeout(Some(PATIENCE));
        if let (Some(user), Some(file)) = (user, password_file) {
            let password = secret::read(file)?;
            builder = builder.credentials(Credentials::new(user.clone(), password.to_string()));
        }
        Ok(builder.build())
    }
}

impl Channel for Mail {
    fn name(&self) -> &str {
        &self.settings.name
    }

    fn send(&self, notification: &Notification) -> Result<()> {
        let name = &self.settings.name;
        let failed = |what: &str| {
            ApiError::new(Problem::StateUnavailable, format!("mail to {name} {what}")).recommend(
                "Look at the settings of the mail server, and try it with `cofre notifications test`.",
            )
        };
        // A line break in a subject would begin another header.
        let subject: String =
            notification.summary.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
        let mut text = format!("{}\n\n{}\n", notification.summary, notification.text);
        for (what, value) in [
            ("kind", Some(notification.kind.name())),
            ("resource", notification.resource_id.as_deref()),
            ("job", notification.job_id.as_deref()),
            ("code", notification.code.as_deref()),
            ("message", Some(notification.id.as_str())),
        ] {
            if let Some(value) = value {
                text.push_str(&format!("\n{what}: {value}"));
            }
        }
        text.push_str(&format!("\ntime: {}\n", notification.time));
        let mut message = Message::builder().from(self.from.clone()).subject(format!("cofre: {subject}"));
        for to in &self.to {
            message = message.to(to.clone());
        }
        let message = message
            .header(ContentType::TEXT_PLAIN)
            .body(text)
            .map_err(|e| failed("cannot be written").because(e))?;
        self.transport()?.send(&message).map_err(|e| failed("was not taken by the server").because(e))?;
        Ok(())
    }
}
