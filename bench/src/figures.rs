//! Numbers as people read them.

/// A number with about two significant digits.
pub fn figure(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        small if small < 0.1 => format!("{value:.3}"),
        small if small < 1.0 => format!("{value:.2}"),
        small if small < 10.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// The same for a number that may be unknown.
pub fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "?".to_owned(), figure)
}

/// A count with its thousands set apart.
pub fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_counts_readable() {
        assert_eq!([0.0123, 0.123, 1.23, 12.3, 123.4].map(figure), ["0.012", "0.12", "1.2", "12", "123"]);
        assert_eq!([0, 999, 1000, 688_000].map(thousands), ["0", "999", "1,000", "688,000"]);
    }
}
