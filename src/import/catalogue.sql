-- Everything in the database that is not PostgreSQL's own, as text: what it is, whose it is, who
-- may do what with it, and how it is defined. Texts that name other tables stand apart, in
-- `definition` and `type`.
with schemas as (
    select n.* from pg_namespace n
    where n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
      and n.nspname not like 'pg\_temp\_%' and n.nspname not like 'pg\_toast\_temp\_%'),
-- Indexes, and sequences of columns, are parts of their tables.
relations as materialized (
    select c.*, s.nspname,
           coalesce((select t.relname from pg_index i join pg_class t on t.oid = i.indrelid
                     where i.indexrelid = c.oid),
                    (select t.relname from pg_depend d join pg_class t on t.oid = d.refobjid
                     where c.relkind = 'S' and d.classid = 'pg_class'::regclass and d.objid = c.oid
                       and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i')),
                    c.relname) as whole
    from pg_class c join schemas s on s.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'i', 'I'))
select 'schema' as kind, s.nspname::text as schema, '' as name, '' as part,
       concat_ws('; ', pg_get_userbyid(s.nspowner), obj_description(s.oid, 'pg_namespace'), (
           select string_agg(i::text, ',' order by i::text)
           from unnest(coalesce(s.nspacl, acldefault('n', s.nspowner))) i)) as facts
from schemas s
union all
select case when r.relkind in ('v', 'm') then 'view' when r.relkind in ('i', 'I') then 'index'
            when r.relkind = 'S' then 'sequence' else 'table' end,
       r.nspname::text, r.whole::text, case when r.whole <> r.relname then r.relname::text else '' end,
       concat_ws('; ', r.relkind, r.relpersistence, pg_get_userbyid(r.relowner), (
           select string_agg(i::text, ',' order by i::text)
           from unnest(coalesce(r.relacl, acldefault(case when r.relkind = 'S' then 's'
                                                          else 'r' end::"char", r.relowner))) i),
           'row security ' || r.relrowsecurity || ' ' || r.relforcerowsecurity,
           (select string_agg(o, ',' order by o) from unnest(r.reloptions) o),
           'populated ' || r.relispopulated, r.relreplident, r.relam::text, r.reltablespace::text,
           obj_description(r.oid, 'pg_class'))
from relations r
union all
select 'column', r.nspname::text, r.relname::text, a.attname::text,
       concat_ws('; ', 'not null ' || a.attnotnull, a.attidentity, a.attgenerated,
                 pg_get_expr(f.adbin, f.adrelid), (
                     select string_agg(i::text, ',' order by i::text) from unnest(a.attacl) i),
                 col_description(r.oid, a.attnum))
from relations r
join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef f on f.adrelid = a.attrelid and f.adnum = a.attnum
where r.relkind in ('r', 'p', 'v', 'm', 'f')
union all
select 'type', r.nspname::text, r.relname::text, a.attname::text,
       format_type(a.atttypid, a.atttypmod) || '; ' || a.attcollation
from relations r
join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
where r.relkind in ('r', 'p', 'v', 'm', 'f')
union all
select 'definition', r.nspname::text, r.relname::text, '', pg_get_viewdef(r.oid)
from relations r where r.relkind in ('v', 'm')
union all
select 'definition', r.nspname::text, r.whole::text, r.relname::text, pg_get_indexdef(r.oid)
from relations r where r.relkind in ('i', 'I')
union all
select 'constraint', r.nspname::text, r.relname::text, k.conname::text,
       concat_ws('; ', k.contype, k.condeferrable, k.condeferred, k.convalidated,
                 obj_description(k.oid, 'pg_constraint'))
from relations r join pg_constraint k on k.conrelid = r.oid
union all
select 'definition', r.nspname::text, r.relname::text, k.conname::text, pg_get_constraintdef(k.oid)
from relations r join pg_constraint k on k.conrelid = r.oid where k.contype in ('f', 'c')
union all
select 'trigger', r.nspname::text, r.relname::text, t.tgname::text,
       concat_ws('; ', t.tgtype, t.tgenabled, t.tgfoid::regprocedure, t.tgattr,
                 encode(t.tgargs, 'hex'), obj_description(t.oid, 'pg_trigger'))
from relations r join pg_trigger t on t.tgrelid = r.oid and not t.tgisinternal
union all
select 'rule', r.nspname::text, r.relname::text, w.rulename::text,
       concat_ws('; ', w.ev_type, w.ev_enabled, w.is_instead, obj_description(w.oid, 'pg_rewrite'))
from relations r join pg_rewrite w on w.ev_class = r.oid
union all
select 'policy', r.nspname::text, r.relname::text, p.polname::text,
       concat_ws('; ', p.polcmd, p.polpermissive, (
           select string_agg(case x when 0 then 'public' else pg_get_userbyid(x) end, ',' order by x)
           from unnest(p.polroles) x), obj_description(p.oid, 'pg_policy'))
from relations r join pg_policy p on p.polrelid = r.oid
union all
select 'definition', r.nspname::text, r.relname::text, p.polname::text,
       concat_ws('; ', pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
from relations r join pg_policy p on p.polrelid = r.oid
union all
select 'function', s.nspname::text, f.proname::text, pg_get_function_identity_arguments(f.oid),
       concat_ws('; ', pg_get_userbyid(f.proowner), f.prolang, f.prokind, f.prosecdef,
                 f.provolatile, f.prorettype::regtype, f.proconfig::text,
                 md5(coalesce(pg_get_function_sqlbody(f.oid), f.prosrc)), (
           select string_agg(i::text, ',' order by i::text)
           from unnest(coalesce(f.proacl, acldefault('f', f.proowner))) i),
           obj_description(f.oid, 'pg_proc'))
from pg_proc f join schemas s on s.oid = f.pronamespace
union all
select 'data type', s.nspname::text, t.typname::text, '',
       concat_ws('; ', t.typtype, pg_get_userbyid(t.typowner), (
           select string_agg(i::text, ',' order by i::text)
           from unnest(coalesce(t.typacl, acldefault('T', t.typowner))) i))
from pg_type t join schemas s on s.oid = t.typnamespace
where t.typrelid = 0 and t.typcategory <> 'A'
union all
select 'default privileges', coalesce(s.nspname::text, ''), pg_get_userbyid(d.defaclrole)::text,
       d.defaclobjtype::text,
       (select string_agg(i::text, ',' order by i::text) from unnest(d.defaclacl) i)
from pg_default_acl d left join schemas s on s.oid = d.defaclnamespace
union all
select 'publication', r.nspname::text, r.relname::text, p.pubname::text, pg_get_userbyid(p.pubowner)
from pg_publication_rel x
join pg_publication p on p.oid = x.prpubid
join relations r on r.oid = x.prrelid
