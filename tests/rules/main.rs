//! The rules, without a database: boundaries and plans against slow models of them, and the rules
//! of the house itself.

mod charts;
mod figures;
mod periods;
mod plan;
mod planted;
mod rooms;
mod runbook;
