-- What the dashboard shows of all orgs.

-- Who wants no warnings: few among many contacts.
create index org_contacts_opted_out on org_contacts (org_id, email) where opted_out_at is not null;
