//! Checks a piece at a time whether a text is one JSON value (RFC 8259).
//!
//! A validator that must see the whole text at once could not pause in the middle of thirty megabytes.

/// The possible continuations of a text.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
enum Expect {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
    /// Inside a string, which is a key or a value.
    String {
        key: bool,
    },
    Escape {
        key: bool,
    },
    Hex {
        key: bool,
        left: u8,
    },
    /// The rest of `true`, `false` or `null`.
    Literal(&'static [u8]),
    Number(Number),
    /// Only white space.
    End,
}

/// A position in a number.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
enum Number {
    /// After the sign.
    Start,
    /// After a leading zero.
    Zero,
    Integer,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

/// A check that is under way.
#[derive(Debug)]
pub(crate) struct JsonCheck {
    expect: Expect,
    open: Nesting,
}

/// The arrays and objects that are open, a bit each.
#[derive(Debug, Default)]
struct Nesting {
    bits: Vec<u64>,
    depth: usize,
}

impl Nesting {
    fn push(&mut self, object: bool) {
        let (word, bit) = (self.depth / 64, self.depth % 64);
        if word == self.bits.len() {
            self.bits.push(0);
        }
        self.bits[word] = self.bits[word] & !(1 << bit) | u64::from(object) << bit;
        self.depth += 1;
    }

    /// Whether the innermost is an object; `None` if nothing is open.
    fn innermost(&self) -> Option<bool> {
        let at = self.depth.checked_sub(1)?;
        Some(self.bits[at / 64] >> (at % 64) & 1 == 1)
    }

    fn pop(&mut self) {
        self.depth -= 1;
    }
}

/// The text is not JSON.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct NotJson;

impl JsonCheck {
    /// Nothing has been read.
    pub(crate) fn new() -> Self {
        Self { expect: Expect::Value, open: Nesting::default() }
    }

    /// Reads on. The text must be UTF-8, which is checked elsewhere.
    pub(crate) fn read(&mut self, text: &[u8]) -> Result<(), NotJson> {
        text.iter().try_for_each(|&byte| self.step(byte))
    }

    /// The text is at its end.
    pub(crate) fn end(mut self) -> Result<(), NotJson> {
        if let Expect::Number(number) = self.expect
            && number.may_end()
        {
            self.after_value();
        }
        if self.expect == Expect::End { Ok(()) } else { Err(NotJson) }
    }

    fn step(&mut self, byte: u8) -> Result<(), NotJson> {
        match self.expect {
            Expect::String { key } => match byte {
                b'"' if key => self.expect = Expect::Colon,
                b'"' => self.after_value(),
                b'\\' => self.expect = Expect::Escape { key },
                0..0x20 => return Err(NotJson),
                _ => {}
            },
            Expect::Escape { key } => match byte {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {
                    self.expect = Expect::String { key }
                }
                b'u' => self.expect = Expect::Hex { key, left: 4 },
                _ => return Err(NotJson),
            },
            Expect::Hex { key, left } if byte.is_ascii_hexdigit() => {
                self.expect =
                    if left > 1 { Expect::Hex { key, left: left - 1 } } else { Expect::String { key } };
            }
            Expect::Literal([next, rest @ ..]) if *next == byte => {
                if rest.is_empty() {
                    self.after_value();
                } else {
                    self.expect = Expect::Literal(rest);
                }
            }
            Expect::Number(number) => match number.after(byte) {
                Some(number) => self.expect = Expect::Number(number),
                None if number.may_end() => {
                    self.after_value();
                    return self.step(byte);
                }
                None => return Err(NotJson),
            },
            _ if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') && !self.is_inside() => {}
            _ => return self.begin(byte),
        }
        Ok(())
    }

    /// Whether white space would be inside a token.
    fn is_inside(&self) -> bool {
        matches!(self.expect, Expect::Hex { .. } | Expect::Literal(_))
    }

    /// Takes a byte between two tokens.
    fn begin(&mut self, byte: u8) -> Result<(), NotJson> {
        match (self.expect, byte) {
            (Expect::Value | Expect::ValueOrEnd, b'"') => self.expect = Expect::String { key: false },
            (Expect::Value | Expect::ValueOrEnd, b'{') => {
                self.open.push(true);
                self.expect = Expect::KeyOrEnd;
            }
            (Expect::Value | Expect::ValueOrEnd, b'[') => {
                self.open.push(false);
                self.expect = Expect::ValueOrEnd;
            }
            (Expect::Value | Expect::ValueOrEnd, b't') => self.expect = Expect::Literal(b"rue"),
            (Expect::Value | Expect::ValueOrEnd, b'f') => self.expect = Expect::Literal(b"alse"),
            (Expect::Value | Expect::ValueOrEnd, b'n') => self.expect = Expect::Literal(b"ull"),
            (Expect::Value | Expect::ValueOrEnd, b'-' | b'0'..=b'9') => {
                let number = if byte == b'-' { Some(Number::Start) } else { Number::Start.after(byte) };
                self.expect = Expect::Number(number.ok_or(NotJson)?);
            }
            (Expect::Key | Expect::KeyOrEnd, b'"') => self.expect = Expect::String { key: true },
            (Expect::Colon, b':') => self.expect = Expect::Value,
            (Expect::CommaOrEnd, b',') => {
                let in_object = self.open.innermost().ok_or(NotJson)?;
                self.expect = if in_object { Expect::Key } else { Expect::Value };
            }
            (Expect::CommaOrEnd | Expect::ValueOrEnd, b']') if self.open.innermost() == Some(false) => {
                self.close()
            }
            (Expect::CommaOrEnd | Expect::KeyOrEnd, b'}') if self.open.innermost() == Some(true) => {
                self.close()
            }
            _ => return Err(NotJson),
        }
        Ok(())
    }

    fn close(&mut self) {
        self.open.pop();
        self.after_value();
    }

    fn after_value(&mut self) {
        self.expect = if self.open.innermost().is_some() { Expect::CommaOrEnd } else { Expect::End };
    }
}

impl Number {
    fn after(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Start, b'0') => Self::Zero,
            (Self::Start, b'1'..=b'9') | (Self::Integer, b'0'..=b'9') => Self::Integer,
            (Self::Zero | Self::Integer, b'.') => Self::Point,
            (Self::Point | Self::Fraction, b'0'..=b'9') => Self::Fraction,
            (Self::Zero | Self::Integer | Self::Fraction, b'e' | b'E') => Self::Exponent,
            (Self::Exponent, b'+' | b'-') => Self::ExponentSign,
            (Self::Exponent | Self::ExponentSign | Self::ExponentDigits, b'0'..=b'9') => Self::ExponentDigits,
            _ => return None,
        })
    }

    fn may_end(self) -> bool {
        matches!(self, Self::Zero | Self::Integer | Self::Fraction | Self::ExponentDigits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_json(pieces: &[&[u8]]) -> bool {
        let mut check = JsonCheck::new();
        pieces.iter().all(|piece| check.read(piece).is_ok()) && check.end().is_ok()
    }

    fn serde_accepts(text: &str) -> bool {
        serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
    }

    #[test]
    fn deep_nesting_is_json() {
        let text = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
        assert!(is_json(&[&text]) && !is_json(&[&text[1..]]) && !is_json(&[&text[..150_000]]));
    }

    proptest! {
        /// Texts of JSON's own characters, most of them almost JSON.
        #[test]
        fn agrees_with_serde_json(text in r#"([\[\]{},:" -]|null|true|false|0|[1-9]|\.|e|E|\+|\\["\\/bfnrtu]|00|a1F0|"a":|\n){0,12}"#, cut in 0usize..40) {
            let cut = text.floor_char_boundary(cut.min(text.len()));
            let (one, other) = text.as_bytes().split_at(cut);
            prop_assert_eq!(is_json(&[one, other]), serde_accepts(&text), "{:?}", text);
        }

        #[test]
        fn what_serde_json_writes_is_json(value in any::<(Vec<String>, i64, f64, Option<bool>, std::collections::BTreeMap<String, u8>)>()) {
            let text = serde_json::to_string(&value).expect("it can be written");
            prop_assert!(is_json(&[text.as_bytes()]) && !is_json(&[&text.as_bytes()[1..]]));
        }
    }
}
