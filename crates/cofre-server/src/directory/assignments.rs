//! Role assignments: a role, to a principal, at a scope.

use cofre_arm::{ApiError, Problem, ResourceId, Result, RoleDefinition};
use cofre_store::Change;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Actor, Directory, encode, guid, new_guid, snapshot::ASSIGNMENTS};

/// Kind of the documents.
pub(super) const KIND: &str = "role-assignment";
/// Most assignments there may be.
const MOST: usize = 10_000;

/// A role that a principal has at a scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assignment {
    /// The id, a GUID.
    pub id: String,
    /// Where it counts: `/subscriptions/S`, a group, or a resource.
    pub scope: String,
    /// The id of the role.
    pub role: String,
    /// The object id of the principal.
    pub principal: String,
    /// When it was made.
    pub created: Timestamp,
}

/// An assignment to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewAssignment<'a> {
    /// Its id; `None` makes one.
    pub id: Option<&'a str>,
    /// See [`Assignment::scope`].
    pub scope: &'a str,
    /// Name or id of the role.
    pub role: &'a str,
    /// Object id of the principal, who need not be there yet.
    pub principal: &'a str,
}

pub(super) fn path(id: &str) -> String {
    format!("{ASSIGNMENTS}{}", id.to_ascii_lowercase())
}

impl Directory {
    /// Assigns a role. The same assignment made twice is one.
    ///
    /// # Errors
    /// `InvalidParameter` for an unknown role, or a scope outside the subscription; `Conflict` when the id is another
    /// assignment's, or the principal has the role there under another id.
    pub fn assign(&self, actor: &Actor, new: NewAssignment<'_>) -> Result<Assignment> {
        let role = RoleDefinition::find(new.role).ok_or_else(|| {
            ApiError::invalid(format!("there is no role {:?}", new.role))
                .recommend("`cofre role definition list` shows them.")
        })?;
        let scope: ResourceId = new.scope.parse()?;
        if !scope.subscription().eq_ignore_ascii_case(&self.subscription) {
            return Err(ApiError::invalid(format!(
                "the scope {scope} lies outside the subscription {}",
                self.subscription
            )));
        }
        let id = new.id.map_or_else(new_guid, |id| guid("id of a role assignment", id))?;
        let principal = guid("object id of the principal", new.principal)?;
        let assignment = Assignment {
            id,
            scope: scope.as_str().to_owned(),
            role: role.id.to_owned(),
            principal,
            created: self.now(),
        };
        let snapshot = self.fresh()?;
        let same = |other: &&Assignment| {
            other.role == assignment.role
                && other.principal == assignment.principal
                && other.scope.eq_ignore_ascii_case(&assignment.scope)
        };
        if let Some(there) = snapshot.assignments().find(same) {
            if new.id.is_none_or(|_| there.id == assignment.id) {
                return Ok(there.clone());
            }
            return Err(ApiError::new(
                Problem::Conflict,
                format!("the role assignment already exists, with the id {}", there.id),
            ));
        }
        if snapshot.assignments().any(|other| other.id == assignment.id) {
            return Err(ApiError::new(
                Problem::Conflict,
                "the id is that of another role assignment, and an assignment cannot be changed",
            ));
        }
        if snapshot.assignments().count() >= MOST {
            return Err(ApiError::new(
                Problem::Conflict,
                format!("there are {MOST} role assignments, the most there may be"),
            ));
        }
        let change = Change::Create {
            path: path(&assignment.id),
            kind: KIND.to_owned(),
            body: encode("a role assignment", &assignment)?,
        };
        let subject = format!("{} {} {}", assignment.principal, role.name, assignment.scope);
        self.commit(actor, "assignRole", &subject, vec![change])?;
        Ok(assignment)
    }

    /// Takes an assignment away; `None` when there was none.
    ///
    /// # Errors
    /// Those of the database.
    pub fn unassign(&self, actor: &Actor, id: &str) -> Result<Option<Assignment>> {
        let Some(assignment) = self.fresh()?.assignments().find(|a| a.id.eq_ignore_ascii_case(id)).cloned()
        else {
            return Ok(None);
        };
        let change = Change::Delete { path: path(&assignment.id), revision: None };
        let subject = format!("{} {} {}", assignment.principal, assignment.role, assignment.scope);
        self.commit(actor, "unassignRole", &subject, vec![change])?;
        Ok(Some(assignment))
    }
}
