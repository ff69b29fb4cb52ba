-- Reports as of a time make temporary tables of their own connection, and nothing else.
do $$
begin
    execute format('grant temporary on database %I to fandesk_reader', current_database());
end $$;
