-- Whole histories at once, for imports: the same places, numbers, claims, positions and notification as
-- ledger.append gives, under the same lock, but set by set. What an import needs no part of (claims to hold or free,
-- alerts that wait) is left out, and with it what takes ledger.append its time where there are thousands of events.
--
-- Elements of the s_ arrays are streams, each once: s_after is the version that its new events follow, 0 for an
-- incident that they open; s_number then is the byte of its first event before which the digit 0 stands for its
-- number. Elements of the e_ arrays are events in order; e_stream is the index of their stream. The answer has one row
-- per stream: its outcome, 'appended' or 'version' (it is at another version than s_after, so nothing was written to
-- it), and the version that it is at now.
create function ledger.append_histories(
    organization uuid,
    s_id uuid[], s_after bigint[], s_number int[],
    e_stream int[], e_topic text[], e_state bytea[]
) returns table (outcome text, version bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp set jit = off as $$
declare
    found_at   bigint[];
    numbers    bigint[];
    opened     bigint;
    numbered   bigint := 0;
    moment     timestamptz;
    written    bigint;
begin
    perform pg_advisory_xact_lock(7308604895);

    select array_agg(coalesce((select max(old.originator_version) from ledger.events old
                                where old.originator_id = s.id), 0) order by s.n)
      into found_at from unnest(s_id) with ordinality s(id, n);

    select count(*) into opened from unnest(s_after, found_at) s(after, at) where s.after = 0 and s.at = 0;
    if opened > 0 then
        insert into ledger.numbers as known values (organization, opened)
        on conflict (organization_id) do update set last = known.last + excluded.last
        returning known.last - opened into numbered;
    end if;
    select array_agg(case when s.after = 0 and s.at = 0 then numbered + s.nth end order by s.n)
      into numbers
      from (select after, at, n, count(*) filter (where after = 0 and at = 0) over (order by n) as nth
              from unnest(s_after, found_at) with ordinality as each(after, at, n)) s;

    insert into ledger.claims (organization_id, scope, key, stream_id)
    select organization, 'number', s.number::text, s.id
      from unnest(s_id, numbers) s(id, number) where s.number is not null;

    select greatest(clock_timestamp(), recorded_at + interval '1 microsecond') into moment
      from ledger.events order by notification_id desc limit 1;
    moment := coalesce(moment, clock_timestamp());
    with entry as (
        insert into ledger.events (originator_id, originator_version, organization_id, topic, state, recorded_at)
        select s.id, s.after + e.nth, organization, e.topic,
               case when e.nth = 1 and s.number is not null
                    then substr(e.state, 1, s.place - 1) || convert_to(s.number::text, 'UTF8') || substr(e.state, s.place + 1)
                    else e.state end,
               moment + e.n * interval '1 microsecond'
          from (select stream, topic, state, n, row_number() over (partition by stream order by n) as nth
                  from unnest(e_stream, e_topic, e_state) with ordinality as each(stream, topic, state, n)) e
          join unnest(s_id, s_after, s_number, found_at, numbers) with ordinality as s(id, after, place, at, number, n)
            on s.n = e.stream and s.at = s.after
         order by e.n
        returning notification_id
    )
    select max(notification_id) into written from entry;
    if written is not null then
        perform pg_notify('ledger', written::text);
    end if;

    return query
        select case when s.at = s.after then 'appended' else 'version' end,
               case when s.at = s.after then s.after + coalesce(e.events, 0) else s.at end
          from unnest(s_after, found_at) with ordinality as s(after, at, n)
          left join (select stream, count(*) as events from unnest(e_stream) as each(stream) group by stream) e
            on e.stream = s.n
         order by s.n;
end $$;

revoke all on function ledger.append_histories from public;
