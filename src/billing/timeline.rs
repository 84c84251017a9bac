//! Where an org stands on its calendar.
