//! The texts of the migrations, as they are built in.

use sqlx::migrate::Migrator;

/// Tables: each file is applied once.
pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Functions, views and rights, in the order of their use: made again where a text has changed.
pub(super) static API: Migrator = sqlx::migrate!("./migrations/api");

/// The tiers that the first migration adds.
pub(crate) const FIRST_TIERS: [&str; 4] = ["free", "starter", "pro", "business"];

/// The texts of all migrations of tables, in their order.
pub(crate) fn migrations() -> Vec<&'static str> {
    MIGRATIONS.iter().map(|migration| migration.sql.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::{FIRST_TIERS, migrations};

    #[test]
    fn the_first_tiers_are_those_of_the_first_migration() {
        let insert = "insert into subscription_tiers (code, name, monthly_price_cents) values";
        let (_, rest) = migrations()[0].split_once(insert).expect("it adds tiers");
        let (rows, _) = rest.split_once(';').expect("a statement");
        let code = |row: &'static str| row.trim().strip_prefix("('")?.split('\'').next();
        assert_eq!(rows.lines().filter_map(code).collect::<Vec<_>>(), FIRST_TIERS);
    }
}
