//! Counts and errors in words.

use std::error::Error;
use std::fmt::Display;

/// "1 document", "2 documents".
pub fn counted<N: Display + From<u8> + PartialEq>(count: N, what: &str) -> String {
    format!("{count} {what}{}", if count == N::from(1) { "" } else { "s" })
}

/// An error with its causes, on one line. Some errors repeat their cause in their own words; it is said once.
pub fn words(error: &(dyn Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !words.ends_with(&more) {
            words = format!("{words}: {more}");
        }
        cause = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use std::{fmt, io};

    use super::*;

    #[derive(Debug)]
    struct Outer(&'static str, io::Error);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.1)
        }
    }

    #[test]
    fn one_is_singular() {
        let counts = [0, 1, 2].map(|count: usize| counted(count, "record"));
        assert_eq!(counts, ["0 records", "1 record", "2 records"]);
    }

    #[test]
    fn a_cause_is_said_once() {
        for said in ["cannot open it", "cannot open it: no"] {
            assert_eq!(words(&Outer(said, io::Error::other("no"))), "cannot open it: no");
        }
    }
}
