-- What the private cluster needs before the historian's migrations: two roles, one database, the extension, rights.
-- Run by the superuser at every start, so each may be repeated. {braces} are filled with quoted identifiers and literals.

-- name: role_exists
-- CREATE ROLE has no IF NOT EXISTS.
SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = %(role)s;

-- name: create_role
-- The password follows in a statement of its own, so that it can be set again.
CREATE ROLE {role} LOGIN;

-- name: set_password
-- The secrets file rules: what it says holds after every start.
ALTER ROLE {role} PASSWORD {password};

-- name: database_exists
-- CREATE DATABASE has no IF NOT EXISTS.
SELECT 1 FROM pg_catalog.pg_database WHERE datname = %(database)s;

-- name: create_database
-- Owned by the role that runs the migrations; it is no superuser.
CREATE DATABASE {database} OWNER {owner};

-- name: create_extension
-- Only a superuser may; the migrations find it there.
CREATE EXTENSION IF NOT EXISTS timescaledb;

-- name: update_extension
-- After an upgrade of the package the old version's library is gone. Must be the first statement of its session.
ALTER EXTENSION timescaledb UPDATE;

-- name: grant_rights
-- The reader sees every table the owner makes, now and later, and changes none.
REVOKE ALL ON DATABASE {database} FROM PUBLIC;
GRANT CONNECT ON DATABASE {database} TO {reader};
GRANT USAGE ON SCHEMA public TO {reader};
GRANT SELECT ON ALL TABLES IN SCHEMA public TO {reader};
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT SELECT ON TABLES TO {reader};
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT USAGE ON SCHEMAS TO {reader};
ALTER ROLE {reader} SET default_transaction_read_only = on;
