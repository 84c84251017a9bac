//! The customers' daily life: which uses fall into a stretch of time.
//!
//! Every day of every customer is drawn from a seed of its own, so a stretch holds the same uses
//! however the clock gets through it, in every run. Each use has a key, so that a stretch which
//! is told twice counts once.

use jiff::SignedDuration;
use uuid::Uuid;

use super::Error;
use super::company::{self, CUSTOMERS, Customer, Habit, Reported};
use crate::billing::instant::OutOfRange;
use crate::billing::{Instant, LocalDate, Period, Quantity, Zone};
use crate::store::Database;
use crate::store::usage::batch::{self, Terms};
use crate::store::usage::{self, NewUsage};
use crate::tz::TzData;

/// People are at work from here to there, in seconds of the local day.
const WORKING_HOURS: (i64, i64) = (7 * 3600, 21 * 3600);

/// The uses of a stretch of time, by the way they are reported.
#[derive(Default)]
pub(super) struct Uses {
    inserted: Vec<NewUsage>,
    recorded: Vec<NewUsage>,
}

impl Uses {
    /// The uses of all customers in `[from, until)`.
    pub(super) fn between(tz: &TzData, from: Instant, until: Instant) -> Result<Self, Error> {
        let mut uses = Self::default();
        if from >= until {
            return Ok(uses);
        }
        let stretch = Period { start: from, end: until };
        for customer in &CUSTOMERS {
            let zone = tz.zone(customer.zone)?;
            let last = zone.date(until);
            let mut date = zone.date(from);
            while date <= last {
                for habit in customer.habits {
                    uses.add_day(customer, habit, &zone, date, stretch)?;
                }
                date = LocalDate(date.0.tomorrow().map_err(|_| OutOfRange)?);
            }
        }
        Ok(uses)
    }

    fn add_day(
        &mut self,
        customer: &Customer,
        habit: &Habit,
        zone: &Zone,
        date: LocalDate,
        stretch: Period,
    ) -> Result<(), Error> {
        if !habit.weekends && date.0.weekday().to_monday_one_offset() > 5 {
            return Ok(());
        }
        let day = zone.first_instant(date)?;
        let mut random = fastrand::Rng::with_seed(seed(customer, habit, date));
        let people: Vec<Uuid> = customer.people().map(|person| person.id).collect();
        for number in 0..random.u32(habit.uses.0..=habit.uses.1) {
            let second = random.i64(WORKING_HOURS.0..WORKING_HOURS.1);
            let steps = i128::from(random.u32(habit.size.0..=habit.size.1));
            let user = random.choice(&people).copied();
            let used_at = day.plus(SignedDuration::from_secs(second))?;
            if !stretch.contains(used_at) {
                continue;
            }
            let recorded = habit.reported == Reported::Recorded;
            let list = if recorded { &mut self.recorded } else { &mut self.inserted };
            list.push(NewUsage {
                org: customer.id(),
                feature: habit.feature.to_owned(),
                quantity: Quantity::from_millionths(steps * i128::from(habit.step))?,
                user: user.filter(|_| recorded),
                used_at,
                key: Some(format!("demo-{}-{date}-{number}", habit.feature)),
            });
        }
        Ok(())
    }

    /// Has the application report them, in both ways.
    pub(super) async fn report(&self, database: &Database) -> Result<(), Error> {
        if !self.inserted.is_empty() {
            usage::insert_metrics(database, &self.inserted).await?;
        }
        if !self.recorded.is_empty() {
            let terms = Terms { is_partial: false, is_internal: false };
            batch::record(&mut *database.connection().await?, &self.recorded, terms).await?;
        }
        Ok(())
    }
}

/// A number that belongs to one customer, feature and day.
fn seed(customer: &Customer, habit: &Habit, date: LocalDate) -> u64 {
    let name = format!("{}/{}/{date}", customer.slug, habit.feature);
    company::id(&name).as_u64_pair().0
}
