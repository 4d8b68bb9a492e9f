//! `cofre principal …`: who may log in, and with what.

use std::{fs, path::PathBuf};

use clap::{Args, Subcommand};
use cofre_arm::{ApiError, Problem};
use cofre_keyvault::{Clock as _, SystemClock};
use cofre_server::directory::{Credential, Principal};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::table::{instant, instant_or_dash, table};
use crate::{
    Context, exit::Exit, home::operator_actor, output::Done, quantity::parse_duration, report::Result,
};

#[derive(Debug, Subcommand)]
pub(crate) enum PrincipalCommand {
    /// Makes a principal with a secret of its own
    #[command(
        after_help = "It may do nothing until it gets a role (`cofre role assignment create`) or an access policy.

Example:
  cofre principal create --name night-shift"
    )]
    Create(CreateArgs),
    /// Lists the principals
    List,
    /// Shows a principal and its credentials
    Show(NameArgs),
    /// Deletes a principal with its roles; its tokens are refused from then on
    Delete(NameArgs),
    /// What a principal logs in with
    #[command(subcommand)]
    Credential(CredentialCommand),
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Name of the principal
    #[arg(long, short = 'n', value_name = "NAME")]
    name: String,
    /// How long the secret is good for [default: for ever]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    expires_in: Option<SignedDuration>,
}

#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    /// Name, application id or object id of the principal
    #[arg(long, short = 'n', value_name = "PRINCIPAL")]
    name: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CredentialCommand {
    /// Gives a principal another secret, or lets it log in with a certificate or with tokens of another issuer
    #[command(after_help = "Example:
  cofre principal credential add --name night-shift
  cofre principal credential add --name night-shift --certificate public.pem
  cofre principal credential add --name ci --issuer https://ci.example.com --subject repo:main --keys jwks.json")]
    Add(AddArgs),
    /// Takes a credential away; tokens it gave are refused from then on
    Remove(RemoveArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    #[command(flatten)]
    principal: NameArgs,
    /// A file with an X.509 certificate in PEM, of an RSA key
    #[arg(long, value_name = "FILE", conflicts_with_all = ["issuer", "subject", "keys"])]
    certificate: Option<PathBuf>,
    /// Issuer of tokens that are trusted
    #[arg(long, value_name = "URL", requires_all = ["subject", "keys"])]
    issuer: Option<String>,
    /// Subject that the tokens must have
    #[arg(long, value_name = "TEXT", requires = "issuer")]
    subject: Option<String>,
    /// Audience that the tokens must have
    #[arg(long, value_name = "TEXT", default_value = "api://AzureADTokenExchange")]
    audience: String,
    /// A file with the issuer's public keys, a JSON Web Key Set
    #[arg(long, value_name = "FILE", requires = "issuer")]
    keys: Option<PathBuf>,
    /// How long the credential is good for [default: for ever]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    expires_in: Option<SignedDuration>,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    #[command(flatten)]
    principal: NameArgs,
    /// Id of the credential
    #[arg(long, value_name = "ID")]
    id: String,
}

fn principal_json(principal: &Principal) -> Value {
    let credential = |c: &Credential| {
        json!({
            "id": c.id, "kind": c.kind_name(), "created": c.created.to_string(),
            "expires": c.expires.map(|time| time.to_string()),
        })
    };
    json!({
        "name": principal.display_name, "objectId": principal.object_id, "applicationId": principal.application_id,
        "created": principal.created.to_string(),
        "credentials": principal.credentials.iter().map(credential).collect::<Vec<_>>(),
    })
}

fn read(file: &PathBuf) -> Result<Vec<u8>> {
    let fail =
        |error: std::io::Error| ApiError::invalid(format!("cannot read {}", file.display())).because(error);
    if fs::metadata(file).map_err(fail)?.len() > 1 << 20 {
        return Err(ApiError::invalid(format!("{} is too long", file.display())).into());
    }
    Ok(fs::read(file).map_err(fail)?)
}

pub(crate) fn run(command: PrincipalCommand, context: &Context) -> Result<Done> {
    let home = context.open_home()?;
    let (directory, actor, now) = (&home.directory, operator_actor(&home.config), SystemClock.now());
    let ours = [&home.config.operator.object_id, &home.config.backup_service.object_id];
    match command {
        PrincipalCommand::Create(args) => {
            let (credential, new) = Credential::secret(now, args.expires_in.map(|time| now + time))?;
            let principal = directory.create_principal(&actor, &args.name, None, None)?;
            let principal = directory.add_credential(&actor, &principal.object_id, credential)?;
            let mut json = principal_json(&principal);
            json["clientSecret"] = json!(new.secret.as_str());
            let text = format!(
                "{} was made. Its secret is shown this once.\n  client id      {}\n  client secret  {}\n  object id      {}\n",
                principal.display_name, principal.application_id, *new.secret, principal.object_id
            );
            Done::new(&json, text, Exit::Ok)
        }
        PrincipalCommand::List => {
            let snapshot = directory.fresh()?;
            let mut all: Vec<_> = snapshot.principals().collect();
            all.sort_by_key(|principal| (principal.created, principal.display_name.clone()));
            let row = |p: &&Principal| {
                let credentials = p.credentials.len().to_string();
                vec![p.display_name.clone(), p.application_id.clone(), p.object_id.clone(), credentials]
            };
            let rows: Vec<_> = all.iter().map(row).collect();
            let json: Vec<_> = all.into_iter().map(principal_json).collect();
            let text =
                table("There is nobody.", &["NAME", "APPLICATION ID", "OBJECT ID", "CREDENTIALS"], &rows);
            Done::new(&json!({"principals": json}), text, Exit::Ok)
        }
        PrincipalCommand::Show(args) => {
            let principal = directory.principal(&args.name)?;
            let mut text = format!(
                "{}\n  application id  {}\n  object id       {}\n\n",
                principal.display_name, principal.application_id, principal.object_id
            );
            let row = |c: &Credential| {
                vec![c.id.clone(), c.kind_name().to_owned(), instant(c.created), instant_or_dash(c.expires)]
            };
            let rows: Vec<_> = principal.credentials.iter().map(row).collect();
            text.push_str(&table(
                "It has no credentials.",
                &["CREDENTIAL", "KIND", "CREATED", "EXPIRES"],
                &rows,
            ));
            Done::new(&principal_json(&principal), text, Exit::Ok)
        }
        PrincipalCommand::Delete(args) => {
            let principal = directory.principal(&args.name)?;
            if ours.contains(&&principal.object_id) {
                let message = format!("{} belongs to the home itself", principal.display_name);
                return Err(ApiError::new(Problem::Conflict, message)
                    .recommend("Remove its credentials if it shall not log in.")
                    .into());
            }
            let gone = directory.delete_principal(&actor, &principal.object_id)?;
            let text = format!("{} was deleted, with its roles.\n", gone.display_name);
            Done::new(&principal_json(&gone), text, Exit::Ok)
        }
        PrincipalCommand::Credential(CredentialCommand::Add(args)) => {
            let expires = args.expires_in.map(|time| now + time);
            let (credential, new) = match (&args.certificate, &args.issuer, &args.subject, &args.keys) {
                (Some(file), ..) => (Credential::certificate(&read(file)?, now, expires)?, None),
                (None, Some(issuer), Some(subject), Some(keys)) => {
                    (Credential::federated(issuer, subject, &args.audience, &read(keys)?, now)?, None)
                }
                _ => Credential::secret(now, expires).map(|(credential, new)| (credential, Some(new)))?,
            };
            let (id, kind) = (credential.id.clone(), credential.kind_name());
            let principal = directory.add_credential(&actor, &args.principal.name, credential)?;
            let mut json = json!({"id": id, "kind": kind, "principal": principal_json(&principal)});
            let mut text = format!("{} has another credential, a {kind}: {id}\n", principal.display_name);
            if let Some(new) = new {
                json["clientSecret"] = json!(new.secret.as_str());
                text.push_str(&format!("  client secret  {}\nIt is shown this once.\n", *new.secret));
            }
            Done::new(&json, text, Exit::Ok)
        }
        PrincipalCommand::Credential(CredentialCommand::Remove(args)) => {
            let principal = directory.remove_credential(&actor, &args.principal.name, &args.id)?;
            let text = format!("{} no longer has that credential.\n", principal.display_name);
            Done::new(&principal_json(&principal), text, Exit::Ok)
        }
    }
}
