//! Purchases without a pack: units that somebody added to a derived column of what was purchased.
//! They are reported with the command that corrects it, and recorded for those who run periodd.

use std::collections::HashMap;

use uuid::Uuid;

use super::report::WithoutPack;
use super::{Job, Pass};
use crate::billing::notice::sold::{self, Sold};
use crate::billing::notice::{Decided, Kind, Part, Seen};
use crate::billing::{Instant, Quantity};
use crate::command::Command;
use crate::config::Config;
use crate::config::sections::Transport;
use crate::jobs::batches::{Batch, Batches, Stuck};
use crate::store::audit::derived::{Cell, Target};
use crate::store::notices::{self, NewNotice, NoticeState, SeenRow};
use crate::store::{Connection, LockTimeout, StoreError, begin_within, rollover::snapshot, serves};

/// Who hears of it.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Is it recorded?
    is_on: bool,
    /// Who gets an email.
    operators: Vec<String>,
}

impl Told {
    /// What the configuration says.
    pub(super) fn of(config: &Config) -> Self {
        let operators = config.mail.operators.iter().map(|operator| operator.address.clone());
        let mails = config.mail.transport != Transport::None;
        Self {
            is_on: config.notices.purchase_without_pack.enabled,
            operators: operators.filter(|_| mails).collect(),
        }
    }
}

/// A row of a derived column that holds units that no pack stands for.
#[derive(Debug, Clone, Copy)]
pub(super) struct SoldCell<'a> {
    target: &'a Target,
    org: Uuid,
    /// The row's key.
    row: Uuid,
    quantity: Quantity,
    /// What packs have granted in all.
    granted: Quantity,
}

impl<'a> SoldCell<'a> {
    pub(super) fn new(target: &'a Target, cell: &Cell, quantity: Quantity) -> Self {
        Self { target, org: cell.org, row: cell.key, quantity, granted: cell.granted }
    }

    fn sold(&self) -> Sold<'a> {
        Sold {
            column: &self.target.name,
            row: self.row,
            feature: &self.target.feature,
            quantity: self.quantity,
            granted: self.granted,
        }
    }
}

/// The command that grants a pack; one, however often it is run.
pub fn grant_of(org: &str, feature: &str, quantity: Quantity, reference: &str) -> Command {
    let quantity = quantity.to_string();
    let words = ["packs", "grant", "--org", org, "--feature", feature, "--quantity", &quantity];
    Command::periodd(words.into_iter().chain(["--reference", reference]))
}

impl Job<'_> {
    /// Reports purchases without a pack, with the command that mends each. The page that they were
    /// found on is done by then: what cannot be recorded of them is said in the report.
    ///
    /// # Errors
    /// The database's, where the server does not serve.
    pub(super) async fn report_sold(
        &self,
        connection: &mut Connection,
        sold: &[SoldCell<'_>],
        pass: Pass,
    ) -> Result<(), StoreError> {
        if sold.is_empty() {
            return Ok(());
        }
        let mut unrecorded = HashMap::new();
        if self.request.told.is_on && !self.request.check {
            unrecorded = match self.record_sold(connection, sold, pass).await {
                Ok(unrecorded) => unrecorded,
                Err(error) if !serves(connection).await => return Err(error),
                Err(error) => sold.iter().map(|one| (one.org, error.to_string())).collect(),
            };
        }
        let orgs: Vec<Uuid> = sold.iter().map(|one| one.org).collect();
        let slugs = match snapshot::slugs(connection, &orgs).await {
            Ok(slugs) => slugs,
            Err(error) if !serves(connection).await => return Err(error),
            // They are told by their ids.
            Err(_) => HashMap::new(),
        };
        for one in sold {
            let &SoldCell { target, org: id, quantity, .. } = one;
            let org = slugs.get(&id).cloned().unwrap_or_else(|| id.to_string());
            let mended_by = grant_of(&org, &target.feature, quantity, &one.sold().reference());
            let mended_by = mended_by.to_string();
            let (column, feature) = (target.name.clone(), target.feature.clone());
            let unrecorded = unrecorded.get(&id).cloned();
            let line = WithoutPack { org, column, feature, quantity, mended_by, unrecorded };
            self.tell(|report| report.without_pack(id, line));
        }
        Ok(())
    }

    /// Records them. Returns of which orgs the database refuses that, and why. An org whose rows
    /// somebody holds is left to the next audit, which finds the same.
    async fn record_sold(
        &self,
        connection: &mut Connection,
        sold: &[SoldCell<'_>],
        pass: Pass,
    ) -> Result<HashMap<Uuid, String>, StoreError> {
        let mut orgs: Vec<Uuid> = sold.iter().map(|one| one.org).collect();
        orgs.sort_unstable();
        orgs.dedup();
        let mut batches = Batches::of(orgs, LockTimeout::Short);
        while let Some(batch) = batches.next().filter(|_| !self.stopped()) {
            let of_batch = sold.iter().filter(|one| batch.ids.contains(&one.org));
            let of_batch: Vec<&SoldCell<'_>> = of_batch.collect();
            let recorded = self.record(connection, &of_batch, &batch, pass).await;
            batches.outcome(connection, batch, recorded).await?;
        }
        let refused = batches.stuck()?.into_iter().filter_map(|stuck| match stuck {
            Stuck::Faulty(org, _, why) => Some((org, why)),
            Stuck::Left(..) => None,
        });
        Ok(refused.collect())
    }

    async fn record(
        &self,
        connection: &mut Connection,
        sold: &[&SoldCell<'_>],
        batch: &Batch,
        pass: Pass,
    ) -> Result<(), StoreError> {
        let mut transaction = begin_within(connection, batch.wait).await?;
        let kinds = [Kind::PurchaseWithoutPack];
        // Also what nobody is told of any more.
        let seen = notices::seen(&mut transaction, &batch.ids, &kinds, Instant::MIN).await?;
        let new: Vec<NewNotice> =
            sold.iter().filter_map(|one| self.notice(one, &seen, pass)).collect();
        notices::record(&mut transaction, &new, pass.now).await?;
        Ok(transaction.commit().await?)
    }

    /// `None` where it was told, and at the very ends of the calendar.
    fn notice(&self, sold: &SoldCell<'_>, seen: &[SeenRow], pass: Pass) -> Option<NewNotice> {
        let of_org = seen.iter().filter(|row| row.org == sold.org);
        let of_org: Vec<Seen> = of_org.map(|row| row.seen.clone()).collect();
        let decided = sold::decide(&sold.sold(), &of_org, pass.now).ok()??;
        let Decided { kind, key, part, until } = decided;
        let Part::Tells(notice) = part else { return None };
        let recipients = self.request.told.operators.clone();
        let state =
            if recipients.is_empty() { NoticeState::Recorded } else { NoticeState::Notified };
        let (org, notice) = (sold.org, Some(notice));
        Some(NewNotice { org, kind, key, state, notice, until, recipients })
    }
}
