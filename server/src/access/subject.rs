//! A subject in JSON: many applications number their users.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// The application's user id, as a string or as a whole number.
struct Subject(String);

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Subject, D::Error> {
        struct StringOrNumber;

        impl Visitor<'_> for StringOrNumber {
            type Value = Subject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a subject, which is a string or a whole number")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Subject, E> {
                Ok(Subject(text.to_owned()))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Subject, E> {
                Ok(Subject(number.to_string()))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Subject, E> {
                Ok(Subject(number.to_string()))
            }
        }

        deserializer.deserialize_any(StringOrNumber)
    }
}

/// Reads a subject that may be missing, or `null`.
pub(crate) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<Subject>::deserialize(deserializer)?.map(|Subject(text)| text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_a_string_or_a_whole_number() {
        let read = |text| optional(&mut serde_json::Deserializer::from_str(text));
        for (text, subject) in [
            ("\"17\"", Some("17")),
            ("17", Some("17")),
            ("-1", Some("-1")),
            ("18446744073709551615", Some("18446744073709551615")),
            ("null", None),
        ] {
            assert_eq!(read(text).unwrap().as_deref(), subject);
        }
        for wrong in ["1.5", "true", "[]", "{}"] {
            assert!(read(wrong).unwrap_err().to_string().contains("subject"), "{wrong}");
        }
    }
}
