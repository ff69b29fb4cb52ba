-- Calendar feeds: addresses with a key of their own, since calendar programs cannot sign in.

create table access.feeds (
    id              uuid primary key,
    organization_id uuid not null references access.organizations,
    owner_id        uuid not null references access.people,
    schedule        text,
    person_id       uuid references access.people,
    key_hash        bytea not null unique,
    created_at      timestamptz not null default now(),
    revoked_at      timestamptz,
    check (num_nonnulls(schedule, person_id) = 1)
);
create index feeds_by_organization on access.feeds (organization_id);
comment on column access.feeds.owner_id is 'who made it: it works for as long as they see incidents';
comment on column access.feeds.key_hash is 'SHA-256 of the key, which has 256 random bits of its own';
