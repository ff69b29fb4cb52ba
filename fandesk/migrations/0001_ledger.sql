-- The ledger: one ordered, append-only log of events, and the unique claims that go with them.

create schema ledger;

create table ledger.events (
    notification_id    bigint generated always as identity (cache 1) primary key,
    originator_id      uuid        not null,
    originator_version bigint      not null check (originator_version > 0),
    organization_id    uuid        not null,
    topic              text        not null,
    state              bytea       not null,
    recorded_at        timestamptz not null,
    unique (originator_id, originator_version)
);
create index events_by_organization on ledger.events (organization_id, notification_id);

comment on table ledger.events is
    'The log. Column names are those of the library eventsourcing; ledger.readable has the field''s own.';
comment on column ledger.events.notification_id is
    'The position: rises in commit order. Gaps are normal, a rolled-back append burns its numbers.';
comment on column ledger.events.state is 'The exact bytes of the event''s JSON, as they were written.';
comment on column ledger.events.recorded_at is 'When it was written; rises strictly with the position.';

create view ledger.readable as
    select notification_id as position, originator_id as incident_id, originator_version as version,
           organization_id, split_part(topic, '/', 1) as type, split_part(topic, '/', 2)::int as schema_version,
           recorded_at, (convert_from(state, 'UTF8')::jsonb ->> 'occurred_at')::timestamptz as occurred_at,
           convert_from(state, 'UTF8')::jsonb as payload
      from ledger.events;

-- Nothing that was written changes, whoever asks: not even the owner, short of removing these triggers.
create function ledger.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'the ledger is append-only: % on %.% is refused', tg_op, tg_table_schema, tg_table_name
        using errcode = 'insufficient_privilege';
end $$;
create trigger events_are_immutable before update or delete on ledger.events
    for each row execute function ledger.refuse_change();
create trigger events_are_never_truncated before truncate on ledger.events
    for each statement execute function ledger.refuse_change();
alter table ledger.events enable always trigger events_are_immutable;
alter table ledger.events enable always trigger events_are_never_truncated;

-- What may be held only once in an organisation, taken in the transaction of the events it belongs to.
create table ledger.claims (
    organization_id uuid not null,
    scope           text not null check (scope in ('number', 'dedup', 'idempotency')),
    key             text not null,
    stream_id       uuid not null,
    request_hash    bytea,
    version         bigint,
    claimed_at      timestamptz not null default now(),
    primary key (organization_id, scope, key)
);
create index dedup_claims_by_stream on ledger.claims (stream_id) where scope = 'dedup';
comment on column ledger.claims.request_hash is 'idempotency: SHA-256 of the request that took the key';
comment on column ledger.claims.version is 'idempotency: the incident''s version that the first answer showed';

create table ledger.numbers (
    organization_id uuid primary key,
    last            bigint not null
);

-- Alerts that repeat for an open incident. Each is durable here before its sender is answered, and is
-- folded, with all that came since, into one AlertReceived a few seconds later.
create table ledger.intake (
    id              uuid primary key,
    organization_id uuid not null,
    stream_id       uuid not null,
    integration_id  uuid not null,
    received_at     timestamptz not null,
    alerts          jsonb not null,
    folded          boolean not null default false,
    arrived_at      timestamptz not null default clock_timestamp()
);
comment on column ledger.intake.arrived_at is 'by the database''s own clock, which tells when it is due to be folded';

create index intake_waiting on ledger.intake (stream_id) where not folded;
create index intake_done on ledger.intake (arrived_at) where folded;

-- Append the events of several commands in one round trip. Every writer holds the same advisory lock from
-- here to its commit, so that checking before writing is free of races, and positions rise in commit order.
--
-- Elements of the e_ arrays are events, of the c_ arrays claims, of the j_ arrays intake rows, of the f_
-- arrays intake rows that a command folds; each names its command, 1 to n, in rising order. e_prior is the
-- index of the event before it in its stream where that comes in the same call, else 0. e_number, where it is
-- not 0, is the byte before which the digit 0 stands for the incident's number: the next one of its
-- organisation is put there, in the same transaction, so that numbers have no gaps. The answer has one row per
-- command: outcome 'appended', 'version' (somebody else wrote to one of its streams first), 'folded'
-- (somebody else folded its intake), or the scope of a claim that is not as the command needs it. A claim
-- counts as it was before the call: what another command of the call takes or frees is not seen yet.
--
-- The same call may be sent again after a lost connection: what is there already, byte for byte, counts as
-- appended and is not written twice.
create function ledger.append(
    n int,
    e_command int[], e_stream uuid[], e_version bigint[], e_prior int[], e_organization uuid[], e_topic text[],
    e_state bytea[], e_number int[],
    c_command int[], c_action text[], c_organization uuid[], c_scope text[], c_key text[], c_stream uuid[],
    c_hash bytea[], c_version bigint[],
    j_command int[], j_id uuid[], j_organization uuid[], j_stream uuid[], j_integration uuid[],
    j_received timestamptz[], j_alerts text[],
    f_command int[], f_id uuid[]
) returns table (outcome text, last_position bigint, last_recorded_at timestamptz, new_number bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp
-- A handful of rows is looked up by key in tables of any size: nothing but index look-ups is ever right here.
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set jit = off as $$
declare
    outcomes    text[] := array_fill('appended'::text, array[n]);
    written     boolean[] := array_fill(false, array[n]);
    e_found     boolean[];
    e_wrong     boolean[];
    e_position  bigint[];
    e_recorded  timestamptz[];
    c_wrong     boolean[];
    j_found     boolean[];
    f_wrong     boolean[];
    positions   bigint[];
    recorded    timestamptz[];
    numbers     bigint[] := array_fill(null::bigint, array[n]);
    numbers_of  uuid;
    numbers_known bigint;
    numbers_left bigint;
    there       bigint;
    before      bigint;
    appended    int := 0;
    at_event    int := 1;
    moment      timestamptz;
begin
    perform pg_advisory_xact_lock(7308604895);

    -- Events: is the place free, and is the one before it taken?
    if cardinality(e_command) > 0 then
        select count(*) filter (where near.originator_version = e_version[i]),
               count(*) filter (where near.originator_version < e_version[i] and e_prior[i] = 0)
          into there, before
          from generate_subscripts(e_command, 1) i
          join ledger.events near
            on near.originator_id = e_stream[i] and near.originator_version between e_version[i] - 1 and e_version[i];
        for i in 1 .. cardinality(e_command) loop
            if e_prior[i] = 0 and e_version[i] > 1 then
                before := before - 1;
            end if;
        end loop;
        if there > 0 or before <> 0 then
            -- Somebody is in the way, or was here before: see where.
            select array_agg(old.state is not null order by new.i),
                   array_agg(old.state is distinct from new.state and not (
                       -- but for the number it was given, the event that opened the incident is this one
                       new.opens > 0 and substr(old.state, 1, new.opens - 1) = substr(new.state, 1, new.opens - 1)
                       and substr(old.state, length(old.state) - length(new.state) + new.opens + 1)
                         = substr(new.state, new.opens + 1)) and (old.state is not null or new.alone and not exists (
                       select from ledger.events before
                        where before.originator_id = new.stream and before.originator_version = new.version - 1))
                       order by new.i),
                   array_agg(old.notification_id order by new.i), array_agg(old.recorded_at order by new.i)
              into e_found, e_wrong, e_position, e_recorded
              from (select i, e_stream[i] as stream, e_version[i] as version, e_state[i] as state,
                           e_prior[i] = 0 and e_version[i] > 1 as alone, e_number[i] as opens
                      from generate_subscripts(e_command, 1) i) new
              left join ledger.events old
                on old.originator_id = new.stream and old.originator_version = new.version;
        else
            e_wrong := array_fill(false, array[cardinality(e_command)]);
            e_found := e_wrong;
        end if;
        for i in 1 .. cardinality(e_command) loop
            if e_wrong[i] or (e_prior[i] > 0 and outcomes[e_command[e_prior[i]]] <> 'appended') then
                outcomes[e_command[i]] := 'version';
            elsif e_found[i] then
                written[e_command[i]] := true;
            end if;
        end loop;
        for i in 1 .. cardinality(e_command) loop
            if written[e_command[i]] and not e_found[i] then
                outcomes[e_command[i]] := 'version';
            end if;
        end loop;
    end if;

    if cardinality(j_command) > 0 then
        select array_agg(exists (select from ledger.intake k where k.id = j_id[i]) order by i) into j_found
          from generate_subscripts(j_command, 1) i;
        for i in 1 .. cardinality(j_command) loop
            written[j_command[i]] := written[j_command[i]] or j_found[i];
        end loop;
    end if;

    -- Claims: what is to be taken must be free, what must be held must be held by the right one.
    if cardinality(c_command) > 0 then
        select array_agg(case c_action[i]
                   when 'take' then held.stream_id is not null
                   when 'held' then held.stream_id is distinct from c_stream[i]
                   else false end order by i)
          into c_wrong
          from generate_subscripts(c_command, 1) i
          left join ledger.claims held on c_action[i] in ('take', 'held')
           and held.organization_id = c_organization[i] and held.scope = c_scope[i] and held.key = c_key[i];
        for i in 1 .. cardinality(c_command) loop
            if c_wrong[i] and not written[c_command[i]] and outcomes[c_command[i]] = 'appended' then
                outcomes[c_command[i]] := c_scope[i];
            end if;
        end loop;
    end if;

    if cardinality(f_command) > 0 then
        select array_agg(not exists (select from ledger.intake k where k.id = f_id[i] and not k.folded) order by i)
          into f_wrong from generate_subscripts(f_command, 1) i;
        for i in 1 .. cardinality(f_command) loop
            if (f_wrong[i] or f_id[i] = any (f_id[: i - 1])) and not written[f_command[i]] and outcomes[f_command[i]] = 'appended' then
                outcomes[f_command[i]] := 'folded';
            end if;
        end loop;
    end if;

    -- A command falls with the one before it on the same stream.
    for i in 1 .. cardinality(e_command) loop
        if e_prior[i] > 0 and outcomes[e_command[e_prior[i]]] <> 'appended' then
            outcomes[e_command[i]] := 'version';
        end if;
    end loop;

    if cardinality(e_command) > 0 then
        select greatest(clock_timestamp(), recorded_at + interval '1 microsecond') into moment
          from ledger.events order by notification_id desc limit 1;
        moment := coalesce(moment, clock_timestamp());
        for i in 1 .. cardinality(e_command) loop
            if e_number[i] = 0 or outcomes[e_command[i]] <> 'appended' then
                continue;
            elsif written[e_command[i]] then
                numbers[e_command[i]] := (
                    select (convert_from(state, 'UTF8')::jsonb -> 'number')::bigint from ledger.events
                     where originator_id = e_stream[i] and originator_version = e_version[i]);
                continue;
            elsif numbers_of is distinct from e_organization[i] then
                numbers_of := e_organization[i];
                numbers_left := 0;
                for k in i .. cardinality(e_command) loop
                    exit when e_number[k] > 0 and e_organization[k] <> numbers_of
                        and outcomes[e_command[k]] = 'appended' and not written[e_command[k]];
                    if e_number[k] > 0 and outcomes[e_command[k]] = 'appended' and not written[e_command[k]] then
                        numbers_left := numbers_left + 1;
                    end if;
                end loop;
                insert into ledger.numbers as known values (numbers_of, numbers_left)
                on conflict (organization_id) do update set last = known.last + excluded.last
                returning last - numbers_left into numbers_known;
            end if;
            numbers_known := numbers_known + 1;
            numbers[e_command[i]] := numbers_known;
            e_state[i] := substr(e_state[i], 1, e_number[i] - 1)
                || convert_to(numbers_known::text, 'UTF8') || substr(e_state[i], e_number[i] + 1);
        end loop;
        if numbers_of is not null then
            insert into ledger.claims (organization_id, scope, key, stream_id)
            select e_organization[i], 'number', numbers[e_command[i]]::text, e_stream[i]
              from generate_subscripts(e_command, 1) i
             where e_number[i] > 0 and outcomes[e_command[i]] = 'appended' and not written[e_command[i]];
        end if;
        with entry as (
            insert into ledger.events (originator_id, originator_version, organization_id, topic, state, recorded_at)
            select e_stream[i], e_version[i], e_organization[i], e_topic[i], e_state[i],
                   moment + i * interval '1 microsecond'
              from generate_subscripts(e_command, 1) i
             where outcomes[e_command[i]] = 'appended' and not written[e_command[i]]
             order by i
            returning notification_id, recorded_at
        )
        select array_agg(notification_id), array_agg(recorded_at) into positions, recorded from entry;
        for i in 1 .. cardinality(e_command) loop
            if outcomes[e_command[i]] = 'appended' and not written[e_command[i]] then
                appended := appended + 1;
                e_position[i] := positions[appended];
                e_recorded[i] := recorded[appended];
            end if;
        end loop;
    end if;

    if cardinality(c_command) > 0 then
        insert into ledger.claims (organization_id, scope, key, stream_id, request_hash, version)
        select c_organization[i], c_scope[i], c_key[i], c_stream[i], c_hash[i], c_version[i]
          from generate_subscripts(c_command, 1) i
         where c_action[i] = 'take' and outcomes[c_command[i]] = 'appended' and not written[c_command[i]];
        -- In order: what one merge moves, the next may move on.
        for i in 1 .. cardinality(c_command) loop
            continue when c_action[i] in ('take', 'held')
                or outcomes[c_command[i]] <> 'appended' or written[c_command[i]];
            if c_action[i] = 'move' then
                update ledger.claims k set stream_id = c_key[i]::uuid
                 where k.stream_id = c_stream[i] and k.scope = 'dedup';
            else
                delete from ledger.claims k
                 where k.stream_id = c_stream[i] and k.scope = 'dedup'
                   and (c_action[i] = 'release' or k.key = c_key[i]);
            end if;
        end loop;
    end if;

    if cardinality(j_command) > 0 then
        insert into ledger.intake (id, organization_id, stream_id, integration_id, received_at, alerts)
        select j_id[i], j_organization[i], j_stream[i], j_integration[i], j_received[i], j_alerts[i]::jsonb
          from generate_subscripts(j_command, 1) i
         where outcomes[j_command[i]] = 'appended' and not written[j_command[i]];
    end if;
    if cardinality(f_command) > 0 then
        update ledger.intake k set folded = true
          from generate_subscripts(f_command, 1) i
         where k.id = f_id[i] and outcomes[f_command[i]] = 'appended' and not written[f_command[i]];
    end if;

    if appended > 0 then
        perform pg_notify('ledger', positions[appended]::text);
    end if;
    for command in 1 .. n loop
        outcome := outcomes[command];
        last_position := null;
        last_recorded_at := null;
        new_number := numbers[command];
        while at_event <= cardinality(e_command) and e_command[at_event] = command loop
            last_position := e_position[at_event];
            last_recorded_at := e_recorded[at_event];
            at_event := at_event + 1;
        end loop;
        return next;
    end loop;
end $$;

-- Forget intake rows that are accounted for, but not so soon that an append sent again could miss its own.
create function ledger.prune_intake() returns bigint
language sql security definer set search_path = pg_catalog, pg_temp as $$
    with gone as (
        delete from ledger.intake where folded and arrived_at < clock_timestamp() - interval '1 hour' returning 1)
    select count(*) from gone
$$;

revoke all on function ledger.append from public;
revoke all on function ledger.prune_intake from public;
