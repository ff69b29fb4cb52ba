-- Who may do what: organisations, people, API tokens and alert integrations. Ordinary rows, because they
-- hold personal data and secrets' hashes, which never enter the ledger.

create schema access;

create table access.organizations (
    id         uuid primary key,
    name       text not null,
    created_at timestamptz not null default now()
);

create table access.people (
    id              uuid primary key,
    organization_id uuid not null references access.organizations,
    name            text not null,
    email           text,
    role            text not null check (role in ('super_admin', 'org_admin', 'responder', 'member')),
    created_at      timestamptz not null default now()
);
create index people_by_organization on access.people (organization_id);

create table access.tokens (
    id              uuid primary key,
    organization_id uuid not null references access.organizations,
    person_id       uuid not null references access.people,
    name            text not null,
    hash            bytea not null unique,
    created_at      timestamptz not null default now(),
    revoked_at      timestamptz
);
comment on column access.tokens.hash is 'SHA-256 of the token, which has 256 random bits of its own';

create table access.integrations (
    id               uuid primary key,
    organization_id  uuid not null references access.organizations,
    name             text not null,
    kind             text not null,
    default_severity text,
    default_category text,
    key_hash         bytea not null unique,
    created_at       timestamptz not null default now(),
    disabled_at      timestamptz
);
create index integrations_by_organization on access.integrations (organization_id);
