//! Cookie dates: whatever servers have ever written into `Expires` (draft-ietf-httpbis-rfc6265bis §5.1.1).

use time::{Date, Month, Time};

/// The Unix milliseconds that `text` stands for, by the algorithm of §5.1.1; always UTC, whatever zone the text names.
pub(super) fn parse(text: &[u8]) -> Option<i64> {
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    // in this order, each token taken by the first production that is still missing (step 2)
    for token in text
        .split(|octet| is_delimiter(*octet))
        .filter(|token| !token.is_empty())
    {
        if time.is_none()
            && let Some(found) = hours_minutes_seconds(token)
        {
            time = Some(found);
        } else if day.is_none()
            && let Some((found, _)) = leading_number(token, 1, 2)
        {
            day = Some(found);
        } else if month.is_none()
            && let Some(found) = month_of(token)
        {
            month = Some(found);
        } else if year.is_none()
            && let Some((found, _)) = leading_number(token, 2, 4)
        {
            year = Some(found);
        }
    }
    let (hour, minute, second) = time?;
    let year = match year? {
        short @ 70..=99 => short + 1900,
        short @ 0..=69 => short + 2000,
        ..=1600 => return None, // step 5
        long => long,
    };
    // `time` refuses days, hours, minutes and seconds that don't exist (steps 5 and 6); none of them is a leap second
    let date = Date::from_calendar_date(i32::from(year), month?, u8::try_from(day?).ok()?).ok()?;
    let time = Time::from_hms(
        u8::try_from(hour).ok()?,
        u8::try_from(minute).ok()?,
        u8::try_from(second).ok()?,
    )
    .ok()?;
    Some(date.with_time(time).assume_utc().unix_timestamp() * 1000)
}

/// `delimiter` of §5.1.1. A colon is none.
fn is_delimiter(octet: u8) -> bool {
    matches!(octet, 0x09 | 0x20..=0x2f | 0x3b..=0x40 | 0x5b..=0x60 | 0x7b..=0x7e)
}

/// `hms-time [ non-digit *OCTET ]`.
fn hours_minutes_seconds(token: &[u8]) -> Option<(u16, u16, u16)> {
    let (hour, rest) = digits(token, 1, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(b":")?, 1, 2)?;
    let (second, _) = leading_number(rest.strip_prefix(b":")?, 1, 2)?;
    Some((hour, minute, second))
}

/// Between `least` and `most` digits, then the end or something that is no digit.
fn leading_number(token: &[u8], least: usize, most: usize) -> Option<(u16, &[u8])> {
    let (number, rest) = digits(token, least, most)?;
    (!rest.first().is_some_and(u8::is_ascii_digit)).then_some((number, rest))
}

/// Between `least` and `most` (four, for the number's type) digits and what follows them.
fn digits(text: &[u8], least: usize, most: usize) -> Option<(u16, &[u8])> {
    let length = text
        .iter()
        .take(most)
        .take_while(|octet| octet.is_ascii_digit())
        .count();
    if length < least {
        return None;
    }
    let (digits, rest) = text.split_at_checked(length)?;
    let number = digits
        .iter()
        .fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
    Some((number, rest))
}

/// The month whose English name's first three letters the token begins with, in any case.
fn month_of(token: &[u8]) -> Option<Month> {
    Some(
        match token.first_chunk::<3>()?.to_ascii_lowercase().as_slice() {
            b"jan" => Month::January,
            b"feb" => Month::February,
            b"mar" => Month::March,
            b"apr" => Month::April,
            b"may" => Month::May,
            b"jun" => Month::June,
            b"jul" => Month::July,
            b"aug" => Month::August,
            b"sep" => Month::September,
            b"oct" => Month::October,
            b"nov" => Month::November,
            b"dec" => Month::December,
            _ => return None,
        },
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110 §5.6.7.
    const EXAMPLE: i64 = 784_111_777_000;

    #[test]
    fn a_date_is_read_however_it_is_spelt() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",  // IMF-fixdate
            "Sunday, 06-Nov-94 08:49:37 GMT", // RFC 850
            "Sun Nov  6 08:49:37 1994",       // asctime
            "Sun, 06-Nov-1994 08:49:37 GMT",  // as the first browser wrote it
            "06 Nov 1994 08:49:37",
            "6 nOvEmBeR 94 8:49:37",
            "1994 08:49:37 06 Nov", // 1994 has too many digits for a day
            "08:49:37 06 Nov 1994 09:50:38", // the first time counts; the second is neither day, month nor year
            "Sun, 06 Nov 1994 08:49:37 +0500", // zones are passed over
            "Sun, 06 Nov 1994 08:49:37 PST",
            "Mon, 06 Nov 1994 08:49:37 GMT", // week days too
            "\t@Sun,,06[Nov]1994~08:49:37@",
            "06th Nov 1994AD 08:49:37Z", // letters after the digits
            "06 Nov 1994 08:49:37.999",
            "06 Nov 1994 08:49:37 \u{662}", // an Arabic digit is no digit, and does no harm
        ] {
            assert_eq!(parse(text.as_bytes()), Some(EXAMPLE), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "tomorrow",
            "Sun, 06 Nov 1994",      // no time
            "06 1994 08:49:37",      // no month
            "Nov 1994 08:49:37",     // no day: 1994 is the year only
            "06 Nov 08:49:37",       // no year
            "06 Nov 1994 08:49",     // no seconds
            "06 Nov 1994 08: 49:37", // a space ends the token
            "06 Nov 1994 008:49:37", // three digits
            "06 Nov 1994 08:49:377",
            "06 Nov 1994 24:00:00",
            "06 Nov 1994 08:60:00",
            "06 Nov 1994 08:49:60", // no leap seconds in this syntax
            "00 Nov 1994 08:49:37",
            "31 Nov 1994 08:49:37",
            "29 Feb 2100 08:49:37", // no leap year
            "32 Nov 1994 08:49:37",
            "06 Nov 1600 08:49:37",
            "06 Nov 100 08:49:37", // three digits are taken as they are: the year 100
            "06 Nov 19941 08:49:37", // five digits
            "06 No 1994 08:49:37",
            "94 Nov 06 08:49:37", // the first short number is the day
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        // a second time is read as a day, and what was meant as the day as a year
        assert_eq!(
            parse(b"08:49:37 09:50:38 06 Nov 1994"),
            parse(b"9 Nov 2006 08:49:37")
        );
    }

    #[test]
    fn two_digits_of_a_year_lie_between_1970_and_2069() {
        for (short, long) in [("70", 1970), ("99", 1999), ("00", 2000), ("69", 2069)] {
            assert_eq!(
                parse(format!("1 Jan {short} 0:0:0").as_bytes()),
                parse(format!("1 Jan {long} 00:00:00").as_bytes()),
            );
        }
        assert_eq!(parse(b"1 Jan 1970 0:0:0"), Some(0));
        assert_eq!(parse(b"1 Jan 1601 0:0:0"), Some(-11_644_473_600_000));
        assert_eq!(parse(b"31 Dec 9999 23:59:59"), Some(253_402_300_799_000));
    }

    proptest! {
        #[test]
        fn any_octets_are_read_without_a_panic(text in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&text);
        }

        #[test]
        fn every_second_of_the_calendar_comes_back(seconds in -11_644_473_600_i64..253_402_300_800) {
            let date = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap();
            let text = format!(
                "{}, {:02} {} {} {:02}:{:02}:{:02} GMT",
                date.weekday(), date.day(), date.month(), date.year(), date.hour(), date.minute(), date.second(),
            );
            prop_assert_eq!(parse(text.as_bytes()), Some(seconds * 1000));
        }
    }
}
