-- The second wall between organisations: who reads as fandesk_reader sees the rows of one organisation, the one that
-- `fandesk.organization` names in the session, whatever the query asks for. The role is made by `fandesk migrate`.
-- Tables of read models get their part of the wall when they are made (projections/wall.py).
--
-- A policy counts for all who are members of a role, and the program's own role is one of fandesk_reader: so these
-- ask who is at work rather than being made for the role.

do $$
declare
    walled text;
begin
    foreach walled in array array['ledger.events', 'ledger.claims', 'ledger.intake', 'notify.recipients',
                                  'notify.deliveries'] loop
        execute format('alter table %s enable row level security', walled);
        execute format($policy$
            create policy one_organization on %s for all to public using (
                current_user <> 'fandesk_reader'
                or organization_id = (select nullif(current_setting('fandesk.organization', true), '')::uuid))
        $policy$, walled);
    end loop;
end $$;

grant usage on schema read, ledger, notify to fandesk_reader;
grant select on ledger.events, ledger.claims, ledger.intake, notify.recipients, notify.deliveries to fandesk_reader;
