//! Parts of lists.

use super::KeyVaults;
use crate::{
    bundle::{Page, PageRequest},
    error::Result,
    state::Record,
};

impl KeyVaults {
    /// The items below `prefix` that `item` makes of records; what it makes nothing of is left out.
    pub(super) fn page_of<I>(
        &self,
        prefix: &str,
        page: PageRequest<'_>,
        mut item: impl FnMut(Record) -> Result<Option<I>>,
    ) -> Result<Page<I>> {
        let most = page.bounded();
        let mut after = page.after.map(|name| format!("{prefix}{}", name.to_ascii_lowercase()));
        let mut items = Vec::new();
        loop {
            let records = self.list(prefix, after.as_deref(), most)?;
            let ended = records.len() < most;
            for record in records {
                let path = record.path.clone();
                items.extend(item(record)?);
                if items.len() == most {
                    return Ok(Page { items, next: path.strip_prefix(prefix).map(str::to_owned) });
                }
                after = Some(path);
            }
            if ended {
                return Ok(Page { items, next: None });
            }
        }
    }
}
