-- Where the read models live. Their tables belong to the programs that keep them, which make them there:
-- `read` is what is being read, `read_next` one that is being rebuilt, `read_old` one just replaced.

create schema read;
create schema read_next;
create schema read_old;

create table read.checkpoints (
    model      text primary key,
    position   bigint not null,
    definition text not null,
    updated_at timestamptz not null default now()
);
comment on column read.checkpoints.position is 'The model holds every event up to and including this position.';
comment on column read.checkpoints.definition is 'Hash of the model''s tables and rules; another means: rebuild it.';
