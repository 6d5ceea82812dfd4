ALTER TABLE users ADD COLUMN id INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN starts_at INTEGER;
ALTER TABLE users ADD COLUMN traffic_limit INTEGER;
ALTER TABLE users ADD COLUMN upload_rate INTEGER;
ALTER TABLE users ADD COLUMN download_rate INTEGER;
ALTER TABLE users ADD COLUMN sessions_max INTEGER;
ALTER TABLE users ADD COLUMN route_mode TEXT NOT NULL DEFAULT 'auto';
ALTER TABLE users ADD COLUMN route_node TEXT;
ALTER TABLE users ADD COLUMN route_interval_minutes INTEGER;
ALTER TABLE users ADD COLUMN route_utc_minute INTEGER;
ALTER TABLE users ADD COLUMN route_switched_at INTEGER;
ALTER TABLE users ADD COLUMN charged INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN uploaded INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN downloaded INTEGER NOT NULL DEFAULT 0;
-- Credential versions were never used twice, so they can be ids; both count on from here.
UPDATE users SET id = credential_version;
CREATE UNIQUE INDEX users_by_id ON users (id);

CREATE TABLE usage (
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    pop TEXT NOT NULL,
    incarnation INTEGER NOT NULL,
    granted INTEGER NOT NULL,
    returned INTEGER NOT NULL,
    forgiven INTEGER NOT NULL,
    uploaded INTEGER NOT NULL,
    downloaded INTEGER NOT NULL,
    sessions INTEGER NOT NULL,
    reported_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, pop, incarnation)
) STRICT, WITHOUT ROWID;

-- Up to which incarnation of a POP a user's accounts were folded into the sum.
CREATE TABLE usage_folded (
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    pop TEXT NOT NULL,
    incarnation INTEGER NOT NULL,
    PRIMARY KEY (user_id, pop)
) STRICT, WITHOUT ROWID;

CREATE TABLE traffic (
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    width INTEGER NOT NULL,
    start INTEGER NOT NULL,
    uploaded INTEGER NOT NULL,
    downloaded INTEGER NOT NULL,
    PRIMARY KEY (user_id, width, start)
) STRICT, WITHOUT ROWID;

CREATE TABLE adjustments (
    serial INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    UNIQUE (user_id, id)
) STRICT;

-- What is known of nodes, online or not.
CREATE TABLE homes (
    node TEXT PRIMARY KEY,
    pop TEXT NOT NULL,
    ip TEXT,
    seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX homes_by_age ON homes (seen_at);

CREATE TABLE blacklist (
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    reason TEXT NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (kind, subject)
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT: a number is not used again when the newest are trimmed.
CREATE TABLE changes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    body TEXT NOT NULL
) STRICT;

CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    source TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL,
    hash BLOB NOT NULL
) STRICT;
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

-- The run of the store: a file forgets nothing but together with its host.
CREATE TABLE identity (
    run TEXT NOT NULL
) STRICT;
INSERT INTO identity VALUES (lower(hex(randomblob(8))));
