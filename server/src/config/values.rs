//! How times and sizes are written: `250ms`, `15s`, `5m`; `4096`, `64KiB`, `32MB`.

use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use clap::ValueEnum;
use serde::de::{Error, IntoDeserializer, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A length of time, which may be zero.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Span(Duration);

/// A length of time, never zero.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Interval(Duration);

/// A number of bytes, never zero.
#[derive(Copy, Clone, Debug, Deserialize)]
#[serde(try_from = "ByteSize")]
pub(crate) struct Size(usize);

/// A part of all: from 0, which is none, to 1.
#[derive(Copy, Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "f64")]
pub(crate) struct Share(f64);

/// Something that can be turned off.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// `on`.
    On,
    /// `off`.
    Off,
}

impl Span {
    /// The time itself.
    pub(crate) fn get(self) -> Duration {
        self.0
    }
}

impl Interval {
    /// The time itself.
    pub(crate) fn get(self) -> Duration {
        self.0
    }
}

impl Size {
    /// The number of bytes.
    pub(crate) fn get(self) -> usize {
        self.0
    }
}

impl Share {
    /// The part, from 0 to 1.
    pub(crate) fn get(self) -> f64 {
        self.0
    }
}

impl Switch {
    /// Whether it is on.
    pub(crate) fn is_on(self) -> bool {
        self == Switch::On
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Span, String> {
        match humantime::parse_duration(text) {
            Ok(time) => Ok(Span(time)),
            Err(error) => Err(format!("{error} (times look like 250ms, 15s or 5m)")),
        }
    }
}

impl FromStr for Interval {
    type Err = String;

    fn from_str(text: &str) -> Result<Interval, String> {
        match text.parse::<Span>()?.0 {
            Duration::ZERO => Err("it must not be zero".to_owned()),
            time => Ok(Interval(time)),
        }
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        match text.parse::<ByteSize>() {
            Ok(size) => Size::try_from(size),
            Err(_) => Err("not a size (sizes look like 4096, 64KiB or 32MB)".to_owned()),
        }
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Share, String> {
        Share::try_from(text.parse::<f64>().map_err(|error| error.to_string())?)
    }
}

impl TryFrom<f64> for Share {
    type Error = String;

    fn try_from(share: f64) -> Result<Share, String> {
        if (0.0..=1.0).contains(&share) { Ok(Share(share)) } else { Err("it is from 0 to 1".to_owned()) }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        time(deserializer)
    }
}

impl<'de> Deserialize<'de> for Interval {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Interval, D::Error> {
        time(deserializer)
    }
}

impl TryFrom<ByteSize> for Size {
    type Error = String;

    fn try_from(size: ByteSize) -> Result<Size, String> {
        match usize::try_from(size.as_u64()) {
            Ok(0) => Err("it must not be zero".to_owned()),
            Ok(bytes) => Ok(Size(bytes)),
            Err(_) => Err("more than this machine can count".to_owned()),
        }
    }
}

impl<'de> Deserialize<'de> for Switch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Switch, D::Error> {
        choice(deserializer)
    }
}

fn time<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    let text = String::deserialize(deserializer);
    let text = text.map_err(|_| D::Error::custom("a time is written like \"10s\", \"250ms\" or \"5m\""))?;
    text.parse().map_err(D::Error::custom)
}

/// Reads one of a few words.
pub(crate) fn choice<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: ValueEnum,
{
    let text = String::deserialize(deserializer).ok();
    text.and_then(|text| T::from_str(&text, false).ok()).ok_or_else(|| {
        let words = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        let words: Vec<_> = words.map(|word| format!("\"{}\"", word.get_name())).collect();
        let words = words.join(", ");
        let words =
            words.rsplit_once(", ").map(|(others, last)| format!("{others} or {last}")).unwrap_or(words);
        D::Error::custom(format!("write {words}"))
    })
}

/// Reads a list; one of a single string may be written as that string.
pub(super) fn one_or_more<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct OneOrMore<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMore<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string, or a list of strings")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Vec<T>, E> {
            Ok(vec![T::deserialize(text.into_deserializer())?])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut values = Vec::new();
            while let Some(value) = list.next_element()? {
                values.push(value);
            }
            Ok(values)
        }
    }

    deserializer.deserialize_any(OneOrMore(PhantomData))
}

/// Reads one of several values of a flag or a variable: whitespace around commas does not count.
pub(super) fn trimmed<T: FromStr>(text: &str) -> Result<T, T::Err> {
    text.trim().parse()
}

/// Reads a value that is written as a string, for types that only know `FromStr`.
pub(super) fn from_string<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(D::Error::custom)
}
