//! Purchases without a pack: units that somebody added to a derived column of what was purchased.
//! They are reported with the command that corrects it, and recorded for those who run periodd.

use uuid::Uuid;

use super::report::WithoutPack;
use super::{Job, Pass};
use crate::billing::Quantity;
use crate::billing::notice::sold::{self, Sold};
use crate::billing::notice::{Decided, Part};
use crate::command::Command;
use crate::config::Config;
use crate::config::sections::Transport;
use crate::jobs::batches::{Batch, Batches};
use crate::store::audit::derived::{Cell, Target};
use crate::store::notices::{self, NewNotice, NoticeState};
use crate::store::{Connection, LockTimeout, StoreError, begin_within, rollover::snapshot};

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

/// The command that grants a pack.
pub fn grant_of(org: &str, feature: &str, quantity: Quantity) -> Command {
    let quantity = quantity.to_string();
    let words = ["packs", "grant", "--org", org, "--feature", feature, "--quantity", &quantity];
    Command::periodd(words)
}

impl Job<'_> {
    /// Reports purchases without a pack, with the command that mends each.
    pub(super) async fn report_sold(
        &self,
        connection: &mut Connection,
        sold: &[SoldCell<'_>],
        pass: Pass,
    ) -> Result<(), StoreError> {
        if sold.is_empty() {
            return Ok(());
        }
        if self.request.told.is_on && !self.request.check {
            self.record_sold(connection, sold, pass).await?;
        }
        let orgs: Vec<Uuid> = sold.iter().map(|one| one.org).collect();
        let slugs = snapshot::slugs(connection, &orgs).await?;
        for &SoldCell { target, org: id, quantity, .. } in sold {
            let org = slugs.get(&id).cloned().unwrap_or_else(|| id.to_string());
            let mended_by = grant_of(&org, &target.feature, quantity).to_string();
            let (column, feature) = (target.name.clone(), target.feature.clone());
            let line = WithoutPack { org, column, feature, quantity, mended_by };
            self.tell(|report| report.without_pack(id, line));
        }
        Ok(())
    }

    /// Records them. An org whose rows somebody holds is left to the next audit, which finds the
    /// same.
    async fn record_sold(
        &self,
        connection: &mut Connection,
        sold: &[SoldCell<'_>],
        pass: Pass,
    ) -> Result<(), StoreError> {
        let mut orgs: Vec<Uuid> = sold.iter().map(|one| one.org).collect();
        orgs.sort_unstable();
        orgs.dedup();
        let mut batches = Batches::of(orgs, LockTimeout::Short);
        while let Some(batch) = batches.next().filter(|_| !self.stopped()) {
            let of_batch = sold.iter().filter(|one| batch.ids.contains(&one.org));
            let new: Vec<NewNotice> = of_batch.filter_map(|one| self.notice(one, pass)).collect();
            let recorded = record(connection, &new, &batch, pass).await;
            batches.outcome(connection, batch, recorded).await?;
        }
        batches.left().map(drop)
    }

    /// `None` at the very ends of the calendar.
    fn notice(&self, sold: &SoldCell<'_>, pass: Pass) -> Option<NewNotice> {
        let Decided { kind, key, part, until } = sold::decide(&sold.sold(), pass.now).ok()?;
        let Part::Tells(notice) = part else { return None };
        let recipients = self.request.told.operators.clone();
        let state =
            if recipients.is_empty() { NoticeState::Recorded } else { NoticeState::Notified };
        let (org, notice) = (sold.org, Some(notice));
        Some(NewNotice { org, kind, key, state, notice, until, recipients })
    }
}

async fn record(
    connection: &mut Connection,
    new: &[NewNotice],
    batch: &Batch,
    pass: Pass,
) -> Result<(), StoreError> {
    let mut transaction = begin_within(connection, batch.wait).await?;
    notices::record(&mut transaction, new, pass.now).await?;
    Ok(transaction.commit().await?)
}
