-- What the private cluster needs before the historian's migrations: two roles, one database, the extension, rights.
-- Run by the superuser at every start, so each statement may be repeated. {braces} are filled with quoted identifiers and literals.

-- name: role_exists
SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = %(role)s

-- name: create_role
CREATE ROLE {role} LOGIN

-- name: set_password
ALTER ROLE {role} PASSWORD {password}

-- name: database_exists
SELECT 1 FROM pg_catalog.pg_database WHERE datname = %(database)s

-- name: create_database
CREATE DATABASE {database} OWNER {owner}

-- name: create_extension
CREATE EXTENSION IF NOT EXISTS timescaledb

-- name: update_extension
ALTER EXTENSION timescaledb UPDATE

-- name: grant_rights
REVOKE ALL ON DATABASE {database} FROM PUBLIC;
GRANT CONNECT ON DATABASE {database} TO {reader};
GRANT USAGE ON SCHEMA public TO {reader};
GRANT SELECT ON ALL TABLES IN SCHEMA public TO {reader};
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT SELECT ON TABLES TO {reader};
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT USAGE ON SCHEMAS TO {reader};
ALTER ROLE {reader} SET default_transaction_read_only = on
