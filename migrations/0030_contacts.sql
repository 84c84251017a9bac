-- Contacts: as whom they are reached, and what they want to hear.

alter table org_contacts add column role text;
alter table org_contacts add column kinds text[];
alter table org_contacts add column opted_out_of text[];
alter table org_contacts
    add constraint org_contacts_role_check
    check (role in ('billing', 'technical', 'owner'));
alter table org_contacts
    add constraint org_contacts_kinds_check
    check (kinds <@ array['threshold', 'runs_out', 'pack_expires', 'subscription_ends',
                          'trial_ends', 'tier_changes', 'limit_reached_again']);
comment on column org_contacts.role is 'billing, technical or owner; null: gets every kind of email.';
comment on column org_contacts.kinds is 'Kinds of emails that the contact gets, whatever its role; null: by its role.';
comment on column org_contacts.opted_out_of is 'Kinds of emails from which the address unsubscribed; null: none.';
