-- What POPs want of the rates of users with sessions at several, and what they have, in bytes per second.
CREATE TABLE shares (
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    pop TEXT NOT NULL,
    incarnation INTEGER NOT NULL,
    wants_up INTEGER NOT NULL,
    wants_down INTEGER NOT NULL,
    has_up INTEGER NOT NULL,
    has_down INTEGER NOT NULL,
    PRIMARY KEY (user_id, pop, incarnation)
) STRICT, WITHOUT ROWID;
