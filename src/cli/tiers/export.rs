//! The tables as `[[features]]`, `[[tiers]]` and `[[packs]]`: what `tiers apply` writes, read back.

use std::fmt::Write;

use crate::billing::catalogue::Catalogue;
use crate::billing::quota::Included;
use crate::billing::quota::level::FeatureKind;

/// The catalogue as configuration.
pub(super) fn toml(catalogue: &Catalogue) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = written(&mut text, catalogue);
    text
}

fn written(text: &mut String, catalogue: &Catalogue) -> std::fmt::Result {
    for (name, feature) in &catalogue.features {
        writeln!(text, "[[features]]\nname = {}", quoted(name))?;
        if let Some(unit) = &feature.unit {
            writeln!(text, "unit = {}", quoted(unit))?;
        }
        if let Some(FeatureKind::Level) = feature.kind {
            writeln!(text, "kind = {}", quoted(FeatureKind::Level.name()))?;
        }
        writeln!(text)?;
    }
    let mut tiers: Vec<_> = catalogue.tiers.iter().collect();
    tiers.sort_by_key(|(_, tier)| tier.price_cents);
    for (code, tier) in tiers {
        writeln!(text, "[[tiers]]\ncode = {}\nname = {}", quoted(code), quoted(&tier.name))?;
        writeln!(text, "monthly_price_cents = {}", tier.price_cents)?;
        writeln!(text, "currency = {}", quoted(&tier.currency))?;
        for (feature, included) in &tier.limits {
            let included = match included {
                Included::Unlimited => quoted("unlimited"),
                // Text keeps every digit.
                Included::Quantity(quantity) => quoted(&quantity.to_string()),
            };
            writeln!(text, "limits.{} = {included}", quoted(feature))?;
        }
        for (feature, price) in &tier.prices {
            let price = quoted(&price.to_string());
            writeln!(text, "uncovered_price_cents.{} = {price}", quoted(feature))?;
        }
        writeln!(text)?;
    }
    for (code, offer) in &catalogue.offers {
        writeln!(text, "[[packs]]\ncode = {}", quoted(code))?;
        writeln!(text, "feature = {}", quoted(&offer.feature))?;
        writeln!(text, "quantity = {}", quoted(&offer.quantity.to_string()))?;
        writeln!(text, "price_cents = {}", offer.price_cents)?;
        writeln!(text, "currency = {}\n", quoted(&offer.currency))?;
    }
    Ok(())
}

/// A basic string of TOML; a bare key is always a string, too.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
