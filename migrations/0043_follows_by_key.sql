-- The foreign key of a period to the one before it names its columns in the order of the unique key
-- on them: tools that read a schema, Prisma among them, take it for one to one only then.
alter table billing_periods drop constraint billing_periods_org_id_follows_fkey;
alter table billing_periods
    add constraint billing_periods_follows_fkey
    foreign key (follows, org_id) references billing_periods (period_end, org_id) not valid;
alter table billing_periods validate constraint billing_periods_follows_fkey;
