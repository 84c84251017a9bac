-- Whoever has the token of an address's link acts for that address: no other right is asked for.
create or replace function periodd_unsubscribe(
    p_token text, p_at timestamptz default now()
) returns boolean
language plpgsql security definer
set search_path from current
as $$
declare
    v_org uuid;
    v_token uuid;
    v_email text;
    -- The kind of notice that the link is of; empty: all warnings.
    v_kind text;
begin
    if p_token !~ '^[0-9a-f]{64}([.][a-z_]{1,40})?$' is not false then
        return false;
    end if;
    v_org := left(p_token, 32)::uuid;
    v_token := substr(p_token, 33, 32)::uuid;
    v_kind := substr(p_token, 66);
    select coalesce((select c.email from org_contacts c
                     where c.org_id = coalesce(o.merged_into, t.org_id)
                       and lower(btrim(c.email, E' \t\r\n')) = t.email
                     order by c.email limit 1), t.email), coalesce(o.merged_into, t.org_id)
      into v_email, v_org
    from periodd_unsubscribe_tokens t join organizations o on o.id = t.org_id
    where t.org_id = v_org and t.token = v_token;
    if v_email is null then
        return false;
    end if;
    if v_kind = '' then
        insert into org_contacts as c (org_id, email, opted_out_at) values (v_org, v_email, p_at)
        on conflict (org_id, email) do update
            set opted_out_at = coalesce(c.opted_out_at, excluded.opted_out_at);
        return true;
    end if;
    insert into org_contacts as c (org_id, email, opted_out_of)
    values (v_org, v_email, array[v_kind])
    on conflict (org_id, email) do update
        set opted_out_of = pg_catalog.array_append(c.opted_out_of, v_kind)
        -- There are fewer kinds than that: whoever makes some up fills no row.
        where pg_catalog.array_position(c.opted_out_of, v_kind) is null
          and coalesce(pg_catalog.cardinality(c.opted_out_of), 0) < 30;
    return true;
end
$$;
comment on function periodd_unsubscribe is 'Opts an address out of warnings, or of one kind of notice, by the token of its unsubscribe link; false for a token that names none. A second time changes nothing.';
