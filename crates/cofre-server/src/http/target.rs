//! The path and query of a request, read as the contract wants it: doubled and trailing slashes do not count, names
//! are percent-decoded, and nothing that could climb out of a folder gets through.

use cofre_arm::{ApiError, Result};

/// Longest path and query, in bytes.
const LONGEST: usize = 8 << 10;
/// Most parameters of a query.
const MOST_PARAMETERS: usize = 64;

/// A path as decoded segments, and the query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// The segments as they were written, without empty ones.
    pub segments: Vec<String>,
    /// The segments with ASCII letters in lower case, to be compared with: other letters become no ASCII ones.
    pub lower: Vec<String>,
    /// The query.
    pub query: Query,
}

/// The parameters of a query, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the parameters of a query or form.
    ///
    /// # Errors
    /// `InvalidParameter` when there are too many, or one is not percent-encoded UTF-8.
    pub fn parse(query: &str) -> Result<Self> {
        let mut parameters = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            if parameters.len() == MOST_PARAMETERS {
                return Err(ApiError::invalid(format!(
                    "the query has more than {MOST_PARAMETERS} parameters"
                )));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let text = |raw| {
                decode(raw, true).ok_or_else(|| ApiError::invalid("the query is not percent-encoded UTF-8"))
            };
            parameters.push((text(name)?, text(value)?));
        }
        Ok(Self(parameters))
    }

    /// The first parameter of a name, without regard to case; `$filter` and the like with their dollar sign.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// A parameter that must be a whole number within a range.
    ///
    /// # Errors
    /// `InvalidParameter` when it is there and is none.
    pub fn number(&self, name: &str, least: usize, most: usize) -> Result<Option<usize>> {
        let Some(text) = self.get(name).filter(|text| !text.is_empty()) else { return Ok(None) };
        match text.parse::<usize>() {
            Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => Err(ApiError::invalid(format!(
                "the parameter {name} is a whole number from {least} to {most}"
            ))),
        }
    }
}

impl Target {
    /// Reads a path and a query as they stand in a request line.
    ///
    /// # Errors
    /// `InvalidParameter` for what no path or query can be.
    pub fn parse(path: &str, query: &str) -> Result<Self> {
        if path.len() + query.len() > LONGEST {
            return Err(ApiError::invalid(format!("path and query have more than {LONGEST} bytes")));
        }
        let mut segments = Vec::new();
        for raw in path.split('/').filter(|raw| !raw.is_empty()) {
            let segment = decode(raw, false)
                .ok_or_else(|| ApiError::invalid("the path is not percent-encoded UTF-8"))?;
            let climbs = segment == "." || segment == "..";
            if climbs || segment.chars().any(|c| c.is_control() || matches!(c, '/' | '\\')) {
                return Err(ApiError::invalid(
                    "a segment of the path is `.`, `..`, or has characters that names cannot have",
                ));
            }
            segments.push(segment);
        }
        let lower = segments.iter().map(|segment| segment.to_ascii_lowercase()).collect();
        Ok(Self { segments, lower, query: Query::parse(query)? })
    }

    /// The segments in lower case, for patterns.
    #[must_use]
    pub fn parts(&self) -> Vec<&str> {
        self.lower.iter().map(String::as_str).collect()
    }
}

/// Percent-decodes; in queries a plus sign is a space.
fn decode(raw: &str, is_query: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit =
                    |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                digit(rest.next()?)? << 4 | digit(rest.next()?)?
            }
            b'+' if is_query => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_and_case() {
        let target =
            Target::parse("//Subscriptions/S//x%3By/", "api-version=1&$filter=a%20eq+'b'&$filter=").unwrap();
        assert_eq!(target.segments, ["Subscriptions", "S", "x;y"]);
        assert_eq!(target.parts(), ["subscriptions", "s", "x;y"]);
        assert_eq!(target.query.get("$FILTER"), Some("a eq 'b'"));
        assert_eq!(target.query.get("top"), None);
        assert_eq!(Target::parse("/", "").unwrap(), Target::default());
    }

    #[test]
    fn what_is_refused() {
        for bad in
            ["/a/../b", "/a/%2e%2E/b", "/a%2fb", "/a%5Cb", "/a%00", "/%", "/%4", "/%zz", "/%ff", "/a%0ab"]
        {
            assert!(Target::parse(bad, "").is_err(), "{bad}");
        }
        assert!(Target::parse(&"/a".repeat(5000), "").is_err());
        assert!(Target::parse("/", &"a=b&".repeat(65)).is_err());
        assert!(Target::parse("/", "a=%").is_err());
    }

    #[test]
    fn numbers() {
        let query = Target::parse("/", "maxresults=25&bad=x&large=26&none=").unwrap().query;
        assert_eq!(query.number("maxresults", 1, 25).unwrap(), Some(25));
        assert_eq!(query.number("none", 1, 25).unwrap(), None);
        assert!(query.number("bad", 1, 25).is_err() && query.number("large", 1, 25).is_err());
    }
}
