//! Everything in the schema says what it is for, and every value has the type of its kind.

use crate::rules::Rule;

#[tokio::test]
async fn everything_says_in_a_sentence_what_it_is_for() {
    let query = "with things (thing, words) as (
             select format('table %s', relname), obj_description(oid, 'pg_class') from pg_class
             where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
             union all
             select format('view %s', relname), obj_description(oid, 'pg_class') from pg_class
             where relnamespace = 'public'::regnamespace and relkind in ('v', 'm')
             union all
             select format('column %s.%s', c.relname, a.attname), col_description(c.oid, a.attnum)
             from pg_class c join pg_attribute a on a.attrelid = c.oid
             where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
               and a.attnum > 0 and not a.attisdropped
             union all
             select format('function %s', proname), obj_description(oid, 'pg_proc') from pg_proc
             where pronamespace = 'public'::regnamespace)
         select format('%s: `comment on` it, in a sentence with its full stop', thing)
         from things where words is null or words !~ '^\\S.{5,}\\.$' order by 1"
        .to_owned();
    let faults = &[
        (
            "create table attic (); comment on table attic is 'attic'",
            "table attic: `comment on` it, in a sentence with its full stop",
        ),
        (
            "create view loft as select 1 as one",
            "view loft: `comment on` it, in a sentence with its full stop",
        ),
        (
            "alter table users add shoe_size int",
            "column users.shoe_size: `comment on` it, in a sentence with its full stop",
        ),
        (
            "create function cellar() returns int return 1",
            "function cellar: `comment on` it, in a sentence with its full stop",
        ),
    ];
    Rule { query, faults }.holds().await;
}

#[tokio::test]
async fn values_have_the_type_of_their_kind() {
    let query = "select format('%s.%s is %s: %s', c.relname, a.attname,
                       format_type(a.atttypid, a.atttypmod),
                       case when a.atttypid in ('timestamp'::regtype, 'time'::regtype,
                                                'timetz'::regtype, 'date'::regtype)
                            then 'an instant is timestamptz'
                            else 'a quantity is numeric without precision' end)
         from pg_class c join pg_attribute a on a.attrelid = c.oid
         where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
           and a.attnum > 0 and not a.attisdropped
           and (a.atttypid in ('timestamp'::regtype, 'timetz'::regtype)
                -- When periods end by the org's own clocks.
                or a.atttypid = 'time'::regtype
                   and (c.relname, a.attname) not in (('organizations', 'anchor_time'),
                                                      ('organizations', 'ends_anchor_time'))
                -- The nominal dates: what an end stands for in the org's own calendar.
                or a.atttypid = 'date'::regtype
                   and (c.relname, a.attname) not in (
                       ('organizations', 'current_period_end_date'),
                       ('organizations', 'skipped_end_date'))
                or a.atttypid in ('real'::regtype, 'float8'::regtype, 'money'::regtype)
                or a.atttypid = 'numeric'::regtype and a.atttypmod <> -1)
         order by 1"
        .to_owned();
    let faults = &[
        (
            "alter table users add seen_at timestamp",
            "users.seen_at is timestamp without time zone: an instant is timestamptz",
        ),
        ("alter table users add born date", "users.born is date: an instant is timestamptz"),
        (
            "alter table users add used numeric(20, 6)",
            "users.used is numeric(20,6): a quantity is numeric without precision",
        ),
        (
            "alter table users add used float8",
            "users.used is double precision: a quantity is numeric without precision",
        ),
    ];
    Rule { query, faults }.holds().await;
}
