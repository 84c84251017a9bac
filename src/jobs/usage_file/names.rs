//! The names that a file uses, looked up once each.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::lines::Line;
use crate::store::{Connection, StoreError, usage_file as rows};

/// What the names in a file stand for, as far as they were looked up.
pub(super) struct Names {
    features: HashSet<String>,
    orgs: HashMap<String, Option<Uuid>>,
    users: HashMap<(Uuid, String), Option<Uuid>>,
}

impl Names {
    pub(super) fn new(features: Vec<String>) -> Self {
        let features = features.into_iter().collect();
        Self { features, orgs: HashMap::new(), users: HashMap::new() }
    }

    /// Looks up what lines name and nobody has asked for before.
    pub(super) async fn learn(
        &mut self,
        connection: &mut Connection,
        lines: &[Line],
    ) -> Result<(), StoreError> {
        let unknown: HashSet<&str> = lines
            .iter()
            .filter_map(Line::org)
            .filter(|org| !self.orgs.contains_key(*org))
            .collect();
        if !unknown.is_empty() {
            let named: Vec<String> = unknown.into_iter().map(str::to_owned).collect();
            let found = rows::orgs(connection, &named).await?;
            self.orgs.extend(named.into_iter().map(|name| (name, None)));
            self.orgs.extend(found.into_iter().map(|(name, id)| (name, Some(id))));
        }
        let pairs = lines.iter().filter_map(|line| {
            let org = self.org(line.org()?)?;
            Some((org, line.user()?.to_lowercase()))
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
    pub(super) fn org(&self, name: &str) -> Option<Uuid> {
        self.orgs.get(name).copied().flatten()
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
