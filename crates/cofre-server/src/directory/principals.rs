//! Principals: applications that log in with a credential of their own.

use cofre_arm::{ApiError, Problem, Result};
use cofre_store::Change;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Actor, Credential, Directory, encode, guid, new_guid, snapshot::PRINCIPALS};

/// Kind of the documents.
pub(super) const KIND: &str = "principal";
/// Most credentials of one principal.
const MOST_CREDENTIALS: usize = 20;

/// Somebody who can log in, or whom policies can name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Principal {
    /// The object id: what policies and assignments name.
    pub object_id: String,
    /// The application id: what a login names.
    pub application_id: String,
    /// The name.
    pub display_name: String,
    /// When it was made.
    pub created: Timestamp,
    /// What it logs in with; none for those who never do.
    #[serde(default)]
    pub credentials: Vec<Credential>,
}

pub(super) fn path(object_id: &str) -> String {
    format!("{PRINCIPALS}{}", object_id.to_ascii_lowercase())
}

impl Directory {
    /// Makes a principal, with fresh ids where none are given.
    ///
    /// # Errors
    /// `InvalidParameter`, `Conflict` when an id or name is taken.
    pub fn create_principal(
        &self,
        actor: &Actor,
        name: &str,
        object_id: Option<&str>,
        application_id: Option<&str>,
    ) -> Result<Principal> {
        if name.trim().is_empty() || name.chars().count() > 120 || name.chars().any(char::is_control) {
            return Err(ApiError::invalid("the name of a principal has 1 to 120 characters"));
        }
        let id = |what, given: Option<&str>| given.map_or_else(new_guid, |given| guid(what, given));
        let principal = Principal {
            object_id: id("object id", object_id)?,
            application_id: id("application id", application_id)?,
            display_name: name.to_owned(),
            created: self.now(),
            credentials: Vec::new(),
        };
        let taken = self.fresh()?.principals().any(|other| {
            other.application_id == principal.application_id || other.display_name.eq_ignore_ascii_case(name)
        });
        if taken {
            return Err(ApiError::new(
                Problem::Conflict,
                format!("there is a principal {name}, or one of the same application id"),
            ));
        }
        let change = Change::Create {
            path: path(&principal.object_id),
            kind: KIND.to_owned(),
            body: encode("a principal", &principal)?,
        };
        self.commit(actor, "createPrincipal", &principal.object_id, vec![change])?;
        Ok(principal)
    }

    /// The principal of an object id, application id or name.
    ///
    /// # Errors
    /// `ResourceNotFound`.
    pub fn principal(&self, of: &str) -> Result<Principal> {
        let snapshot = self.fresh()?;
        snapshot
            .principal(of)
            .or_else(|| snapshot.application(of))
            .or_else(|| {
                snapshot.principals().find(|principal| principal.display_name.eq_ignore_ascii_case(of))
            })
            .cloned()
            .ok_or_else(|| {
                ApiError::new(Problem::NotFound, format!("there is no principal {of:?}"))
                    .recommend("`cofre principal list` shows them.")
            })
    }

    /// Deletes a principal with its role assignments. Its tokens are refused from then on; access policies that name
    /// it stay, and mean nobody.
    ///
    /// # Errors
    /// `ResourceNotFound`, `Conflict`.
    pub fn delete_principal(&self, actor: &Actor, of: &str) -> Result<Principal> {
        let principal = self.principal(of)?;
        let snapshot = self.fresh()?;
        let mut changes = vec![Change::Delete { path: path(&principal.object_id), revision: None }];
        changes.extend(snapshot.assignments_of(&principal.object_id).map(|assignment| Change::Delete {
            path: super::assignments::path(&assignment.id),
            revision: None,
        }));
        self.commit(actor, "deletePrincipal", &principal.object_id, changes)?;
        Ok(principal)
    }

    /// Gives a principal another credential.
    ///
    /// # Errors
    /// `ResourceNotFound`, `Conflict`, `InvalidParameter` when it has too many.
    pub fn add_credential(&self, actor: &Actor, of: &str, credential: Credential) -> Result<Principal> {
        let subject = credential.id.clone();
        self.change_credentials(actor, of, "addCredential", &subject, |credentials| {
            if credentials.len() >= MOST_CREDENTIALS {
                return Err(ApiError::invalid(format!(
                    "a principal has at most {MOST_CREDENTIALS} credentials: remove one first"
                )));
            }
            credentials.push(credential.clone());
            Ok(())
        })
    }

    /// Takes a credential away. Tokens it gave are refused from then on.
    ///
    /// # Errors
    /// `ResourceNotFound`, `Conflict`.
    pub fn remove_credential(&self, actor: &Actor, of: &str, id: &str) -> Result<Principal> {
        self.change_credentials(actor, of, "removeCredential", id, |credentials| {
            let before = credentials.len();
            credentials.retain(|credential| !credential.id.eq_ignore_ascii_case(id));
            if credentials.len() == before {
                return Err(ApiError::new(
                    Problem::NotFound,
                    format!("the principal has no credential {id}"),
                ));
            }
            Ok(())
        })
    }

    fn change_credentials(
        &self,
        actor: &Actor,
        of: &str,
        operation: &str,
        subject: &str,
        change: impl FnOnce(&mut Vec<Credential>) -> Result<()>,
    ) -> Result<Principal> {
        let path = path(&self.principal(of)?.object_id);
        let document = self.store.read(&path).map_err(super::unavailable)?;
        let document = document.ok_or_else(|| ApiError::new(Problem::NotFound, "the principal is gone"))?;
        let mut principal: Principal = super::decode(&path, &document.body)?;
        change(&mut principal.credentials)?;
        let body = encode("a principal", &principal)?;
        let subject = format!("{} {subject}", principal.object_id);
        self.commit(
            actor,
            operation,
            &subject,
            vec![Change::Replace { path, revision: document.revision, body }],
        )?;
        Ok(principal)
    }
}
