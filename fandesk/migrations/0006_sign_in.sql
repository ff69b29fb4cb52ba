-- Signing in, sessions, scopes of tokens, and what is written to people about their own numbers.

alter table access.people
    add column password_hash text,
    add column time_zone     text,
    add column disabled_at   timestamptz,
    add column erased_at     timestamptz,
    add column last_seen_at  timestamptz;
create unique index people_by_email on access.people (lower(email)) where email is not null and disabled_at is null;
comment on column access.people.email is
    'what a person signs in with: unique among those in the installation who have access, case does not matter';
comment on column access.people.password_hash is 'argon2id, with its salt and cost in it; null: no password';
comment on column access.people.disabled_at is 'since when the person may do nothing any more';
comment on column access.people.erased_at is 'since when nothing but the id is known of the person';

alter table access.tokens
    add column scopes       text[] check (scopes <@ '{read,respond,manage}'),
    add column expires_at   timestamptz,
    add column last_used_at timestamptz;
create index tokens_by_person on access.tokens (person_id);
comment on column access.tokens.scopes is 'null: all that the person may, as tokens had it before there were scopes';
comment on column access.tokens.last_used_at is 'to the minute';

create table access.sessions (
    id           uuid primary key,
    person_id    uuid not null references access.people,
    hash         bytea not null unique,
    method       text not null check (method in ('password', 'link', 'oidc')),
    user_agent   text,
    created_at   timestamptz not null default now(),
    last_seen_at timestamptz not null default now(),
    revoked_at   timestamptz
);
create index sessions_by_person on access.sessions (person_id);
comment on column access.sessions.hash is 'SHA-256 of the cookie, which has 256 random bits of its own';

create table access.links (
    hash       bytea primary key,
    person_id  uuid not null references access.people,
    made_by    uuid references access.people,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at    timestamptz
);
create index links_by_person on access.links (person_id);
comment on table access.links is 'One-time sign-in links; hash: SHA-256 of the secret in the address.';

create table access.identities (
    issuer    text not null,
    subject   text not null,
    person_id uuid not null references access.people,
    seen_at   timestamptz not null default now(),
    primary key (issuer, subject)
);
create index identities_by_person on access.identities (person_id);
comment on table access.identities is 'Who is who at the OpenID Connect provider.';

create table access.attempts (
    key   bytea primary key,
    count int not null,
    since timestamptz not null
);
create index attempts_by_age on access.attempts (since);
comment on table access.attempts is 'Attempts to sign in since a time, by account and by address; key: a hash of which.';

create table access.refusals (
    person_id uuid not null references access.people,
    what      text not null,
    at        timestamptz not null default now(),
    primary key (person_id, what)
);
comment on table access.refusals is 'When a refused attempt was last put on record; one per person and route in an hour is enough.';

create table access.codes (
    person_id  uuid primary key references access.people,
    whatsapp   text not null,
    hash       text not null,
    tries      int not null default 0,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);
comment on table access.codes is 'A new number waits here until the code that was sent to it comes back; hash: argon2id.';

alter table notify.deliveries drop constraint deliveries_kind_check;
alter table notify.deliveries add constraint deliveries_kind_check check (kind in ('alert', 'reply', 'code'));
comment on column notify.deliveries.kind is
    'alert: of an incident; reply: to what a person wrote or tapped; code: confirms a person''s own number';
create index recipients_by_person on notify.recipients (person_id) where person_id is not null;
alter table notify.recipients add column once_person_id uuid references access.people;
create index recipients_by_once_person on notify.recipients (once_person_id) where once_person_id is not null;
comment on column notify.recipients.once_person_id is
    'whose the number was before it was unlinked from them: it goes when they are erased';
