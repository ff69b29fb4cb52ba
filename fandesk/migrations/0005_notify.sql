-- Who is alerted, what was sent to whom, and what came back. Numbers and texts are personal: none of this is ledger.

create schema notify;

create table notify.recipients (
    id              uuid primary key,
    organization_id uuid not null references access.organizations,
    name            text not null,
    whatsapp        text check (whatsapp ~ '^\+[1-9][0-9]{6,14}$'),
    wa_id           text,
    severities      text[] not null default '{critical,high}',
    person_id       uuid references access.people,
    opted_in_at     timestamptz,
    fallback        bytea,
    fallback_kind   text,
    created_at      timestamptz not null default now(),
    removed_at      timestamptz,
    check (whatsapp is not null or removed_at is not null)
);
create unique index recipients_by_number on notify.recipients (organization_id, whatsapp) where removed_at is null;
create index recipients_by_digits on notify.recipients (ltrim(whatsapp, '+')) where removed_at is null;
create index recipients_by_wa_id on notify.recipients (wa_id) where removed_at is null and wa_id is not null;
comment on column notify.recipients.whatsapp is 'E.164, with its plus sign; forgotten when the recipient is removed';
comment on column notify.recipients.wa_id is 'the number in digits as WhatsApp itself names it, where that differs';
comment on column notify.recipients.opted_in_at is 'since when the person agrees to be written to; null: does not';
comment on column notify.recipients.fallback is 'an apprise URL, encrypted with FANDESK_SECRET_KEY; fallback_kind: its scheme';

create table notify.deliveries (
    id              uuid primary key,
    kind            text not null check (kind in ('alert', 'reply')),
    organization_id uuid not null references access.organizations,
    recipient_id    uuid not null references notify.recipients,
    channel         text not null,
    incident_id     uuid,
    cause_position  bigint,
    cause_version   bigint,
    attempt         int not null default 1,
    severity        text,
    content         jsonb not null,
    state           text not null default 'queued' check (state in ('queued', 'sending', 'sent', 'delivered', 'read',
                    'failed', 'unknown', 'not_configured', 'cancelled')),
    reason          text,
    error_code      int,
    wamid           text unique,
    due_at          timestamptz not null default now(),
    superseded      boolean not null default false,
    told            text,
    queued_at       timestamptz not null default clock_timestamp(),
    sending_at      timestamptz,
    unknown_at      timestamptz,
    sent_at         timestamptz,
    delivered_at    timestamptz,
    read_at         timestamptz,
    failed_at       timestamptz,
    cancelled_at    timestamptz,
    unique (cause_position, recipient_id, channel, attempt)
);
comment on table notify.deliveries is
    'One row is at most one message; it is written before the message leaves. Its state only goes forward.';
comment on column notify.deliveries.kind is 'alert: of an incident; reply: to what a person wrote or tapped';
comment on column notify.deliveries.cause_position is 'alert: the ledger entry that it reacts to; cause_version: its place in the incident';
comment on column notify.deliveries.content is 'alert: number and title; reply: text, and perhaps buttons';
comment on column notify.deliveries.superseded is 'a later attempt stands for this one';
comment on column notify.deliveries.told is 'the last state that the ledger was told of by an event';
create index deliveries_by_incident on notify.deliveries (incident_id, queued_at, id);
create index deliveries_by_recipient on notify.deliveries (recipient_id, queued_at) where kind = 'alert';
create index deliveries_by_time on notify.deliveries (queued_at, state);
create index deliveries_due on notify.deliveries (due_at) where state = 'queued';
create index deliveries_away on notify.deliveries (state, sending_at) where state in ('sending', 'unknown');
create index deliveries_recent on notify.deliveries (sending_at) where sending_at is not null;
create index deliveries_untold on notify.deliveries (id)
    where kind = 'alert' and told is distinct from state
      and state in ('sent', 'delivered', 'read', 'failed', 'not_configured');

create table notify.inbox (
    id          bigint generated always as identity primary key,
    key         text not null unique,
    item        jsonb,
    received_at timestamptz not null default clock_timestamp(),
    handled_at  timestamptz,
    outcome     text
);
create index inbox_waiting on notify.inbox (id) where handled_at is null;
comment on table notify.inbox is
    'Each status, tap and text that WhatsApp told, once, written before the webhook is answered.';
comment on column notify.inbox.key is 'what makes it the same when it is told again';
comment on column notify.inbox.item is 'as it came; forgotten once it is handled';
