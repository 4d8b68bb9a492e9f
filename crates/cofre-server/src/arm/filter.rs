//! The `$filter` of lists: comparisons with `eq` that are joined by `and`.

use cofre_arm::{ApiError, Result};

/// What must be equal to what. Names in lower case.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Filter(Vec<(String, String)>);

impl Filter {
    /// Reads a filter; none and an empty one let everything through.
    pub(super) fn parse(text: Option<&str>) -> Result<Self> {
        let mut comparisons = Vec::new();
        let mut rest = text.unwrap_or_default().trim();
        while !rest.is_empty() {
            let (name, after) = word(rest);
            let (verb, after) = word(after);
            if !verb.eq_ignore_ascii_case("eq") {
                return Err(bad());
            }
            let (value, after) = quoted(after).ok_or_else(bad)?;
            comparisons.push((name.to_ascii_lowercase(), value));
            let (joint, after) = word(after);
            rest = match joint {
                "" => "",
                joint if joint.eq_ignore_ascii_case("and") && !after.is_empty() => after,
                _ => return Err(bad()),
            };
        }
        Ok(Self(comparisons))
    }

    /// What a name must be equal to.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Refuses names that the list cannot be filtered by: to pass over one would show too much.
    pub(super) fn only(self, names: &[&str]) -> Result<Self> {
        match self.0.iter().find(|(name, _)| !names.iter().any(|known| known.eq_ignore_ascii_case(name))) {
            None => Ok(self),
            Some(_) => Err(ApiError::invalid(format!("this list is filtered by {} alone", names.join(", ")))),
        }
    }
}

fn bad() -> ApiError {
    ApiError::invalid("$filter is `name eq 'value'`, several joined with `and`")
}

fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_once(char::is_whitespace).map_or((text, ""), |(word, rest)| (word, rest.trim_start()))
}

/// A text in single quotes, in which a doubled quote is one.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut rest = text.trim_start().strip_prefix('\'')?;
    let mut value = String::new();
    loop {
        let (part, after) = rest.split_once('\'')?;
        value.push_str(part);
        match after.strip_prefix('\'') {
            Some(after) => {
                value.push('\'');
                rest = after;
            }
            None => return Some((value, after.trim_start())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        let filter =
            Filter::parse(Some("resourceType eq 'Microsoft.KeyVault/vaults'  and name eq 'it''s'")).unwrap();
        assert_eq!(filter.get("resourcetype"), Some("Microsoft.KeyVault/vaults"));
        assert_eq!(filter.get("NAME"), Some("it's"));
        assert!(filter.only(&["name"]).is_err());
        assert_eq!(Filter::parse(Some(" ")).unwrap(), Filter::parse(None).unwrap());
        for bad in ["a", "a eq", "a eq b", "a eq 'b", "a ne 'b'", "a eq 'b' or c eq 'd'", "a eq 'b' and"] {
            assert!(Filter::parse(Some(bad)).is_err(), "{bad}");
        }
    }
}
