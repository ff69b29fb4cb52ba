-- Timers of incidents that nobody has acknowledged yet: rows, so that they outlive every process and its clock.

create schema escalation;

create table escalation.timers (
    incident_id     uuid   not null,
    cause_position  bigint not null,
    number          int    not null check (number >= -1),
    round           int    not null default 1,
    organization_id uuid   not null,
    due_at          timestamptz not null,
    targets         jsonb,
    state           text   not null default 'pending' check (state in ('pending', 'fired', 'stopped')),
    settled_at      timestamptz,
    primary key (incident_id, cause_position, number)
);
comment on column escalation.timers.cause_position is 'the ledger entry that started them';
comment on column escalation.timers.number is 'the step of the policy, from 1; 0 is the response target, -1 the end of a maintenance window';
comment on column escalation.timers.targets is 'whom the step alerts, as the policy had it when the timers were set; of number -1, the id of the window';
create index timers_due on escalation.timers (due_at) where state = 'pending';
create index timers_of_windows on escalation.timers (organization_id) where state = 'pending' and number = -1;
create index timers_pending on escalation.timers (incident_id) where state = 'pending';

-- What has begun before this was there is not escalated.
insert into stream.checkpoints (consumer, source, partition, next, position)
select 'escalate', 'log', 0, head, head from (select coalesce(max(notification_id), 0) as head from ledger.events) now;
