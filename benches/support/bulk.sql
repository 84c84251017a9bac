-- For seeds that fill a large table: its indexes are made after the rows, a minute's work instead
-- of half an hour's.
set maintenance_work_mem = '1GB';
create temporary table indexes (statement text);
create procedure pg_temp.drop_indexes(of regclass) language plpgsql as $$
declare r record;
begin
    for r in select conname, pg_get_constraintdef(oid) as text from pg_constraint
             where conrelid = of and contype in ('p', 'u') loop
        insert into indexes
        values (format('alter table %s add constraint %I %s', of, r.conname, r.text));
        execute format('alter table %s drop constraint %I', of, r.conname);
    end loop;
    for r in select indexrelid::regclass as name, pg_get_indexdef(indexrelid) as text
             from pg_index where indrelid = of loop
        insert into indexes values (r.text);
        execute format('drop index %s', r.name);
    end loop;
end $$;
create procedure pg_temp.create_indexes() language plpgsql as $$
declare r record;
begin
    for r in select statement from indexes loop
        execute r.statement;
    end loop;
end $$;

-- Counted metrics, so many of each org, that lie scattered over the table, as they were written in
-- the course of time.
create procedure pg_temp.fill_metrics
    (of_each bigint, features text[], since timestamptz, span interval)
language plpgsql as $$
begin
    alter table usage_metrics drop constraint usage_metrics_organization_id_fkey;
    call pg_temp.drop_indexes('usage_metrics');
    insert into usage_metrics
        (organization_id, metric_type, metric_value, created_at, counted_at)
    select o.id, features[1 + n % cardinality(features)], 1 + n % 4, since + span * n / of_each,
           since + span
    from generate_series(1, of_each) n, organizations o;
    call pg_temp.create_indexes();
    alter table usage_metrics add foreign key (organization_id) references organizations (id)
        not valid;
end $$;

