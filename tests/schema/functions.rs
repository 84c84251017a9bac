//! Functions do what they say whoever calls them: no foreign search path, no statement made of
//! text.

use crate::rules::Rule;

#[tokio::test]
async fn functions_pin_their_search_path() {
    let query =
        "select format('function %s: pin its search_path, with pg_temp at its end', proname)
         from pg_proc
         where pronamespace = 'public'::regnamespace
           -- Names in a body of the standard's kind are bound when it is created.
           and prosqlbody is null
           and not exists (select from unnest(proconfig) as setting
                           where setting ~ '^search_path=.*, ?\"?pg_temp\"?$')
         order by 1"
            .to_owned();
    let faults = &[
        (
            "create function loose() returns int language sql as 'select 1'",
            "function loose: pin its search_path, with pg_temp at its end",
        ),
        (
            "create function half() returns int language sql set search_path = public
                 as 'select 1'",
            "function half: pin its search_path, with pg_temp at its end",
        ),
        (
            // What is not named is searched first: a caller's temporary types, too.
            "create function catalogue() returns int language sql set search_path = pg_catalog
                 as 'select 1'",
            "function catalogue: pin its search_path, with pg_temp at its end",
        ),
    ];
    Rule { query, faults }.holds().await;
}

#[tokio::test]
async fn functions_run_with_their_callers_rights_unless_they_are_named_here() {
    let query =
        "select format('function %s: it lends its owner''s rights; name it here and say why',
                       proname)
         from pg_proc
         where pronamespace = 'public'::regnamespace and prosecdef
           -- What an end user may do is less than what the functions have to write for it, and
           -- more than it may read; each asks periodd_speaks_for first.
           and proname not in ('get_current_usage_stats', 'increment_feature_usage',
                               'increment_usage_if_allowed', 'increment_org_usage',
                               'restart_billing_cycle', 'set_usage_level',
           -- What these delete and move no application may otherwise; and whom nobody knows any
           -- more is asked of tables that none may read.
                               'remove_org', 'erase_user', 'merge_orgs', 'move_overage_pack',
                               'periodd_is_deleted',
           -- Events tell what stands in the ledger, once; who writes there writes no events.
                               'periodd_enter_entries',
           -- Whoever has the token of an address's link acts for that address.
                               'periodd_unsubscribe',
           -- One word of the configuration, which is the same for everybody: it takes nothing, and
           -- the view of alerts needs it with its reader's rights.
                               'periodd_ended_tier')
         order by 1"
            .to_owned();
    let faults = &[(
        "create function lent() returns int language sql security definer as 'select 1'",
        "function lent: it lends its owner's rights; name it here and say why",
    )];
    Rule { query, faults }.holds().await;
}

#[tokio::test]
async fn everybody_may_run_only_what_says_who_asks() {
    let query = "select format('function %s: everybody may run it; revoke that, or name it here',
                       proname)
         from pg_proc p
         where pronamespace = 'public'::regnamespace
           and exists (select from aclexplode(coalesce(proacl, acldefault('f', proowner)))
                       where grantee = 0)
           and proname not in ('periodd_caller', 'periodd_caller_org',
           -- A default of columns: whoever may insert a row needs it.
                               'periodd_new_id')
         order by 1"
        .to_owned();
    let faults = &[(
        "create function open() returns int language sql set search_path = pg_catalog
             as 'select 1'",
        "function open: everybody may run it; revoke that, or name it here",
    )];
    Rule { query, faults }.holds().await;
}

#[tokio::test]
async fn every_table_hides_what_is_not_the_callers() {
    let query = "select format('%s %s: %s', kind, name, what) from (
             select 'table', relname, 'enable row level security' from pg_class
             where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
               and not relrowsecurity
             union all
             select 'table', relname, 'the daemon is the owner: do not force it' from pg_class
             where relnamespace = 'public'::regnamespace and relforcerowsecurity
             union all
             select 'view', relname, 'make it security_invoker' from pg_class
             where relnamespace = 'public'::regnamespace and relkind = 'v'
               and not coalesce('security_invoker=true' = any(reloptions), false)
             union all
             select 'policy', polname || ' on ' || polrelid::regclass, 'members move nothing'
             from pg_policy where polcmd <> 'r') f (kind, name, what)
         order by 1"
        .to_owned();
    let faults = &[
        ("create table open_to_all ()", "table open_to_all: enable row level security"),
        (
            "alter table users force row level security",
            "table users: the daemon is the owner: do not force it",
        ),
        ("create view through as select 1 as one", "view through: make it security_invoker"),
        (
            "create policy theirs on users for all to public using (true)",
            "policy theirs on users: members move nothing",
        ),
    ];
    Rule { query, faults }.holds().await;
}

#[tokio::test]
async fn functions_that_only_read_keep_no_statement_from_its_parallel_plan() {
    let query = "select format('function %s: it only reads; say `parallel safe`', proname)
         from pg_proc
         where pronamespace = 'public'::regnamespace and provolatile <> 'v' and proparallel <> 's'
         order by 1"
        .to_owned();
    let faults = &[(
        "create function alone() returns int language sql stable as 'select 1'",
        "function alone: it only reads; say `parallel safe`",
    )];
    Rule { query, faults }.holds().await;
}
