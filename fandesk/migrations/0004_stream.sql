-- What follows the ledger: how far each follower has come, how it fares, and what it could not handle.

create schema stream;

create table stream.checkpoints (
    consumer   text   not null,
    source     text   not null,
    partition  int    not null,
    next       bigint not null,
    position   bigint not null default 0,
    updated_at timestamptz not null default now(),
    primary key (consumer, source, partition)
);
comment on table stream.checkpoints is
    'One row per consumer, source (log, or kafka: and the topic) and partition; the log has partition 0 alone.';
comment on column stream.checkpoints.next is
    'log: the last position handled; kafka: the next offset to read. Moves in the transaction of what was done.';
comment on column stream.checkpoints.position is
    'The highest position handled in this partition: what Kafka holds twice is passed over the second time.';

create table stream.followers (
    name      text primary key,
    seen_at   timestamptz not null,
    problem   text,
    behind    bigint not null default 0,
    behind_s  double precision not null default 0
);
comment on table stream.followers is 'How each follower fares, as it says itself every second or two.';
comment on column stream.followers.problem is 'What keeps it from working at the moment; null: nothing.';
comment on column stream.followers.behind is 'Entries it has not handled yet; behind_s: the age of the oldest, in seconds.';

create table stream.dead_letters (
    id          bigint generated always as identity primary key,
    consumer    text   not null,
    source      text   not null,
    partition   int    not null,
    place       bigint not null,
    key         bytea,
    headers     jsonb  not null,
    body        bytea  not null,
    reason      text   not null,
    failed_at   timestamptz not null default now(),
    tries       int    not null default 1,
    again       boolean not null default false,
    unique (consumer, source, partition, place)
);
create index dead_letters_again on stream.dead_letters (consumer, id) where again;
comment on table stream.dead_letters is 'What a consumer could not handle, as it came, and why; others go on past it.';
comment on column stream.dead_letters.again is 'It is to be handled once more (fandesk dead-letters resend).';

-- Alerts are for what happens from now on, not for the history that is there already.
insert into stream.checkpoints (consumer, source, partition, next, position)
select 'notify', 'log', 0, coalesce(max(notification_id), 0), coalesce(max(notification_id), 0) from ledger.events;
