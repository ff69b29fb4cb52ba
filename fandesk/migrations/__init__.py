"""The schema's migrations: ordered SQL files, run by `fandesk.migrate`."""
