//! A statement and what is bound to it, for whichever database: `$1`, `$2`… in the order of binding.

use std::fmt;

/// Text with parameters, and their values, which are borrowed until it is executed.
pub(crate) struct Statement<'q> {
    pub(crate) sql: String,
    pub(crate) values: Vec<Value<'q>>,
}

/// A value of a parameter: of the three types that columns have. NULL has a type too.
#[derive(Clone, Copy)]
pub(crate) enum Value<'q> {
    Number(Option<i64>),
    Text(Option<&'q str>),
    Bytes(&'q [u8]),
}

impl<'q> Statement<'q> {
    pub(crate) fn new(sql: &str) -> Self {
        Self { sql: sql.to_owned(), values: Vec::new() }
    }

    /// The value of the next parameter in the text.
    #[must_use]
    pub(crate) fn bind(mut self, value: impl Into<Value<'q>>) -> Self {
        self.values.push(value.into());
        self
    }

    /// More text.
    pub(crate) fn push(&mut self, sql: impl fmt::Display) -> &mut Self {
        self.sql.push_str(&sql.to_string());
        self
    }

    /// One more parameter at the end of the text, and its value.
    pub(crate) fn push_bind(&mut self, value: impl Into<Value<'q>>) -> &mut Self {
        self.values.push(value.into());
        let number = self.values.len();
        self.push(format_args!("${number}"))
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Number(Some(number))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(number: Option<i64>) -> Self {
        Self::Number(number)
    }
}

impl<'q> From<&'q str> for Value<'q> {
    fn from(text: &'q str) -> Self {
        Self::Text(Some(text))
    }
}

impl<'q> From<&'q String> for Value<'q> {
    fn from(text: &'q String) -> Self {
        Self::Text(Some(text))
    }
}

impl<'q> From<Option<&'q str>> for Value<'q> {
    fn from(text: Option<&'q str>) -> Self {
        Self::Text(text)
    }
}

impl<'q> From<&'q [u8]> for Value<'q> {
    fn from(bytes: &'q [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'q> From<&'q Vec<u8>> for Value<'q> {
    fn from(bytes: &'q Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'q, const LENGTH: usize> From<&'q [u8; LENGTH]> for Value<'q> {
    fn from(bytes: &'q [u8; LENGTH]) -> Self {
        Self::Bytes(bytes)
    }
}
