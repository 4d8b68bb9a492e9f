//! What operations on keys and on secrets share: finding, adding, changing, listing and deleting versions.

use jiff::Timestamp;

use super::{KeyVaults, OpenVault, open_record, seal_record};
use crate::{
    attributes::{self, AttributesChange, Tags},
    bundle::{Page, PageRequest},
    crypto::random_id,
    error::{ErrorKind, KeyVaultError, Result},
    names,
    objects::{About, Head, Kind, Stored, Version},
    state::{Change, Record},
};

fn no_object(kind: Kind, name: &str, vault: &OpenVault) -> KeyVaultError {
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
    pub(super) fn head(&self, vault: &OpenVault, kind: Kind, name: &str) -> Result<Option<Stored<Head>>> {
        names::check_object_name(name)?;
        let Some(record) = self.read(&kind.head(&vault.key.id, name))? else { return Ok(None) };
        unseal(vault, record).map(Some)
    }

    /// A version, or the current one.
    pub(super) fn find<T: Version>(
        &self,
        vault: &OpenVault,
        name: &str,
        version: Option<&str>,
    ) -> Result<(Stored<Head>, Stored<T>)> {
        version.map_or(Ok(()), names::check_version)?;
        let head = self.head(vault, T::KIND, name)?.ok_or_else(|| no_object(T::KIND, name, vault))?;
        let version = version.unwrap_or(&head.body.current);
        let record = self.read(&T::KIND.version(&vault.key.id, name, version))?.ok_or_else(|| {
            KeyVaultError::new(
                ErrorKind::ObjectNotFound,
                format!(
                    "the {} {} in the key vault {} has no version {version}",
                    T::KIND.noun(),
                    head.body.name,
                    vault.vault.name
                ),
            )
        })?;
        let found = unseal(vault, record)?;
        Ok((head, found))
    }

    /// The changes that make `version` the newest and current one of its name.
    pub(super) fn add_version<T: Version>(
        &self,
        vault: &OpenVault,
        name: &str,
        version: &mut T,
    ) -> Result<(Head, Vec<Change>)> {
        let created = version.about().attributes.created;
        let current = version.about().version.clone();
        let path = T::KIND.head(&vault.key.id, name);
        let (head, change) = match self.head(vault, T::KIND, name)? {
            None => {
                let head = Head { name: name.to_owned(), current, next: 1, created };
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

    /// Names and their current versions.
    pub(super) fn list_objects<T: Version, I>(
        &self,
        vault: &OpenVault,
        page: PageRequest<'_>,
        item: impl Fn(&Head, T) -> I,
    ) -> Result<Page<I>> {
        let prefix = T::KIND.heads(&vault.key.id);
        let after = page.after.map(|name| T::KIND.head(&vault.key.id, name));
        let records = self.list(&prefix, after.as_deref(), page.bounded())?;
        let next = next(&records, &prefix, page);
        let mut items = Vec::with_capacity(records.len());
        for record in records {
            let head: Stored<Head> = unseal(vault, record)?;
            let path = T::KIND.version(&vault.key.id, &head.body.name, &head.body.current);
            // One that was deleted since is not listed.
            if let Some(version) = self.read(&path)? {
                items.push(item(&head.body, unseal::<T>(vault, version)?.body));
            }
        }
        Ok(Page { items, next })
    }

    /// The versions of one name, by id.
    pub(super) fn list_versions<T: Version, I>(
        &self,
        vault: &OpenVault,
        name: &str,
        page: PageRequest<'_>,
        item: impl Fn(&Head, T) -> I,
    ) -> Result<Page<I>> {
        let head = self.head(vault, T::KIND, name)?.ok_or_else(|| no_object(T::KIND, name, vault))?;
        let prefix = T::KIND.versions(&vault.key.id, name);
        let after = page.after.map(|version| T::KIND.version(&vault.key.id, name, version));
        let records = self.list(&prefix, after.as_deref(), page.bounded())?;
        let next = next(&records, &prefix, page);
        let mut items = Vec::with_capacity(records.len());
        for record in records {
            items.push(item(&head.body, unseal::<T>(vault, record)?.body));
        }
        Ok(Page { items, next })
    }

    /// The changes that delete an object with all versions, and its current version.
    pub(super) fn delete_object<T: Version>(
        &self,
        vault: &OpenVault,
        name: &str,
    ) -> Result<(Head, T, Vec<Change>)> {
        let (head, current) = self.find::<T>(vault, name, None)?;
        let records = self.list_all(&T::KIND.versions(&vault.key.id, name), usize::MAX)?;
        let mut changes = vec![Change::Delete { path: head.path, revision: head.revision }];
        changes.extend(
            records.into_iter().map(|Record { path, revision, .. }| Change::Delete { path, revision }),
        );
        Ok((head.body, current.body, changes))
    }
}

/// The change that stores a new version.
pub(super) fn create_version<T: Version>(vault: &OpenVault, name: &str, version: &T) -> Result<Change> {
    let path = T::KIND.version(&vault.key.id, name, &version.about().version);
    let body = seal_record(&vault.key, &path, version)?;
    Ok(Change::Create { path, body })
}

fn unseal<T: serde::de::DeserializeOwned>(vault: &OpenVault, record: Record) -> Result<Stored<T>> {
    let body = open_record(&vault.key, &record.path, &record.body)?;
    Ok(Stored { path: record.path, revision: record.revision, body })
}

fn next(records: &[Record], prefix: &str, page: PageRequest<'_>) -> Option<String> {
    let last = records.last().filter(|_| records.len() == page.bounded())?;
    last.path.strip_prefix(prefix).map(str::to_owned)
}
