//! The names that a file uses, looked up once each.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use crate::billing::Zone;
use crate::store::orgs::{self, NamedOrg};
use crate::store::{Connection, StoreError, usage::usage_file as rows};
use crate::tz::TzData;

/// An org that a line names.
pub(super) struct Org {
    pub(super) id: Uuid,
    /// Where its days begin; or why nobody knows.
    pub(super) zone: Result<Zone, String>,
}

/// What the names in a file stand for, as far as they were looked up.
pub(super) struct Names {
    tz: TzData,
    features: HashSet<String>,
    orgs: HashMap<String, Option<Org>>,
    users: HashMap<(Uuid, String), Option<Uuid>>,
}

impl Names {
    pub(super) fn new(tz: TzData, features: Vec<String>) -> Self {
        let features = features.into_iter().collect();
        Self { tz, features, orgs: HashMap::new(), users: HashMap::new() }
    }

    /// Looks up what nobody has asked for before: orgs, each with a user where a line names one.
    pub(super) async fn learn(
        &mut self,
        connection: &mut Connection,
        named: &[(&str, Option<&str>)],
    ) -> Result<(), StoreError> {
        let orgs = named.iter().map(|(org, _)| *org);
        let unknown: HashSet<&str> = orgs.filter(|org| !self.orgs.contains_key(*org)).collect();
        if !unknown.is_empty() {
            let names: Vec<&str> = unknown.into_iter().collect();
            let found = orgs::all_named(connection, &names).await?;
            self.orgs.extend(names.into_iter().map(|name| (name.to_owned(), None)));
            for (name, NamedOrg { id, time_zone, .. }) in found {
                let zone = self.tz.zone(&time_zone).map_err(|why| why.to_string());
                self.orgs.insert(name, Some(Org { id, zone }));
            }
        }
        let pairs = named.iter().filter_map(|(org, user)| {
            let org = self.org(org)?.id;
            Some((org, user.as_ref()?.to_lowercase()))
        });
        let unknown: HashSet<(Uuid, String)> =
            pairs.filter(|pair| !self.users.contains_key(pair)).collect();
        if !unknown.is_empty() {
            let (orgs, emails): (Vec<Uuid>, Vec<String>) = unknown.iter().cloned().unzip();
            let found = rows::users(connection, &orgs, &emails).await?;
            self.users.extend(unknown.into_iter().map(|pair| (pair, None)));
            let found = found.into_iter().map(|(org, email, id)| ((org, email), Some(id)));
            self.users.extend(found);
        }
        Ok(())
    }

    /// The org of that slug or id.
    pub(super) fn org(&self, name: &str) -> Option<&Org> {
        self.orgs.get(name)?.as_ref()
    }

    /// The user of an org with that email.
    pub(super) fn user(&self, org: Uuid, email: &str) -> Option<Uuid> {
        self.users.get(&(org, email.to_lowercase())).copied().flatten()
    }

    /// The feature of that name, in the case of letters that the tables have.
    pub(super) fn feature(&self, name: &str) -> Option<String> {
        let name = name.to_lowercase();
        self.features.contains(&name).then_some(name)
    }
}
