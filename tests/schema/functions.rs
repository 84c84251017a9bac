//! Functions do what they say whoever calls them: no foreign search path, no statement made of
//! text.

use crate::rules::Rule;

#[tokio::test]
async fn functions_pin_their_search_path() {
    let query =
        "select format('function %s: pin its search_path, with pg_temp at its end', proname)
         from pg_proc
         where pronamespace = 'public'::regnamespace
           and not exists (select from unnest(proconfig) as setting
                           where setting = 'search_path=pg_catalog'
                              or setting ~ '^search_path=.*, ?\"?pg_temp\"?$')
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
    ];
    Rule { query, faults }.holds().await;
}

#[tokio::test]
async fn functions_run_with_their_callers_rights_unless_they_are_named_here() {
    let query =
        "select format('function %s: it lends its owner''s rights; name it here and say why',
                       proname)
         from pg_proc where pronamespace = 'public'::regnamespace and prosecdef order by 1"
            .to_owned();
    let faults = &[(
        "create function lent() returns int language sql security definer as 'select 1'",
        "function lent: it lends its owner's rights; name it here and say why",
    )];
    Rule { query, faults }.holds().await;
}
