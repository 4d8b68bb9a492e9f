//! Objects of the files: written with the published member names, read whatever their letter case.

use std::{fmt, marker::PhantomData};

use serde::{Deserialize, Deserializer, Serialize, de};

/// A type for a JSON object. Every member is optional, `null` is as good as absent, and unknown members
/// are passed over. Member names are compared without regard to letter case, as the scripts that read
/// these files do; one that is there twice is refused.
macro_rules! object {
    ($name:ident { $($member:literal => $field:ident: $type:ty,)* }) => {
        #[derive(Default, serde::Serialize)]
        pub(super) struct $name {
            $(#[serde(rename = $member, skip_serializing_if = "Option::is_none")] pub(super) $field: Option<$type>,)*
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
                struct Members;

                impl<'de> serde::de::Visitor<'de> for Members {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> std::result::Result<$name, A::Error> {
                        let mut object = $name::default();
                        while let Some(name) = map.next_key::<String>()? {
                            $(if name.eq_ignore_ascii_case($member) {
                                if object.$field.is_some() {
                                    return Err(serde::de::Error::duplicate_field($member));
                                }
                                object.$field = map.next_value()?;
                                continue;
                            })*
                            map.next_value::<serde::de::IgnoredAny>()?;
                        }
                        Ok(object)
                    }
                }

                from.deserialize_map(Members)
            }
        }
    };
}
pub(super) use object;

/// A list that is read up to a length: a few bytes of JSON can be many of memory.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct List<T, const MAX: usize>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for List<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Elements<T, const MAX: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const MAX: usize> de::Visitor<'de> for Elements<T, MAX> {
            type Value = List<T, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {MAX} elements")
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(element) = seq.next_element()? {
                    if list.len() == MAX {
                        return Err(de::Error::invalid_length(MAX + 1, &self));
                    }
                    list.push(element);
                }
                Ok(List(list))
            }
        }

        from.deserialize_seq(Elements(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    object!(Thing {
        "a.b" => dotted: u32,
        "Name" => name: String,
        "list" => list: List<u32, 2>,
    });

    #[test]
    fn letter_case_does_not_count_but_twice_does() {
        let thing: Thing =
            serde_json::from_str(r#"{"A.B": 1, "other": [{}], "NAME": null, "name": "x"}"#).unwrap();
        assert_eq!((thing.dotted, thing.name.as_deref()), (Some(1), Some("x")));
        assert_eq!(serde_json::to_string(&thing).unwrap(), r#"{"a.b":1,"Name":"x"}"#);
        assert!(serde_json::from_str::<Thing>(r#"{"name": "x", "Name": "x"}"#).is_err());
        assert!(serde_json::from_str::<Thing>("[]").is_err());
        assert_eq!(serde_json::from_str::<Thing>(r#"{"list": [1, 2]}"#).unwrap().list.unwrap().0, [1, 2]);
        assert!(serde_json::from_str::<Thing>(r#"{"list": [1, 2, 3]}"#).is_err());
    }
}
