//! Resources as documents of the database, with types.

use cofre_arm::{ApiError, Problem, ResourceId, Result};
use cofre_store::{Batch, Change, Document, ErrorKind, Store, StoreError};
use serde::{Serialize, de::DeserializeOwned};

/// A resource that is kept as one document.
pub(crate) trait Resource: Serialize + DeserializeOwned {
    /// The document's kind.
    const KIND: &'static str;
    /// What it is called in messages.
    const NOUN: &'static str;
    /// Its id; the document's path is the id's key.
    fn id(&self) -> &ResourceId;
}

/// A resource and the revision it was read at.
#[derive(Clone, Debug)]
pub(crate) struct Loaded<T> {
    pub(crate) value: T,
    pub(crate) revision: u64,
}

/// An error of the database, as the control plane reports it.
pub(crate) fn unavailable(error: StoreError) -> ApiError {
    let (problem, message) = match error.kind() {
        ErrorKind::Conflict => (Problem::Conflict, "it was changed at the same time"),
        _ => (Problem::StateUnavailable, "the database could not be used"),
    };
    let recommendation = error.recommendation().to_owned();
    ApiError::new(problem, message).recommend(recommendation).because(error)
}

fn decode<T: Resource>(document: &Document) -> Result<T> {
    serde_json::from_slice(&document.body).map_err(|e| {
        ApiError::new(Problem::StateUnavailable, format!("the record of {} cannot be read", document.path))
            .because(e)
    })
}

fn encode<T: Resource>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| {
        ApiError::new(Problem::StateUnavailable, format!("the record of {} cannot be written", value.id()))
            .because(e)
    })
}

/// The change that makes a resource.
pub(crate) fn create<T: Resource>(value: &T) -> Result<Change> {
    Ok(Change::Create { path: value.id().key(), kind: T::KIND.to_owned(), body: encode(value)? })
}

/// The change that replaces a resource that was read.
pub(crate) fn replace<T: Resource>(loaded: &Loaded<T>) -> Result<Change> {
    Ok(Change::Replace {
        path: loaded.value.id().key(),
        revision: loaded.revision,
        body: encode(&loaded.value)?,
    })
}

/// The change that deletes a resource that was read.
pub(crate) fn delete<T: Resource>(loaded: &Loaded<T>) -> Change {
    Change::Delete { path: loaded.value.id().key(), revision: Some(loaded.revision) }
}

/// Reads a resource.
pub(crate) fn find<T: Resource>(store: &Store, id: &ResourceId) -> Result<Option<Loaded<T>>> {
    let Some(document) = store.read(&id.key()).map_err(unavailable)? else { return Ok(None) };
    if document.kind != T::KIND {
        return Ok(None);
    }
    Ok(Some(Loaded { value: decode(&document)?, revision: document.revision }))
}

/// Reads a resource that has to be there.
pub(crate) fn load<T: Resource>(store: &Store, id: &ResourceId) -> Result<Loaded<T>> {
    find(store, id)?.ok_or_else(|| {
        let message = format!("there is no {} {}", T::NOUN, id.name());
        ApiError::new(Problem::NotFound, message).about(id)
    })
}

/// Documents that are read at once.
const PAGE: usize = 500;

/// All resources of a type at and below a path.
pub(crate) fn list<T: Resource>(store: &Store, below: &str) -> Result<Vec<T>> {
    Ok(list_loaded(store, below)?.into_iter().map(|loaded| loaded.value).collect())
}

/// All resources of a type at and below a path, with their revisions.
pub(crate) fn list_loaded<T: Resource>(store: &Store, below: &str) -> Result<Vec<Loaded<T>>> {
    let mut all = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = store.list_kind(T::KIND, below, after.as_deref(), PAGE).map_err(unavailable)?;
        for document in &page {
            all.push(Loaded { value: decode(document)?, revision: document.revision });
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.path.clone()),
            _ => return Ok(all),
        }
    }
}

/// A page of a list of resources, by id.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The resources.
    pub items: Vec<T>,
    /// What the next page is asked for with; none at the end.
    pub next: Option<String>,
}

/// At most `limit` resources that are wanted, after the mark of the page before. `read` gives those after a path, in
/// order, at most so many: no more are read than it takes.
pub(crate) fn page<T: Resource>(
    read: impl Fn(Option<&str>, usize) -> cofre_store::Result<Vec<Document>>,
    after: Option<&str>,
    limit: usize,
    mut wanted: impl FnMut(&T) -> bool,
) -> Result<Page<T>> {
    let mut after = after.map(str::to_owned);
    let mut items = Vec::new();
    let mut size = limit.saturating_add(1).min(PAGE);
    loop {
        let documents = read(after.as_deref(), size).map_err(unavailable)?;
        for document in &documents {
            let value = decode(document)?;
            if !wanted(&value) {
                continue;
            }
            if items.len() == limit {
                let next = items.last().map(|last: &T| last.id().key());
                return Ok(Page { items, next });
            }
            items.push(value);
        }
        match documents.last() {
            Some(last) if documents.len() == size => after = Some(last.path.clone()),
            _ => return Ok(Page { items, next: None }),
        }
        size = PAGE;
    }
}

/// Commits changes together.
pub(crate) fn commit(store: &Store, batch: &Batch) -> Result<()> {
    store.commit(batch).map(|_| ()).map_err(unavailable)
}
