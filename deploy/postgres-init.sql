-- Run once by the image `postgres`, as its superuser, when its volume is empty: the roles and the database of
-- docs/settings.md, "An external PostgreSQL". The owner makes the schema; the program reads and appends.
\getenv owner_password DB_OWNER_PASSWORD
\getenv app_password DB_APP_PASSWORD

create role fandesk_owner login password :'owner_password';
create role fandesk login password :'app_password';
create role fandesk_reader nologin;
grant fandesk_reader to fandesk;
create database fandesk owner fandesk_owner template template0 encoding 'UTF8';
revoke connect, temporary on database fandesk from public;
grant connect on database fandesk to fandesk;
