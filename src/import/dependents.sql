-- What depends on tables that move ($2, of the schema $1) and on views that go ($3): as values that
-- make it again, and as sentences about what cannot be made again. Reads the catalogue only.
with recursive
moved as (
    select c.oid
    from pg_class c
    where c.relnamespace = to_regnamespace(quote_ident($1))
      and (c.relname = any($2) and c.relkind in ('r', 'p')
           or c.relname = any($3) and c.relkind in ('v', 'm'))),
-- These, and every view that reads one of them, through other views, too.
readers (oid) as (
    select oid from moved
    union
    select w.ev_class
    from readers r
    join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = r.oid
                    and d.classid = 'pg_rewrite'::regclass
    join pg_rewrite w on w.oid = d.objid and w.rulename = '_RETURN'),
views as materialized (
    select c.*, n.nspname, format('%I.%I', n.nspname, c.relname) as full_name
    from readers r
    join pg_class c on c.oid = r.oid
    join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('v', 'm')),
tables as (
    select c.oid from readers r join pg_class c on c.oid = r.oid where c.relkind in ('r', 'p')),
-- Their row types, alone and in arrays.
row_types as (
    select t.oid from pg_type t join readers r on r.oid = t.typrelid
    union all
    select t.typarray from pg_type t join readers r on r.oid = t.typrelid where t.typarray <> 0),
view_values as (
    select v.oid, jsonb_build_object(
        'id', v.oid::bigint,
        'reads', (
            select coalesce(jsonb_agg(distinct d.refobjid::bigint), '[]')
            from pg_rewrite w
            join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid
                            and d.refclassid = 'pg_class'::regclass
            where w.ev_class = v.oid and w.rulename = '_RETURN' and d.refobjid <> v.oid),
        'schema', v.nspname, 'name', v.relname,
        'is_materialized', v.relkind = 'm', 'is_populated', v.relispopulated,
        'owner', pg_get_userbyid(v.relowner),
        'columns', (
            select coalesce(jsonb_agg(a.attname order by a.attnum), '[]') from pg_attribute a
            where a.attrelid = v.oid and a.attnum > 0 and not a.attisdropped),
        'options', coalesce(to_jsonb(v.reloptions), '[]'),
        'access_method', (select m.amname from pg_am m where m.oid = v.relam),
        'tablespace', (select s.spcname from pg_tablespace s where s.oid = v.reltablespace),
        'query', pg_get_viewdef(v.oid),
        'rights', (
            select coalesce(jsonb_agg(jsonb_build_object(
                       'column', g.column_name, 'privilege', g.privilege_type,
                       'grantee', case when g.grantee <> 0 then pg_get_userbyid(g.grantee) end,
                       'with_option', g.is_grantable)), '[]')
            from (select null::name as column_name, x.*
                  from aclexplode(coalesce(v.relacl, acldefault('r', v.relowner))) x
                  union all
                  select a.attname, x.*
                  from pg_attribute a, aclexplode(a.attacl) x
                  where a.attrelid = v.oid and not a.attisdropped) g),
        'comment', obj_description(v.oid, 'pg_class'),
        'column_comments', (
            select coalesce(jsonb_agg(jsonb_build_object(
                       'name', a.attname, 'text', col_description(v.oid, a.attnum))), '[]')
            from pg_attribute a
            where a.attrelid = v.oid and a.attnum > 0
              and col_description(v.oid, a.attnum) is not null),
        'defaults', (
            select coalesce(jsonb_agg(jsonb_build_object(
                       'name', a.attname, 'text', pg_get_expr(f.adbin, f.adrelid))), '[]')
            from pg_attrdef f
            join pg_attribute a on a.attrelid = f.adrelid and a.attnum = f.adnum
            where f.adrelid = v.oid),
        'indexes', (
            select coalesce(jsonb_agg(jsonb_build_object(
                       'name', c.relname, 'text', pg_get_indexdef(i.indexrelid),
                       'comment', obj_description(c.oid, 'pg_class')) order by c.oid), '[]')
            from pg_index i join pg_class c on c.oid = i.indexrelid where i.indrelid = v.oid),
        'rules', (
            select coalesce(jsonb_agg(jsonb_build_object(
                       'name', w.rulename, 'text', pg_get_ruledef(w.oid),
                       'comment', obj_description(w.oid, 'pg_rewrite')) order by w.oid), '[]')
            from pg_rewrite w where w.ev_class = v.oid and w.rulename <> '_RETURN'),
        'triggers', (
            select coalesce(jsonb_agg(jsonb_build_object(
                       'name', t.tgname, 'text', pg_get_triggerdef(t.oid),
                       'comment', obj_description(t.oid, 'pg_trigger')) order by t.oid), '[]')
            from pg_trigger t where t.tgrelid = v.oid and not t.tgisinternal)) as value
    from views v),
keys as (
    select k.*, format('FOREIGN KEY (%s)', (
               select string_agg(quote_ident(a.attname), ', ' order by u.place)
               from unnest(k.conkey) with ordinality as u (attnum, place)
               join pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.attnum))
               as columns_text,
           pg_get_constraintdef(k.oid) as whole,
           n.nspname, c.relname, format('%I.%I', n.nspname, c.relname) as full_name,
           tn.nspname as target_schema, tc.relname as target_name
    from pg_constraint k
    join pg_class c on c.oid = k.conrelid
    join pg_namespace n on n.oid = c.relnamespace
    join pg_class tc on tc.oid = k.confrelid
    join pg_namespace tn on tn.oid = tc.relnamespace
    where k.contype = 'f' and k.conparentid = 0
      and k.confrelid in (select oid from tables) and k.conrelid not in (select oid from tables)),
key_values as (
    select oid, full_name, conname,
           columns_text || format(' REFERENCES %I.%I', target_schema, target_name) as beginning,
           whole, nspname, relname, columns_text, target_schema, target_name
    from keys),
policies as (
    select p.*, n.nspname, c.relname
    from pg_policy p
    join pg_class c on c.oid = p.polrelid
    join pg_namespace n on n.oid = c.relnamespace
    where p.polrelid not in (select oid from tables)
      and exists (select from pg_depend d
                  where d.classid = 'pg_policy'::regclass and d.objid = p.oid
                    and d.refclassid = 'pg_class'::regclass
                    and d.refobjid in (select oid from readers))),
me as (select r.rolname, r.rolsuper from pg_roles r where r.rolname = current_user),
-- What is neither part of what moves nor made again.
strangers as (
    select distinct pg_describe_object(d.classid, d.objid, d.objsubid) as what,
           pg_describe_object(d.refclassid, d.refobjid, 0) as on_what
    from pg_depend d
    where (d.refclassid = 'pg_class'::regclass and d.refobjid in (select oid from readers)
           or d.refclassid = 'pg_type'::regclass and d.refobjid in (select oid from row_types))
      and not case d.classid
          when 'pg_class'::regclass then
              d.objid in (select oid from readers)
              or exists (select from pg_index i
                         where i.indexrelid = d.objid and i.indrelid in (select oid from readers))
              or exists (select from pg_class c
                         where c.oid = d.objid
                           and (c.relkind = 't' or c.relkind = 'S' and d.deptype in ('a', 'i')
                                or c.relispartition and d.deptype = 'a'))
          when 'pg_attrdef'::regclass then
              exists (select from pg_attrdef f
                      where f.oid = d.objid and f.adrelid in (select oid from readers))
          when 'pg_constraint'::regclass then
              exists (select from pg_constraint k
                      where k.oid = d.objid
                        and (k.conrelid in (select oid from readers)
                             or k.contype = 'f' and k.confrelid in (select oid from tables)))
          -- A rule or policy of a table that moves stays with it, and so cannot read a view that
          -- is dropped.
          when 'pg_rewrite'::regclass then
              exists (select from pg_rewrite w
                      where w.oid = d.objid
                        and (w.ev_class in (select oid from views)
                             or w.ev_class in (select oid from tables)
                                and d.refobjid in (select oid from tables)))
          when 'pg_policy'::regclass then
              not exists (select from pg_policy p
                          where p.oid = d.objid and p.polrelid in (select oid from tables)
                            and d.refobjid in (select oid from views))
          when 'pg_trigger'::regclass then
              exists (select from pg_trigger t
                      where t.oid = d.objid and t.tgrelid in (select oid from readers))
          when 'pg_type'::regclass then d.objid in (select oid from row_types)
          when 'pg_statistic_ext'::regclass then
              exists (select from pg_statistic_ext s
                      where s.oid = d.objid and s.stxrelid in (select oid from tables))
          when 'pg_publication_rel'::regclass then true
          else false end),
obstacles (sentence) as (
    select format('%s depends on %s and cannot be made again: drop it first, and make it again '
                  'after the import', what, on_what)
    from strangers
    union all
    select format('the view %s belongs to %s: import as a superuser or as a member of that role, '
                  'which needs CREATE on the schema %I', v.full_name,
                  pg_get_userbyid(v.relowner), v.nspname)
    from views v, me
    where not (me.rolsuper or pg_has_role(me.rolname, v.relowner, 'MEMBER')
                              and has_schema_privilege(v.relowner, v.relnamespace, 'CREATE'))
       or not has_schema_privilege(v.relnamespace, 'CREATE')
    union all
    select format('rights on the view %s were given by %s, who is not its owner, and cannot be '
                  'given again so: revoke them first', v.full_name,
                  string_agg(distinct pg_get_userbyid(x.grantor), ', '))
    from views v,
         lateral (select * from aclexplode(v.relacl)
                  union all
                  select y.* from pg_attribute a, aclexplode(a.attacl) y
                  where a.attrelid = v.oid) x
    where x.grantor <> v.relowner
    group by v.full_name
    union all
    select format('the view %s is a temporary one of a session that is open: end that session '
                  'first', v.full_name)
    from views v where v.relpersistence = 't'
    union all
    select format('the view %s is part of an extension: it cannot be made again', v.full_name)
    from views v
    where exists (select from pg_depend d
                  where d.classid = 'pg_class'::regclass and d.objid = v.oid and d.deptype = 'e')
    union all
    select format('the view %s has a security label, which cannot be carried: take it away first',
                  v.full_name)
    from views v
    where exists (select from pg_seclabel l
                  where l.classoid = 'pg_class'::regclass and l.objoid = v.oid)
    union all
    select format('the view %s has the disabled or replica-only rule or trigger %I, which cannot '
                  'be carried: enable or drop it first', v.full_name, x.name)
    from views v,
         lateral (select t.tgname as name from pg_trigger t
                  where t.tgrelid = v.oid and not t.tgisinternal and t.tgenabled <> 'O'
                  union all
                  select w.rulename from pg_rewrite w
                  where w.ev_class = v.oid and w.ev_enabled <> 'O') x
    union all
    -- It is filled with its owner's rights, and rights on the replaced tables stay with these.
    select format('the materialized view %s belongs to %s, who will have no rights on the new '
                  'tables to fill it: drop it, or give it to a role that has (%s)', v.full_name,
                  pg_get_userbyid(v.relowner), me.rolname)
    from views v join pg_roles o on o.oid = v.relowner, me
    where v.relkind = 'm' and v.relispopulated
      and not (o.rolsuper or pg_has_role(o.oid, me.rolname, 'USAGE'))
    union all
    select format('the materialized view %s has storage settings of single columns or indexes, '
                  'which cannot be carried: reset them first', v.full_name)
    from views v
    where v.relkind = 'm'
      and (exists (select from pg_attribute a join pg_type t on t.oid = a.atttypid
                   where a.attrelid = v.oid and a.attnum > 0
                     and (coalesce(a.attstattarget, -1) >= 0 or a.attoptions is not null
                          or a.attcompression <> '' or a.attstorage <> t.typstorage))
           or exists (select from pg_class t
                      where t.oid = v.reltoastrelid and t.reloptions is not null)
           or exists (select from pg_index i join pg_class c on c.oid = i.indexrelid
                      where i.indrelid = v.oid
                        and (c.reltablespace <> 0 or i.indisclustered or not i.indisvalid
                             or i.indisreplident
                             or exists (select from pg_attribute a
                                        where a.attrelid = c.oid
                                          and coalesce(a.attstattarget, -1) >= 0))))
    union all
    select format('the foreign key %I of %s has disabled triggers or a form that cannot be made '
                  'again: drop it first', k.conname, k.full_name)
    from key_values k
    where not starts_with(k.whole, k.beginning)
       or exists (select from pg_trigger t where t.tgconstraint = k.oid and t.tgenabled <> 'O'))
select 'view' as kind, value from view_values
union all
select 'foreign_key', jsonb_build_object(
    'table', jsonb_build_object('schema', nspname, 'name', relname), 'name', conname,
    'columns', columns_text,
    'target', jsonb_build_object('schema', target_schema, 'name', target_name),
    'rest', substr(whole, length(beginning) + 1), 'comment', obj_description(oid, 'pg_constraint'))
from key_values
union all
select 'policy', jsonb_build_object(
    'table', jsonb_build_object('schema', p.nspname, 'name', p.relname), 'name', p.polname,
    'is_permissive', p.polpermissive,
    'command', case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update'
                             when 'd' then 'delete' else 'all' end,
    'roles', (select coalesce(jsonb_agg(pg_get_userbyid(r.oid)), '[]')
              from unnest(p.polroles) as r (oid) where r.oid <> 0),
    'using', pg_get_expr(p.polqual, p.polrelid), 'check', pg_get_expr(p.polwithcheck, p.polrelid),
    'comment', obj_description(p.oid, 'pg_policy'))
from policies p
union all
select 'obstacle', to_jsonb(sentence) from obstacles
order by 1, 2
