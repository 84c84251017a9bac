//! Numbers as charts write them.

use jiff::SignedDuration;

use crate::billing::Quantity;
use crate::billing::when::amount;
use crate::text::thousands_apart;

const UNIT: i128 = 1_000_000;

/// A quantity with all its digits, in groups of three: `1,234,567.5`.
pub(super) fn grouped(quantity: Quantity) -> String {
    thousands_apart(&quantity.to_string(), '-')
}

/// A count, likewise.
pub(super) fn count(count: u64) -> String {
    thousands_apart(&count.to_string(), '-')
}

/// A count as a quantity, to be drawn on the same scales.
pub(super) fn units(count: u64) -> Quantity {
    Quantity::units(i64::try_from(count).unwrap_or(i64::MAX))
}

/// A count with its noun: `1 org`, `940 orgs`.
pub(super) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A round quantity beside an axis: `1,500`, `2.5 M`, `10 bn`.
pub(super) fn compact(quantity: Quantity) -> String {
    let units = quantity.millionths() / UNIT;
    let [million, billion, trillion] = [6, 9, 12].map(|zeros| 10_i128.pow(zeros));
    let (size, name) = match units {
        ..1_000_000 => return grouped(quantity),
        _ if units < billion => (million, "M"),
        _ if units < trillion => (billion, "bn"),
        _ if units < 1_000 * trillion => (trillion, "tn"),
        _ => {
            let zeros = units.ilog10();
            let [first, second] = [zeros, zeros - 1].map(|zeros| units / 10_i128.pow(zeros) % 10);
            let second = if second == 0 { String::new() } else { format!(".{second}") };
            return format!("{first}{second}e{zeros}");
        }
    };
    let hundredths = units * 100 / size;
    let short = Quantity::from_millionths(hundredths * UNIT / 100).unwrap_or(quantity);
    format!("{} {name}", grouped(short))
}

/// A part of a whole in percent, to a tenth, cut off: `80.4 %`.
pub(super) fn percent(part: Quantity, whole: Quantity) -> Option<String> {
    let tenths = part.millionths().checked_mul(1_000)?.checked_div(whole.millionths())?;
    let text = grouped(Quantity::from_millionths(tenths * UNIT / 10).ok()?);
    Some(format!("{text} %"))
}

/// A lateness: `0.4 s`, `12 s`, `2 h 38 min`.
pub(super) fn late(span: SignedDuration) -> String {
    let milliseconds = span.as_millis().max(0);
    match u64::try_from(milliseconds).unwrap_or(u64::MAX) {
        milliseconds @ 0..10_000 => match (milliseconds / 1_000, milliseconds / 100 % 10) {
            (seconds, 0) => format!("{seconds} s"),
            (seconds, tenths) => format!("{seconds}.{tenths} s"),
        },
        milliseconds => amount(milliseconds / 1_000),
    }
}

/// Round values from zero to the first that is at least `top`, at most `most` steps apart.
pub(super) fn rounds(top: Quantity, most: usize) -> Vec<Quantity> {
    let top = top.millionths().max(1);
    let most = i128::try_from(most.max(1)).unwrap_or(1);
    // Of what is counted in units there are no halves.
    let mut base: i128 = if top >= 2 * UNIT { UNIT } else { 1 };
    let step = loop {
        let fine = [1, 2, 5].map(|times| base * times).into_iter();
        if let Some(step) = fine.into_iter().find(|step| top <= step * most) {
            break step;
        }
        base *= 10;
    };
    let last = (top + step - 1) / step;
    (0..=last).filter_map(|number| Quantity::from_millionths(number * step).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn q(text: &str) -> Quantity {
        text.parse().unwrap()
    }

    #[test]
    fn numbers_are_grouped_and_short_beside_an_axis() {
        for (quantity, text, short) in [
            ("0", "0", "0"),
            ("999", "999", "999"),
            ("1234567.5", "1,234,567.5", "1.23 M"),
            ("-1000", "-1,000", "-1,000"),
            ("500000", "500,000", "500,000"),
            ("2500000", "2,500,000", "2.5 M"),
            ("10000000000", "10,000,000,000", "10 bn"),
            ("5000000000000000000000", "5,000,000,000,000,000,000,000", "5e21"),
        ] {
            assert_eq!((grouped(q(quantity)), compact(q(quantity))), (text.into(), short.into()));
        }
        assert_eq!(
            (counted(1, "org"), counted(1_940, "org")),
            ("1 org".into(), "1,940 orgs".into())
        );
    }

    #[test]
    fn a_percentage_is_cut_off_so_that_nothing_is_full_before_it_is() {
        assert_eq!(percent(q("3379.999"), q("4200")).as_deref(), Some("80.4 %"));
        assert_eq!(percent(q("99.99"), q("100")).as_deref(), Some("99.9 %"));
        assert_eq!(percent(q("5"), q("4")).as_deref(), Some("125 %"));
        assert_eq!(percent(q("5"), Quantity::ZERO), None);
    }

    #[test]
    fn steps_are_round_and_reach_the_top() {
        for (top, most, all) in [
            ("4200", 5, "0 1000 2000 3000 4000 5000"),
            ("1", 5, "0 0.2 0.4 0.6 0.8 1"),
            ("3", 5, "0 1 2 3"),
            ("2", 5, "0 1 2"),
            ("0.000001", 4, "0 0.000001"),
            ("7", 4, "0 2 4 6 8"),
        ] {
            let steps: Vec<String> = rounds(q(top), most).iter().map(Quantity::to_string).collect();
            assert_eq!(steps.join(" "), all, "{top}");
        }
        let largest = q("9999999999999999999999");
        assert!(rounds(largest, 4).len() > 1);
    }

    #[test]
    fn lateness_has_tenths_of_a_second_where_they_matter() {
        let of = |milliseconds| late(SignedDuration::from_millis(milliseconds));
        assert_eq!([of(-5), of(449), of(9_999)], ["0 s", "0.4 s", "9.9 s"]);
        assert_eq!([of(12_345), of(9_480_000)], ["12 s", "2 h 38 min"]);
    }
}
