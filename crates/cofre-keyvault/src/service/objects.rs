//! What operations on keys and on secrets share: finding, adding, changing and listing versions.

use jiff::Timestamp;

use super::{KeyVaults, OpenVault, open_record, seal_record};
use crate::{
    attributes::{self, AttributesChange, Tags},
    audit::AuditEvent,
    bundle::{Page, PageRequest},
    crypto::random_id,
    error::{ErrorKind, KeyVaultError, Result},
    names,
    objects::{About, Head, Kind, Stored, Version},
    state::{Change, Record},
};

pub(super) fn no_object(kind: Kind, name: &str, vault: &OpenVault) -> KeyVaultError {
    KeyVaultError::new(
        ErrorKind::ObjectNotFound,
        format!("there is no {} {name} in the key vault {}", kind.noun(), vault.vault.name),
    )
}

/// How messages call a version.
pub(super) fn describe(kind: Kind, head: &Head, about: &About) -> String {
    format!("version {} of the {} {}", about.version, kind.noun(), head.name)
}

/// A new version's id, attributes and tags, checked. Its number comes with [`KeyVaults::add_version`].
pub(super) fn about(attributes: AttributesChange, tags: &Tags, now: Timestamp) -> Result<About> {
    attributes::check_tags(tags)?;
    let attributes = attributes::Attributes::new(attributes, now)?;
    Ok(About { version: random_id()?, sequence: 0, attributes, tags: tags.clone() })
}

/// Changes attributes and tags of a version there is.
pub(super) fn update_about(
    about: &mut About,
    attributes: AttributesChange,
    tags: Option<&Tags>,
    now: Timestamp,
) -> Result<()> {
    if let Some(tags) = tags {
        attributes::check_tags(tags)?;
        about.tags.clone_from(tags);
    }
    about.attributes = about.attributes.changed(attributes, now)?;
    Ok(())
}

impl KeyVaults {
    /// The head of an object, be it deleted or not.
    pub(super) fn head(&self, vault: &OpenVault, kind: Kind, name: &str) -> Result<Option<Stored<Head>>> {
        names::check_object_name(name)?;
        let Some(record) = self.read(&kind.head(&vault.key.id, name))? else { return Ok(None) };
        unseal(vault, record).map(Some)
    }

    /// The head of an object that is not deleted.
    fn live_head(&self, vault: &OpenVault, kind: Kind, name: &str) -> Result<Stored<Head>> {
        let head = self.head(vault, kind, name)?.ok_or_else(|| no_object(kind, name, vault))?;
        let Some(mark) = head.body.deletion else { return Ok(head) };
        let Some(deletion) = mark.recoverable(self.clock.now()) else {
            return Err(no_object(kind, name, vault));
        };
        Err(KeyVaultError::new(
            ErrorKind::ObjectNotFound,
            format!(
                "the {} {} in the key vault {} was deleted: it can be recovered until {}",
                kind.noun(),
                head.body.name,
                vault.vault.name,
                deletion.scheduled_purge
            ),
        ))
    }

    /// The head of the object that has a name; refuses a name that a deleted one holds. What is left of
    /// one whose scheduled date has come is removed first.
    pub(super) fn claim(
        &self,
        vault: &OpenVault,
        kind: Kind,
        name: &str,
        event: &AuditEvent,
    ) -> Result<Option<Stored<Head>>> {
        let Some(head) = self.head(vault, kind, name)? else { return Ok(None) };
        let Some(mark) = head.body.deletion else { return Ok(Some(head)) };
        if let Some(deletion) = mark.recoverable(self.clock.now()) {
            return Err(KeyVaultError::new(
                ErrorKind::SoftDeleted,
                format!(
                    "the name {} is held by a deleted {} of the key vault {} until {}: recover it, or purge it",
                    head.body.name,
                    kind.noun(),
                    vault.vault.name,
                    deletion.scheduled_purge
                ),
            ));
        }
        self.finish_object_purge(vault, kind, name, event)?;
        self.head(vault, kind, name)
    }

    /// A version, or the current one.
    pub(super) fn find<T: Version>(
        &self,
        vault: &OpenVault,
        name: &str,
        version: Option<&str>,
    ) -> Result<(Stored<Head>, Stored<T>)> {
        version.map_or(Ok(()), names::check_version)?;
        let head = self.live_head(vault, T::KIND, name)?;
        let found = self.version(vault, &head.body, version)?;
        Ok((head, found))
    }

    /// A version of an object, or its current one.
    pub(super) fn version<T: Version>(
        &self,
        vault: &OpenVault,
        head: &Head,
        version: Option<&str>,
    ) -> Result<Stored<T>> {
        let version = version.unwrap_or(&head.current);
        let record = self.read(&T::KIND.version(&vault.key.id, &head.name, version))?.ok_or_else(|| {
            KeyVaultError::new(
                ErrorKind::ObjectNotFound,
                format!(
                    "the {} {} in the key vault {} has no version {version}",
                    T::KIND.noun(),
                    head.name,
                    vault.vault.name
                ),
            )
        })?;
        unseal(vault, record)
    }

    /// The changes that make `version` the newest and current one of its name.
    pub(super) fn add_version<T: Version>(
        &self,
        vault: &OpenVault,
        name: &str,
        version: &mut T,
        event: &AuditEvent,
    ) -> Result<(Head, Vec<Change>)> {
        let created = version.about().attributes.created;
        let current = version.about().version.clone();
        let path = T::KIND.head(&vault.key.id, name);
        let (head, change) = match self.claim(vault, T::KIND, name, event)? {
            None => {
                let head = Head { name: name.to_owned(), current, next: 1, created, deletion: None };
                let body = seal_record(&vault.key, &path, &head)?;
                version.about_mut().sequence = 0;
                (head, Change::Create { path, body })
            }
            Some(Stored { revision, body: old, .. }) => {
                version.about_mut().sequence = old.next;
                let head = Head { current, next: old.next.saturating_add(1), ..old };
                let body = seal_record(&vault.key, &path, &head)?;
                (head, Change::Replace { path, revision, body })
            }
        };
        let added = create_version(vault, name, version)?;
        Ok((head, vec![change, added]))
    }

    /// The change that stores a version that was found and changed.
    pub(super) fn replace_version<T: Version>(
        &self,
        vault: &OpenVault,
        stored: &Stored<T>,
    ) -> Result<Change> {
        let body = seal_record(&vault.key, &stored.path, &stored.body)?;
        Ok(Change::Replace { path: stored.path.clone(), revision: stored.revision, body })
    }

    /// All versions, oldest first; more than `most` are refused.
    pub(super) fn all_versions<T: Version>(
        &self,
        vault: &OpenVault,
        head: &Head,
        most: usize,
    ) -> Result<Vec<T>> {
        let records = self.list_all(&T::KIND.versions(&vault.key.id, &head.name), most)?;
        if records.len() > most {
            return Err(KeyVaultError::new(
                ErrorKind::TooManyVersions,
                format!(
                    "the {} {} has more than {most} versions: it cannot be backed up",
                    T::KIND.noun(),
                    head.name
                ),
            ));
        }
        let mut versions = Vec::with_capacity(records.len());
        for record in records {
            versions.push(unseal::<T>(vault, record)?.body);
        }
        versions.sort_by_key(|version| version.about().sequence);
        Ok(versions)
    }

    /// Names that are not deleted, and their current versions.
    pub(super) fn list_objects<T: Version, I>(
        &self,
        vault: &OpenVault,
        page: PageRequest<'_>,
        item: impl Fn(&OpenVault, &Head, T) -> I,
    ) -> Result<Page<I>> {
        self.page_of(&T::KIND.heads(&vault.key.id), page, |record| {
            let head = unseal::<Head>(vault, record)?.body;
            if head.deletion.is_some() {
                return Ok(None);
            }
            Ok(self.current::<T>(vault, &head)?.map(|version| item(vault, &head, version)))
        })
    }

    /// The current version of an object, unless it was purged since.
    pub(super) fn current<T: Version>(&self, vault: &OpenVault, head: &Head) -> Result<Option<T>> {
        let record = self.read(&T::KIND.version(&vault.key.id, &head.name, &head.current))?;
        record.map(|record| Ok(unseal::<T>(vault, record)?.body)).transpose()
    }

    /// The versions of one name, by id.
    pub(super) fn list_versions<T: Version, I>(
        &self,
        vault: &OpenVault,
        name: &str,
        page: PageRequest<'_>,
        item: impl Fn(&OpenVault, &Head, T) -> I,
    ) -> Result<Page<I>> {
        let head = self.live_head(vault, T::KIND, name)?.body;
        self.page_of(&T::KIND.versions(&vault.key.id, name), page, |record| {
            Ok(Some(item(vault, &head, unseal::<T>(vault, record)?.body)))
        })
    }
}

/// The change that stores a new version.
pub(super) fn create_version<T: Version>(vault: &OpenVault, name: &str, version: &T) -> Result<Change> {
    let path = T::KIND.version(&vault.key.id, name, &version.about().version);
    let body = seal_record(&vault.key, &path, version)?;
    Ok(Change::Create { path, body })
}

pub(super) fn unseal<T: serde::de::DeserializeOwned>(vault: &OpenVault, record: Record) -> Result<Stored<T>> {
    let body = open_record(&vault.key, &record.path, &record.body)?;
    Ok(Stored { path: record.path, revision: record.revision, body })
}
