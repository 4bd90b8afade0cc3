//! How times and sizes are written: `250ms`, `15s`, `5m`; `4096`, `64KiB`, `32MB`.

use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use clap::ValueEnum;
use serde::de::{Error, IntoDeserializer, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use tracing_subscriber::filter::LevelFilter;

use crate::limits::{LARGEST_DOCUMENT_BYTES, LEAST_MEMORY_BYTES};

/// What a list is called in serde's errors.
pub(super) const TEXTS: &str = "a string, or a list of strings";

/// What is said of a size that is none.
const NOTHING: &str = "it must be larger than zero";

/// A length of time, which may be zero.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Span(Duration);

/// A length of time, never zero.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Interval(Duration);

/// A number of bytes, never zero.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Size(usize);

/// A number of bytes, never zero, that a record of the log can hold.
#[derive(Copy, Clone, Debug)]
pub(crate) struct StoredSize(Size);

/// A number of bytes with which a server can serve.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Memory(Size);

/// A part of all: from 0, which is none, to 1.
#[derive(Copy, Clone, Debug, PartialEq)]
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

impl StoredSize {
    /// The number of bytes.
    pub(crate) fn get(self) -> usize {
        self.0.get()
    }
}

impl Memory {
    /// The number of bytes.
    pub(crate) fn get(self) -> usize {
        self.0.get()
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
        time(text).map(Span)
    }
}

impl FromStr for Interval {
    type Err = String;

    fn from_str(text: &str) -> Result<Interval, String> {
        match text.parse::<Span>()?.0 {
            Duration::ZERO => Err("it must be longer than zero".to_owned()),
            time => Ok(Interval(time)),
        }
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        if text.starts_with('-') {
            return Err(NOTHING.to_owned());
        }
        let size =
            text.parse::<ByteSize>().map_err(|_| "a size looks like 4096, 64KiB or 32MB".to_owned())?;
        match usize::try_from(size.as_u64()) {
            Ok(0) => Err(NOTHING.to_owned()),
            Ok(bytes) => Ok(Size(bytes)),
            Err(_) => Err("more than this machine can count".to_owned()),
        }
    }
}

impl FromStr for StoredSize {
    type Err = String;

    fn from_str(text: &str) -> Result<StoredSize, String> {
        match text.parse::<Size>()? {
            size if size.get() <= LARGEST_DOCUMENT_BYTES => Ok(StoredSize(size)),
            _ => Err(format!("it may be {}MiB at most", LARGEST_DOCUMENT_BYTES >> 20)),
        }
    }
}

impl FromStr for Memory {
    type Err = String;

    fn from_str(text: &str) -> Result<Memory, String> {
        match text.parse::<Size>()? {
            size if size.get() >= LEAST_MEMORY_BYTES => Ok(Memory(size)),
            _ => Err(format!("a server needs {}MiB at least", LEAST_MEMORY_BYTES >> 20)),
        }
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Share, String> {
        let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
        share.map(Share).ok_or_else(|| "it takes a number from 0 to 1, such as 0.01".to_owned())
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        written_time(deserializer)
    }
}

impl<'de> Deserialize<'de> for Interval {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Interval, D::Error> {
        written_time(deserializer)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
        number(deserializer)
    }
}

impl<'de> Deserialize<'de> for StoredSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<StoredSize, D::Error> {
        number(deserializer)
    }
}

impl<'de> Deserialize<'de> for Memory {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Memory, D::Error> {
        number(deserializer)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Share, D::Error> {
        number(deserializer)
    }
}

impl<'de> Deserialize<'de> for Switch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Switch, D::Error> {
        choice(deserializer)
    }
}

/// Reads a length of time.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| match text.parse::<u64>() {
        Ok(_) => format!("the unit is missing: {text}s are seconds, {text}m are minutes"),
        Err(_) => "a time looks like 250ms, 15s or 5m".to_owned(),
    })
}

/// Reads a number of things, one at least.
pub(super) fn count<T: FromStr>(text: &str) -> Result<T, String> {
    let is_large = text.bytes().all(|byte| byte.is_ascii_digit()) && text.bytes().any(|byte| byte != b'0');
    text.parse().map_err(|_| match is_large {
        true => "it is too large".to_owned(),
        false => "it takes a whole number from 1 on".to_owned(),
    })
}

/// Reads how much is logged. Dependencies log at the level `trace`, and might log content of documents.
pub(super) fn level(text: &str) -> Result<LevelFilter, String> {
    let levels = ["off", "error", "warn", "info", "debug"];
    let is_level = levels.contains(&text.to_ascii_lowercase().as_str());
    text.parse().ok().filter(|_| is_level).ok_or_else(|| "it is off, error, warn, info or debug".to_owned())
}

/// Reads a time of the file, where a number alone has no unit.
fn written_time<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    match toml::Value::deserialize(deserializer)? {
        toml::Value::String(text) => text.parse().map_err(D::Error::custom),
        toml::Value::Integer(seconds @ 0..) => {
            Err(D::Error::custom(format!("write \"{seconds}s\", with its unit")))
        }
        _ => Err(D::Error::custom("a time is written like \"250ms\", \"15s\" or \"5m\"")),
    }
}

/// Reads a value of the file that is written as a number, or as a string.
fn number<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    number_text(deserializer)?.parse().map_err(D::Error::custom)
}

/// Reads a number of things of the file, one at least.
pub(super) fn count_in_file<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr,
{
    count(&number_text(deserializer)?).map_err(D::Error::custom)
}

/// A number of the file as it is written; what is none gives a text that no number has.
fn number_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match toml::Value::deserialize(deserializer)? {
        toml::Value::String(text) => text,
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        _ => String::new(),
    })
}

/// Reads how much is logged, in the file.
pub(super) fn level_in_file<'de, D: Deserializer<'de>>(deserializer: D) -> Result<LevelFilter, D::Error> {
    let text = String::deserialize(deserializer).unwrap_or_default();
    level(&text).map_err(D::Error::custom)
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
            f.write_str(TEXTS)
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
pub(crate) fn trimmed<T: FromStr>(text: &str) -> Result<T, T::Err> {
    text.trim().parse()
}
