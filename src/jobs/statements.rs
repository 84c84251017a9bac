//! Statements of closed periods: what was used, who paid for it and what it costs. The command and
//! the dashboard read the same.

use std::collections::BTreeMap;

use crate::billing::Quantity;
use crate::billing::price::{amount, share};
use crate::billing::quantity::Overflow;
use crate::command::Command;
use crate::store::reports::statement::{
    self, Adjustment, Bought, ClosedPeriod, Keys, MOST, Paid, Refund, UsageRow,
};
use crate::store::{Connection, StoreError};

/// Periods whose rows are read at once.
const AT_ONCE: usize = 200;

/// A closed period with everything that belongs to it.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) period: ClosedPeriod,
    pub(crate) usage: Vec<UsageRow>,
    pub(crate) adjustments: Vec<Adjustment>,
    /// Packs that were bought within the period.
    pub(crate) bought: Vec<Bought>,
    /// What was refunded of packs within the period.
    pub(crate) refunds: Vec<Refund>,
    /// What packs paid for the period.
    pub(crate) paid: Vec<Paid>,
}

/// What a statement comes to in a currency, in hundredths of it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub(crate) struct Amounts {
    pub(crate) currency: String,
    /// Uncovered usage at the close.
    pub(crate) usage_cents: Quantity,
    /// Uncovered usage that came later.
    pub(crate) adjustments_cents: Quantity,
    /// Packs that were bought.
    pub(crate) packs_cents: Quantity,
    /// Refunds of packs; negative.
    pub(crate) refunds_cents: Quantity,
    /// All of it.
    pub(crate) total_cents: Quantity,
}

/// The statements of these periods, in the order of the keys, as far as they are closed.
///
/// # Errors
/// [`StoreError::Invalid`] for a period with more than [`MOST`] rows of a kind.
pub(crate) async fn read(
    connection: &mut Connection,
    keys: &Keys,
) -> Result<Vec<Statement>, StoreError> {
    let mut statements = Vec::with_capacity(keys.len());
    for keys in keys.chunks(AT_ONCE) {
        let periods = statement::periods(connection, &keys).await?;
        let mut usage = by_place(statement::usage(connection, &keys).await?, |row| row.place);
        let mut adjustments =
            by_place(statement::adjustments(connection, &keys).await?, |row| row.place);
        let mut bought = by_place(statement::bought(connection, &keys).await?, |row| row.place);
        let mut refunds = by_place(statement::refunds(connection, &keys).await?, |row| row.place);
        let mut paid = by_place(statement::paid(connection, &keys).await?, |row| row.place);
        for period in periods {
            let place = period.place;
            let statement = Statement {
                usage: usage.remove(&place).unwrap_or_default(),
                adjustments: adjustments.remove(&place).unwrap_or_default(),
                bought: bought.remove(&place).unwrap_or_default(),
                refunds: refunds.remove(&place).unwrap_or_default(),
                paid: paid.remove(&place).unwrap_or_default(),
                period,
            };
            whole(&statement)?;
            statements.push(statement);
        }
    }
    Ok(statements)
}

/// Refuses a statement that would leave something out.
fn whole(statement: &Statement) -> Result<(), StoreError> {
    let rows = [
        (statement.usage.len(), "features", "closes"),
        (statement.adjustments.len(), "adjustments", "adjustments"),
        (statement.bought.len(), "purchases of packs", "packs"),
        (statement.refunds.len(), "refunds of packs", "ledger"),
        (statement.paid.len(), "packs that paid for it", "ledger"),
    ];
    match rows.into_iter().find(|(rows, ..)| *rows > MOST) {
        None => Ok(()),
        Some((_, rows, kind)) => {
            let ClosedPeriod { slug, start, .. } = &statement.period;
            let export = Command::periodd(["export", kind]);
            Err(StoreError::Invalid(format!(
                "{slug}: the period from {start} has more than {MOST} {rows}; use `{export}`"
            )))
        }
    }
}

fn by_place<T>(rows: Vec<T>, place: impl Fn(&T) -> i64) -> BTreeMap<i64, Vec<T>> {
    let mut places: BTreeMap<i64, Vec<T>> = BTreeMap::new();
    for row in rows {
        places.entry(place(&row)).or_default().push(row);
    }
    places
}

/// What uncovered usage costs; `None`: it has no price.
///
/// # Errors
/// [`Overflow`] from 10^22 on.
pub(crate) fn cost(
    uncovered: Quantity,
    price: Option<Quantity>,
) -> Result<Option<Quantity>, Overflow> {
    price.map(|price| amount(uncovered, price)).transpose()
}

/// What a refund comes to, as a negative amount: its share of what the pack was sold for. `None`:
/// that is unknown.
///
/// # Errors
/// [`Overflow`] from 10^22 on.
pub(crate) fn refunded(refund: &Refund) -> Result<Option<Quantity>, Overflow> {
    let Refund { quantity, before, sold, .. } = refund;
    let cents = refund.price_cents.map(|price| share(price, *sold, *before, *quantity));
    cents.map(|cents| Quantity::ZERO.minus(cents?)).transpose()
}

impl Statement {
    /// What it comes to, by currency: the sums of its lines.
    ///
    /// # Errors
    /// [`Overflow`] from 10^22 on.
    pub(crate) fn totals(&self) -> Result<Vec<Amounts>, Overflow> {
        let mut totals = BTreeMap::new();
        if let Some(currency) = &self.period.currency {
            let total = of_currency(&mut totals, currency);
            for row in &self.usage {
                let cost = cost(row.uncovered, row.price)?.unwrap_or_default();
                total.usage_cents = total.usage_cents.plus(cost)?;
            }
        }
        for row in &self.adjustments {
            let (Some(cost), Some(currency)) = (cost(row.uncovered, row.price)?, &row.currency)
            else {
                continue;
            };
            let total = of_currency(&mut totals, currency);
            total.adjustments_cents = total.adjustments_cents.plus(cost)?;
        }
        for pack in &self.bought {
            let (Some(cents), Some(currency)) = (pack.price_cents, &pack.currency) else {
                continue;
            };
            let total = of_currency(&mut totals, currency);
            total.packs_cents = total.packs_cents.plus(Quantity::units(cents))?;
        }
        for refund in &self.refunds {
            let (Some(cents), Some(currency)) = (refunded(refund)?, &refund.currency) else {
                continue;
            };
            let total = of_currency(&mut totals, currency);
            total.refunds_cents = total.refunds_cents.plus(cents)?;
        }
        totals.into_values().map(Amounts::summed).collect()
    }

    /// Do the packs' ledgers say of each feature what the period and its adjustments say? Periods
    /// that were brought from elsewhere may have no draws.
    pub(crate) fn agrees_with_ledger(&self) -> bool {
        let mut drawn: BTreeMap<&str, i128> = BTreeMap::new();
        let booked = self.usage.iter().map(|row| (&row.feature, row.drawn));
        let later = self.adjustments.iter().map(|row| (&row.feature, row.drawn));
        for (feature, quantity) in booked.chain(later) {
            *drawn.entry(feature).or_default() += quantity.millionths();
        }
        for paid in &self.paid {
            *drawn.entry(&paid.feature).or_default() -= paid.quantity.millionths();
        }
        drawn.values().all(|difference| *difference == 0)
    }
}

fn of_currency<'a>(totals: &'a mut BTreeMap<String, Amounts>, currency: &str) -> &'a mut Amounts {
    totals.entry(currency.to_owned()).or_insert_with(|| Amounts {
        currency: currency.to_owned(),
        usage_cents: Quantity::ZERO,
        adjustments_cents: Quantity::ZERO,
        packs_cents: Quantity::ZERO,
        refunds_cents: Quantity::ZERO,
        total_cents: Quantity::ZERO,
    })
}

impl Amounts {
    fn summed(self) -> Result<Self, Overflow> {
        let Self { usage_cents, adjustments_cents, packs_cents, refunds_cents, .. } = self;
        let parts = [usage_cents, adjustments_cents, packs_cents, refunds_cents];
        Ok(Self { total_cents: Quantity::sum(parts)?, ..self })
    }
}

/// The totals of several statements, by currency.
///
/// # Errors
/// [`Overflow`] from 10^22 on.
pub(crate) fn sum(totals: impl IntoIterator<Item = Amounts>) -> Result<Vec<Amounts>, Overflow> {
    let mut sums = BTreeMap::new();
    for one in totals {
        let sum = of_currency(&mut sums, &one.currency);
        sum.usage_cents = sum.usage_cents.plus(one.usage_cents)?;
        sum.adjustments_cents = sum.adjustments_cents.plus(one.adjustments_cents)?;
        sum.packs_cents = sum.packs_cents.plus(one.packs_cents)?;
        sum.refunds_cents = sum.refunds_cents.plus(one.refunds_cents)?;
    }
    sums.into_values().map(Amounts::summed).collect()
}
