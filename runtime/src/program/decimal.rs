//! Decimal numbers as scaled integers: measurements are integers of nanoseconds and counts, and printing them needs
//! neither floating point nor its tables.

use core::fmt;

/// `units / 10^places`. Prints with all its places; `{:12}` pads on the left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    pub units: u64,
    pub places: u32,
}

impl Decimal {
    /// Nanoseconds as milliseconds with six places, exactly.
    pub fn milliseconds(ns: u64) -> Decimal {
        Decimal { units: ns, places: 6 }
    }

    /// `numerator / denominator` rounded to `places`; zero for a zero denominator, saturating.
    pub fn ratio(numerator: u64, denominator: u64, places: u32) -> Decimal {
        let scaled = u128::from(numerator) * 10u128.pow(places) + u128::from(denominator / 2);
        let units = scaled.checked_div(u128::from(denominator)).unwrap_or(0);
        Decimal { units: u64::try_from(units).unwrap_or(u64::MAX), places }
    }

    /// The same value with `places` places, rounded half up.
    pub fn round(self, places: u32) -> Decimal {
        if places >= self.places {
            return Decimal { units: self.units.saturating_mul(10u64.pow(places - self.places)), places };
        }
        let divisor = 10u64.pow(self.places - places);
        Decimal { units: self.units.saturating_add(divisor / 2) / divisor, places }
    }

    /// Reads `12`, `0.5` or `.25` as an integer of `10^-places`; more places than that, or anything else, is `None`.
    pub fn parse(text: &str, places: u32) -> Option<u64> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let empty = whole.is_empty() && fraction.is_empty();
        if empty || fraction.len() > places as usize || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let number = |part: &str| {
            if part.is_empty() { Some(0u64) } else { part.parse().ok() }
        };
        let fraction_units = number(fraction)? * 10u64.pow(places - fraction.len() as u32);
        number(whole)?.checked_mul(10u64.pow(places))?.checked_add(fraction_units)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let divisor = 10u64.pow(self.places);
        let (whole, fraction) = (self.units / divisor, self.units % divisor);
        if self.places == 0 {
            return fmt::Display::fmt(&whole, f);
        }
        let width = f.width().unwrap_or(0).saturating_sub(self.places as usize + 1);
        write!(f, "{whole:width$}.{fraction:0places$}", places = self.places as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn prints() {
        assert_eq!(Decimal::milliseconds(1_234_567).to_string(), "1.234567");
        assert_eq!(Decimal::milliseconds(1_234_567).round(3).to_string(), "1.235");
        assert_eq!(std::format!("{:8}", Decimal { units: 5, places: 2 }), "    0.05");
        assert_eq!(Decimal { units: 7, places: 0 }.to_string(), "7");
        assert_eq!(Decimal::ratio(1, 3, 2).to_string(), "0.33");
        assert_eq!(Decimal::ratio(2, 3, 2).to_string(), "0.67");
        assert_eq!(Decimal::ratio(1, 0, 1).to_string(), "0.0");
        assert_eq!(Decimal { units: 3, places: 1 }.round(3).to_string(), "0.300");
    }

    #[test]
    fn parses() {
        for (text, expected) in [
            ("1", Some(1_000)),
            ("0.5", Some(500)),
            (".25", Some(250)),
            ("2.", Some(2_000)),
            ("0.0005", None),
            ("", None),
            (".", None),
            ("-1", None),
            ("1e3", None),
            ("+1", None),
            ("99999999999999999999", None),
            ("18446744073709551615", None),
        ] {
            assert_eq!(Decimal::parse(text, 3), expected, "{text}");
        }
    }
}
