//! Keys contain the org's id, and nothing fires behind an org's rows: so that the tables can be
//! spread over machines by org.

use crate::rules::Rule;
use crate::tables::{CONTROL_TABLES, REFERENCE_TABLES, UNIQUE_OVER_ALL_ORGS, org_tables, quoted};

#[tokio::test]
async fn every_unique_key_of_an_orgs_data_contains_the_orgs_id() {
    let query = format!(
        "with {}
         select format('%s: the key %s must contain %s, or the table cannot be sharded',
                       t.name, i.relname, t.org_id)
         from org_tables t
         join pg_index x on x.indrelid = t.name::regclass
         join pg_class i on i.oid = x.indexrelid
         join pg_attribute a on a.attrelid = x.indrelid and a.attname = t.org_id
         where (x.indisunique or x.indisexclusion)
           and a.attnum <> all ((string_to_array(x.indkey::text, ' ')::int[])[1 : x.indnkeyatts])
           and i.relname not in ({})
         order by 1",
        org_tables(),
        quoted(&UNIQUE_OVER_ALL_ORGS)
    );
    let faults = &[
        (
            "alter table users add constraint users_email_key unique (email)",
            "users: the key users_email_key must contain organization_id, or the table cannot be \
             sharded",
        ),
        (
            "create unique index by_key on usage_metrics (idempotency_key)
                 include (organization_id)",
            "usage_metrics: the key by_key must contain organization_id, or the table cannot be \
             sharded",
        ),
        (
            "alter table billing_periods add constraint apart
                 exclude using gist (tstzrange(period_start, period_end) with &&)",
            "billing_periods: the key apart must contain org_id, or the table cannot be sharded",
        ),
    ];
    Rule { query, faults }.holds().await;
}

#[tokio::test]
async fn foreign_keys_stay_within_an_org() {
    let query = format!(
        "with {}
         select format('%s: the foreign key %s to %s must lead from the org''s id to the org''s id',
                       k.conrelid::regclass, k.conname, k.confrelid::regclass)
         from pg_constraint k
         left join org_tables t on t.name::regclass = k.conrelid
         left join org_tables u on u.name::regclass = k.confrelid
         left join pg_attribute a on a.attrelid = k.conrelid and a.attname = t.org_id
         left join pg_attribute b on b.attrelid = k.confrelid and b.attname = u.org_id
         where k.contype = 'f'
           and not (k.confrelid in (select unnest(array[{}]::regclass[])))
           -- periodd's own books stand in one place, each as a whole.
           and not (k.conrelid = k.confrelid
                    and k.conrelid in (select unnest(array[{}]::regclass[])))
           and not coalesce(
               array_position(k.conkey, a.attnum) = array_position(k.confkey, b.attnum), false)
         order by 1",
        org_tables(),
        quoted(&REFERENCE_TABLES),
        quoted(&CONTROL_TABLES)
    );
    let faults = &[
        (
            "alter table usage_metrics add constraint by_user
                 foreign key (user_id) references users (id)",
            "usage_metrics: the foreign key by_user to users must lead from the org's id to the \
             org's id",
        ),
        (
            "alter table usage_metrics add constraint by_fact
                 foreign key (metric_type) references periodd_facts (name)",
            "usage_metrics: the foreign key by_fact to periodd_facts must lead from the org's id \
             to the org's id",
        ),
        (
            "alter table pack_offers add made_for uuid;
             alter table pack_offers add constraint one_org
                 foreign key (made_for) references organizations (id)",
            "pack_offers: the foreign key one_org to organizations must lead from the org's id to \
             the org's id",
        ),
    ];
    Rule { query, faults }.holds().await;
}

#[tokio::test]
async fn nothing_fires_behind_an_orgs_rows() {
    let query = format!(
        "with {}
         select format('%s: the trigger %s must go; write in the statement what it would write',
                       t.name, g.tgname)
         from org_tables t join pg_trigger g on g.tgrelid = t.name::regclass
         where not g.tgisinternal
         union all
         select format('%s: the rule %s must go; write in the statement what it would do',
                       t.name, r.rulename)
         from org_tables t join pg_rewrite r on r.ev_class = t.name::regclass
         order by 1",
        org_tables()
    );
    let faults = &[
        (
            "create trigger quietly before update on users
                 for each row execute function suppress_redundant_updates_trigger()",
            "users: the trigger quietly must go; write in the statement what it would write",
        ),
        (
            "create rule silently as on delete to usage_metrics do instead nothing",
            "usage_metrics: the rule silently must go; write in the statement what it would do",
        ),
    ];
    Rule { query, faults }.holds().await;
}

#[tokio::test]
async fn a_foreign_key_over_the_columns_of_a_key_has_their_order() {
    let query =
        "select format('%s: %s names the columns of %s in another order, which Prisma pulls \
                 and does not accept', f.conrelid::regclass, f.conname, u.conname)
         from pg_constraint f
         join pg_constraint u on u.conrelid = f.conrelid and u.contype in ('p', 'u')
         where f.contype = 'f' and f.conkey @> u.conkey and f.conkey <@ u.conkey
           and f.conkey <> u.conkey
         order by 1"
            .to_owned();
    let faults = &[(
        "alter table billing_periods add constraint back foreign key (org_id, follows)
             references billing_periods (org_id, period_end)",
        "billing_periods: back names the columns of billing_periods_first in another order, which \
         Prisma pulls and does not accept",
    )];
    Rule { query, faults }.holds().await;
}
