-- Whether the sessions of a user are recorded.
ALTER TABLE users ADD COLUMN records TEXT NOT NULL DEFAULT 'default';
