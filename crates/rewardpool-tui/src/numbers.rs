//! Numbers as people read them on a narrow screen.
use std::time::Duration;

/// A number with a space between each three digits.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// The same for a number that may be below zero, with its sign.
pub fn signed(number: i64) -> String {
    let sign = if number < 0 { "-" } else { "+" };
    format!("{sign}{}", grouped(number.unsigned_abs()))
}

/// A number in at most 7 columns: in full below a million, then with a prefix.
pub fn short(number: u64) -> String {
    const PREFIXES: [&str; 5] = ["M", "G", "T", "P", "E"];
    if number < 1_000_000 {
        return grouped(number);
    }
    let mut unit = 1_000_000_u64;
    for prefix in PREFIXES {
        if number / unit < 1000 || prefix == "E" {
            let (whole, rest) = (number / unit, number % unit);
            return match whole {
                0..10 => format!("{whole}.{:02} {prefix}", rest / (unit / 100)),
                10..100 => format!("{whole}.{} {prefix}", rest / (unit / 10)),
                100.. => format!("{whole} {prefix}"),
            };
        }
        unit *= 1000;
    }
    unreachable!("the last prefix takes every number")
}

/// A number for a float that is exact up to 2^53, which is enough for a screen.
#[expect(clippy::cast_precision_loss, reason = "a screen shows four digits of it")]
pub const fn float(number: u64) -> f64 {
    number as f64
}

/// The nearest whole number of a float; 0 for what is below and for what is none.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, which is what a screen should show"
)]
pub fn whole(number: f64) -> u64 {
    number.round() as u64
}

/// Events per second.
pub fn rate(per_second: f64) -> String {
    if per_second < 0.05 {
        "0/s".to_owned()
    } else if per_second < 10.0 {
        format!("{per_second:.1}/s")
    } else {
        format!("{}/s", short(whole(per_second)))
    }
}

/// A part of a whole in percent, in at most 7 columns. A part that is there is never shown as 0.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    let percent = float(part) * 100.0 / float(whole);
    if part > 0 && percent < 0.01 {
        "<0.01 %".to_owned()
    } else if percent < 10.0 {
        format!("{percent:.2} %")
    } else {
        format!("{percent:.1} %")
    }
}

/// A duration of microseconds.
pub fn micros(micros: u64) -> String {
    match micros {
        0..1000 => format!("{micros} µs"),
        1000..10_000 => format!("{:.1} ms", float(micros) / 1e3),
        10_000..1_000_000 => format!("{} ms", micros / 1000),
        1_000_000.. => format!("{:.1} s", float(micros) / 1e6),
    }
}

/// A size in bytes.
pub fn bytes(bytes: u64) -> String {
    const PREFIXES: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut size, mut place) = (float(bytes) / 1024.0, 0);
    while size >= 999.5 && place + 1 < PREFIXES.len() {
        size /= 1024.0;
        place += 1;
    }
    let digits = usize::from(size < 99.95);
    format!("{size:.digits$} {}B", PREFIXES[place])
}

/// A time span in its two greatest units.
pub fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min {:02} s", seconds % 60),
        3600..86_400 => format!("{hours} h {:02} min", minutes % 60),
        86_400.. => format!("{} d {} h", grouped(days), hours % 24),
    }
}

/// The time of day, in UTC as in the service's log.
pub fn clock(unix_ms: u64) -> String {
    let seconds = unix_ms / 1000;
    format!("{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

/// A day and the time of day, in UTC.
pub fn date(unix_ms: u64) -> String {
    // Days are counted from 0000-03-01, so that the day that some years have is a year's last one
    // (the algorithm `civil_from_days`, in eras of 400 years).
    let days = unix_ms / 86_400_000 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year + u64::from(month >= 10);
    let month = if month < 10 { month + 3 } else { month - 9 };
    format!("{year:04}-{month:02}-{day:02} {}", clock(unix_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_threes() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1000), "1 000");
        assert_eq!(grouped(1_234_567), "1 234 567");
        assert_eq!(signed(-1234), "-1 234");
        assert_eq!(signed(5), "+5");
        assert_eq!(signed(i64::MIN), "-9 223 372 036 854 775 808");
    }

    #[test]
    fn short_numbers_are_short() {
        assert_eq!(short(999_999), "999 999");
        assert_eq!(short(1_000_000), "1.00 M");
        assert_eq!(short(12_345_678), "12.3 M");
        assert_eq!(short(999_999_999), "999 M");
        assert_eq!(short(1_234_567_890), "1.23 G");
        assert_eq!(short(u64::MAX), "18.4 E");
        for exponent in 0..20 {
            let number = 10_u64.pow(exponent);
            assert!(short(number).len() <= 7, "{number}");
            assert!(short(number - 1).len() <= 7, "{number}");
        }
    }

    #[test]
    fn percent_never_hides_a_chance() {
        assert_eq!(percent(0, 0), "-");
        assert_eq!(percent(0, 5), "0.00 %");
        assert_eq!(percent(1, 1_000_000), "<0.01 %");
        assert_eq!(percent(1, 22), "4.55 %");
        assert_eq!(percent(70, 220), "31.8 %");
        assert_eq!(percent(u64::MAX, u64::MAX), "100.0 %");
    }

    #[test]
    fn times_and_sizes_are_rounded_to_what_matters() {
        assert_eq!(micros(104), "104 µs");
        assert_eq!(micros(1234), "1.2 ms");
        assert_eq!(micros(12_345), "12 ms");
        assert_eq!(micros(2_500_000), "2.5 s");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(65_536 * 1024), "64.0 MiB");
        assert_eq!(bytes(1024 * 1024 - 1), "1.0 MiB");
        assert_eq!(bytes(u64::MAX), "16.0 EiB");
        assert_eq!(span(Duration::from_millis(59_999)), "59 s");
        assert_eq!(span(Duration::from_secs(125)), "2 min 05 s");
        assert_eq!(span(Duration::from_mins(130)), "2 h 10 min");
        assert_eq!(span(Duration::from_hours(52)), "2 d 4 h");
        assert_eq!(rate(0.0), "0/s");
        assert_eq!(rate(0.5), "0.5/s");
        assert_eq!(rate(12_345.4), "12 345/s");
        assert_eq!(rate(f64::NAN), "0/s");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01 00:00:00");
        assert_eq!(date(951_782_400_000), "2000-02-29 00:00:00");
        assert_eq!(date(1_709_251_199_000), "2024-02-29 23:59:59");
        assert_eq!(date(1_735_689_600_000), "2025-01-01 00:00:00");
        assert_eq!(clock(86_399_999), "23:59:59");
    }
}
