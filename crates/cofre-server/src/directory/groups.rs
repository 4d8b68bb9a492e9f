//! Resource groups.

use std::collections::BTreeMap;

use cofre_arm::{ApiError, Problem, ResourceId, Result};
use cofre_store::Change;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Actor, Directory, decode, encode, unavailable};

/// Kind of the documents.
const KIND: &str = "resource-group";
/// The group that is there from the start.
pub const DEFAULT_GROUP: &str = "default";

/// A resource group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// The name as created.
    pub name: String,
    /// The region.
    pub location: String,
    /// Tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// When it was made.
    pub created: Timestamp,
    /// The revision it was read at.
    #[serde(skip)]
    pub revision: u64,
}

impl Directory {
    fn group_path(&self, name: &str) -> Result<String> {
        Ok(ResourceId::group(&self.subscription, name)?.key())
    }

    /// A group by its name.
    ///
    /// # Errors
    /// `ResourceGroupNotFound`, with the code that clients look for.
    pub fn group(&self, name: &str) -> Result<Group> {
        let path = self.group_path(name)?;
        let found = self.store.read(&path).map_err(unavailable)?.filter(|document| document.kind == KIND);
        let document = found.ok_or_else(|| {
            ApiError::new(Problem::GroupNotFound, format!("Resource group '{name}' could not be found."))
        })?;
        Ok(Group { revision: document.revision, ..decode(&path, &document.body)? })
    }

    /// All groups, by name.
    ///
    /// # Errors
    /// Those of the database.
    pub fn groups(&self) -> Result<Vec<Group>> {
        const PAGE: usize = 500;
        let below = format!("{}/resourcegroups/", self.subscription_scope().to_lowercase());
        let (mut groups, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = self.store.list_kind(KIND, &below, after.as_deref(), PAGE).map_err(unavailable)?;
            for document in &page {
                groups.push(Group { revision: document.revision, ..decode(&document.path, &document.body)? });
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.path.clone()),
                _ => return Ok(groups),
            }
        }
    }

    /// Makes a group or replaces its tags. The second part says whether it is new.
    ///
    /// # Errors
    /// `InvalidParameter` for an impossible name or tags, `Conflict` when it is in another region or was changed at the
    /// same time.
    pub fn put_group(
        &self,
        actor: &Actor,
        name: &str,
        location: &str,
        tags: BTreeMap<String, String>,
    ) -> Result<(Group, bool)> {
        check_name(name)?;
        if location.is_empty() || location.len() > 90 || location.chars().any(char::is_control) {
            return Err(ApiError::invalid("the location of a resource group has 1 to 90 characters"));
        }
        check_tags(&tags)?;
        let path = self.group_path(name)?;
        match self.group(name) {
            Ok(old) if !old.location.eq_ignore_ascii_case(location) => Err(ApiError::new(
                Problem::Conflict,
                format!(
                    "the resource group {name} is in {}, and cannot be moved to {location}",
                    old.location
                ),
            )),
            Ok(old) => {
                let group = Group { tags, ..old };
                let body = encode("a resource group", &group)?;
                let change = Change::Replace { path, revision: group.revision, body };
                self.commit(actor, "updateGroup", name, vec![change])?;
                Ok((self.group(name)?, false))
            }
            Err(error) if error.problem() == Problem::GroupNotFound => {
                let (name_kept, location) = (name.to_owned(), location.to_owned());
                let group = Group { name: name_kept, location, tags, created: self.now(), revision: 0 };
                let body = encode("a resource group", &group)?;
                self.commit(
                    actor,
                    "createGroup",
                    name,
                    vec![Change::Create { path, kind: KIND.to_owned(), body }],
                )?;
                Ok((self.group(name)?, true))
            }
            Err(error) => Err(error),
        }
    }

    /// Refuses when the database holds anything below a group.
    ///
    /// # Errors
    /// `Conflict`, with what is there.
    pub fn check_empty(&self, name: &str) -> Result<()> {
        let path = self.group_path(name)?;
        let inside = self.store.list(&format!("{path}/"), None, 3).map_err(unavailable)?;
        if !inside.is_empty() {
            let names: Vec<_> =
                inside.iter().map(|document| document.path[path.len() + 1..].to_owned()).collect();
            return Err(ApiError::new(
                Problem::Conflict,
                format!("the resource group {name} holds backups or machines: {}", names.join(", ")),
            )
            .recommend("Remove them first: backups are never deleted along with a group."));
        }
        Ok(())
    }

    /// Deletes an empty group.
    ///
    /// # Errors
    /// `ResourceNotFound`; those of [`check_empty`](Self::check_empty).
    pub fn delete_group(&self, actor: &Actor, name: &str) -> Result<()> {
        let group = self.group(name)?;
        self.check_empty(name)?;
        let path = self.group_path(name)?;
        self.commit(actor, "deleteGroup", name, vec![Change::Delete { path, revision: Some(group.revision) }])
    }
}

/// Published rule: 1 to 90 letters, digits, `_`, `-`, `.` and parentheses, no full stop at the end.
fn check_name(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '(' | ')');
    if (1..=90).contains(&name.chars().count()) && name.chars().all(allowed) && !name.ends_with('.') {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "{name:?} cannot be the name of a resource group: 1 to 90 letters, digits, `_`, `-`, `.` and parentheses, no \
         full stop at the end"
    )))
}

/// Published rule for resources: at most 50 tags, names of at most 512 and values of at most 256 characters.
pub(crate) fn check_tags(tags: &BTreeMap<String, String>) -> Result<()> {
    let fits = |(name, value): (&String, &String)| {
        (1..=512).contains(&name.chars().count()) && value.chars().count() <= 256
    };
    if tags.len() <= 50 && tags.iter().all(fits) {
        return Ok(());
    }
    Err(ApiError::invalid(
        "a resource has at most 50 tags, with names of 1 to 512 and values of at most 256 characters",
    ))
}
