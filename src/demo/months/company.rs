//! The cast: what the sample company sells, and who its customers are.

use uuid::Uuid;

use super::Error;
use crate::billing::{Instant, Quantity, TimeOfDay};
use crate::jobs::orgs;
use crate::store::sample::{self, Limit, Person};
use crate::store::{Database, orgs as stored};
use crate::tz::TzData;

const MINUTES: &str = "minutes_transcribed";
const SCRAPES: &str = "scrapes";
const EMAILS: &str = "emails_sent";
const MESSAGES: &str = "sms_sent";
/// A level: it carries over, and is set rather than counted.
pub(super) const SEATS: &str = "seats";

/// What the tiers include.
const LIMITS: [Limit; 14] = [
    ("free", MINUTES, Some(60)),
    ("free", SCRAPES, Some(100)),
    ("starter", MINUTES, Some(600)),
    ("starter", SCRAPES, Some(2_000)),
    ("starter", EMAILS, Some(1_500)),
    ("pro", MINUTES, Some(3_000)),
    ("pro", SCRAPES, Some(10_000)),
    ("pro", EMAILS, Some(20_000)),
    ("pro", MESSAGES, Some(500)),
    ("business", MINUTES, None),
    ("business", SCRAPES, Some(50_000)),
    ("business", EMAILS, None),
    ("business", MESSAGES, Some(2_000)),
    ("business", SEATS, Some(25)),
];

/// A customer.
pub(super) struct Customer {
    pub(super) slug: &'static str,
    name: &'static str,
    /// Where it signed up, and whose hours it works.
    pub(super) zone: &'static str,
    cycle: &'static str,
    anchor_day: i16,
    anchor_month: i16,
    anchor_time: TimeOfDay,
    tier: &'static str,
    people: &'static [&'static str],
    /// What it uses, day by day.
    pub(super) habits: &'static [Habit],
}

/// How a customer uses one feature.
pub(super) struct Habit {
    pub(super) feature: &'static str,
    /// Uses on a working day, at least and at most.
    pub(super) uses: (u32, u32),
    /// Size of one use, at least and at most, in steps of [`Habit::step`].
    pub(super) size: (u32, u32),
    /// The smallest amount there is, in millionths.
    pub(super) step: i32,
    /// Does it go on at weekends?
    pub(super) weekends: bool,
    /// How the application reports it.
    pub(super) reported: Reported,
}

/// How an application reports usage.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reported {
    /// It inserts a metric; periodd counts it later.
    Inserted,
    /// It calls `record_usage` and says who it was.
    Recorded,
}

const fn habit(feature: &'static str, uses: (u32, u32), size: (u32, u32)) -> Habit {
    let (step, reported) = (1_000_000, Reported::Recorded);
    Habit { feature, uses, size, step, weekends: false, reported }
}

/// Nobody in particular sends these.
const fn messages(uses: (u32, u32), size: (u32, u32)) -> Habit {
    Habit { reported: Reported::Inserted, ..habit(MESSAGES, uses, size) }
}

/// Minutes come in quarters.
const fn minutes(uses: (u32, u32), size: (u32, u32)) -> Habit {
    let habit = habit(MINUTES, uses, size);
    Habit { step: 250_000, reported: Reported::Inserted, ..habit }
}

const fn monthly(slug: &'static str, name: &'static str, zone: &'static str) -> Customer {
    let (cycle, anchor_day, anchor_month) = ("monthly", 1, 1);
    let anchor_time = TimeOfDay::MIDNIGHT;
    let (tier, people, habits): (_, &[&str], &[Habit]) = ("free", &["office"], &[]);
    Customer {
        slug,
        name,
        zone,
        cycle,
        anchor_day,
        anchor_month,
        anchor_time,
        tier,
        people,
        habits,
    }
}

/// Sixteen customers, in as many zones: with every cycle, one who is billed at a time of day, and
/// one whose plan is for life.
pub(super) const CUSTOMERS: [Customer; 16] = [
    Customer {
        anchor_day: 31,
        tier: "pro",
        people: &["anke", "jonas"],
        habits: &[minutes((4, 8), (40, 164)), habit(EMAILS, (1, 4), (40, 160))],
        ..monthly("alster", "Alster Radio", "Europe/Berlin")
    },
    Customer {
        anchor_day: 15,
        tier: "pro",
        people: &["salma"],
        habits: &[messages((3, 6), (4, 15))],
        ..monthly("anfa", "Anfa Telecom", "Africa/Casablanca")
    },
    Customer {
        anchor_day: 31,
        tier: "business",
        people: &["megan", "tariq"],
        habits: &[minutes((6, 12), (60, 240)), habit(SCRAPES, (3, 6), (100, 900))],
        ..monthly("burrard", "Burrard Studios", "America/Vancouver")
    },
    Customer {
        tier: "starter",
        people: &["olive"],
        habits: &[minutes((1, 3), (8, 40))],
        ..monthly("fleet", "Fleet Street Press", "Europe/London")
    },
    Customer {
        cycle: "weekly",
        anchor_day: 7,
        tier: "starter",
        people: &["duarte"],
        habits: &[Habit { weekends: true, ..habit(EMAILS, (2, 5), (20, 100)) }],
        ..monthly("furnas", "Furnas Observatory", "Atlantic/Azores")
    },
    Customer {
        anchor_day: 15,
        tier: "starter",
        people: &["ananya", "rohit"],
        habits: &[minutes((3, 6), (10, 54))],
        ..monthly("howrah", "Howrah Clinics", "Asia/Kolkata")
    },
    Customer {
        tier: "business",
        people: &["carla", "dwight"],
        habits: &[minutes((8, 14), (40, 200)), messages((4, 8), (5, 30))],
        ..monthly("hudson", "Hudson Legal", "America/New_York")
    },
    Customer {
        cycle: "yearly",
        anchor_day: 29,
        anchor_month: 2,
        tier: "pro",
        people: &["joana"],
        habits: &[minutes((3, 7), (20, 140))],
        ..monthly("ipanema", "Ipanema Podcasts", "America/Sao_Paulo")
    },
    Customer {
        cycle: "none",
        tier: "starter",
        people: &["wei"],
        habits: &[habit(SCRAPES, (0, 2), (1, 5))],
        ..monthly("kallang", "Kallang Makers", "Asia/Singapore")
    },
    Customer {
        tier: "starter",
        people: &["haruto"],
        habits: &[minutes((2, 4), (15, 60))],
        ..monthly("kanda", "Kanda Books", "Asia/Tokyo")
    },
    Customer {
        people: &["isla"],
        habits: &[habit(SCRAPES, (1, 3), (1, 4))],
        ..monthly("lagoon", "Lagoon Tours", "Australia/Lord_Howe")
    },
    Customer {
        anchor_day: 17,
        anchor_time: TimeOfDay::constant(14, 32, 10),
        tier: "starter",
        people: &["nadia"],
        habits: &[habit(EMAILS, (1, 2), (10, 90))],
        ..monthly("nile", "Nile Newsletters", "UTC")
    },
    Customer {
        cycle: "quarterly",
        anchor_day: 28,
        anchor_month: 2,
        tier: "pro",
        people: &["odile"],
        habits: &[messages((2, 4), (2, 6))],
        ..monthly("seine", "Seine Barges", "Europe/Paris")
    },
    Customer {
        cycle: "daily",
        tier: "starter",
        people: &["teuea"],
        habits: &[Habit { weekends: true, ..habit(SCRAPES, (3, 6), (6, 18)) }],
        ..monthly("tabwakea", "Tabwakea Weather", "Pacific/Kiritimati")
    },
    Customer {
        cycle: "semiannual",
        anchor_month: 3,
        tier: "starter",
        people: &["ines"],
        habits: &[minutes((1, 2), (6, 30))],
        ..monthly("tagus", "Tagus Archive", "Europe/Lisbon")
    },
    Customer {
        anchor_day: 15,
        people: &["hine"],
        habits: &[minutes((1, 2), (4, 16))],
        ..monthly("waitangi", "Waitangi Fisheries", "Pacific/Chatham")
    },
];

/// What one customer is granted instead of what its tier includes: org, feature, quantity.
const OVERRIDE: (&str, &str, i64) = ("tabwakea", SCRAPES, 60);

impl Customer {
    /// The org's id: the same in every run.
    pub(super) fn id(&self) -> Uuid {
        id(self.slug)
    }

    /// The users' ids and emails.
    pub(super) fn people(&self) -> impl Iterator<Item = Person> {
        self.people.iter().map(|name| {
            let email = format!("{name}@{}.example", self.slug);
            Person { id: id(&email), org: self.id(), email }
        })
    }
}

/// An id made from a name.
pub(super) fn id(name: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_DNS, format!("{name}.demo.periodd.example").as_bytes())
}

/// Sees to it that the company is there; who is there already is left alone.
pub(super) async fn open(database: &Database, tz: &TzData, now: Instant) -> Result<(), Error> {
    sample::level(database, SEATS, SEATS).await?;
    sample::tier_limits(database, &LIMITS).await?;
    let there =
        stored::list(&mut *database.connection().await?, &stored::Filter::default()).await?;
    for customer in &CUSTOMERS {
        if !there.iter().any(|org| org.slug == customer.slug) {
            orgs::add(database, tz, &customer.request(), now).await?;
        }
    }
    let people: Vec<Person> = CUSTOMERS.iter().flat_map(Customer::people).collect();
    let contacts: Vec<(Uuid, String)> = CUSTOMERS
        .iter()
        .map(|customer| (customer.id(), format!("billing@{}.example", customer.slug)))
        .collect();
    sample::people(database, &people, &contacts).await?;
    let (org, feature, included) = OVERRIDE;
    sample::override_limit(database, id(org), feature, Quantity::units(included)).await?;
    Ok(())
}

impl Customer {
    fn request(&self) -> orgs::Request {
        orgs::Request {
            id: Some(self.id()),
            slug: self.slug.to_owned(),
            name: self.name.to_owned(),
            zone: self.zone.to_owned(),
            cycle: self.cycle.to_owned(),
            anchor_day: self.anchor_day,
            anchor_month: self.anchor_month,
            anchor_time: self.anchor_time,
            tier: self.tier.to_owned(),
            period_end: None,
            period_start: None,
            contacts: Vec::new(),
        }
    }
}
