//! JSON pieces that bound what a hostile header can make us hold in memory.
//!
//! Objects keyed by numbers are kept as slices of the text, lists are cut off at a fixed length,
//! everything unknown is skipped without being stored. So 4 MiB of JSON never become much more.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// More entries than any header has: cryptsetup stops at 32 keyslots, 32 digests, 32 tokens.
const MAX_ENTRIES: usize = 128;

/// A JSON object whose keys are small decimal numbers, as unparsed values in the order of the text.
#[derive(Default)]
pub(super) struct Numbered<'a>(pub(super) Vec<(u32, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Numbered<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<'a>(std::marker::PhantomData<&'a ()>);

        impl<'de: 'a, 'a> Visitor<'de> for Entries<'a> {
            type Value = Numbered<'a>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object with numbers as keys")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries: Vec<(u32, &RawValue)> = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
                    let number = key.parse().ok().filter(|number: &u32| number.to_string() == key);
                    let number = number.ok_or_else(|| A::Error::custom("a key is no number"))?;
                    if entries.iter().any(|(other, _)| *other == number) {
                        return Err(A::Error::custom(format!("the number {number} occurs twice")));
                    }
                    if entries.len() == MAX_ENTRIES {
                        return Err(A::Error::custom("too many entries"));
                    }
                    entries.push((number, value));
                }
                Ok(Numbered(entries))
            }
        }

        deserializer.deserialize_map(Entries(std::marker::PhantomData))
    }
}

/// A JSON list of few elements.
pub(super) struct Short<T>(pub(super) Vec<T>);

impl<T> Default for Short<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Short<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Elements<T> {
            type Value = Short<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = list.next_element()? {
                    if elements.len() == MAX_ENTRIES {
                        return Err(A::Error::custom("too many elements in a list"));
                    }
                    elements.push(element);
                }
                Ok(Short(elements))
            }
        }

        deserializer.deserialize_seq(Elements(std::marker::PhantomData))
    }
}

/// A 64-bit number, which LUKS2 writes as a decimal string.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Number(pub(super) u64);

impl Number {
    /// The number in `text`, which holds nothing but digits (`parse` alone would take a plus sign).
    pub(super) fn from_text(text: &str) -> Option<Self> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok().map(Self)).flatten()
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_text(&text)
            .ok_or_else(|| D::Error::custom("a 64-bit number is expected as a decimal string"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_strings_of_digits() {
        assert!(serde_json::from_str::<Number>(r#""18446744073709551615""#).unwrap() == Number(u64::MAX));
        for text in [r#""18446744073709551616""#, r#""""#, r#""+1""#, r#""-1""#, r#"" 1""#, "1", r#""0x1""#] {
            assert!(serde_json::from_str::<Number>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn long_lists_and_objects_are_refused() {
        let list = |length: usize| format!("[{}]", vec!["1"; length].join(","));
        assert_eq!(serde_json::from_str::<Short<u8>>(&list(128)).unwrap().0.len(), 128);
        assert!(serde_json::from_str::<Short<u8>>(&list(129)).is_err());

        let object = |length: usize| {
            let entries: Vec<_> = (0..length).map(|number| format!(r#""{number}":{{}}"#)).collect();
            format!("{{{}}}", entries.join(","))
        };
        assert_eq!(serde_json::from_str::<Numbered>(&object(128)).map(|n| n.0.len()).unwrap(), 128);
        assert!(serde_json::from_str::<Numbered>(&object(129)).is_err());
        for text in [r#"{"01":1}"#, r#"{"a":1}"#, r#"{"1":1,"1":2}"#, r#"{"4294967296":1}"#, "[]"] {
            assert!(serde_json::from_str::<Numbered>(text).is_err(), "{text}");
        }
    }
}
