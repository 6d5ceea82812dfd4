-- When the host was started, in Unix seconds, as the first daemon that opened the file since then said.
CREATE TABLE clock (
    boot TEXT NOT NULL,
    booted INTEGER NOT NULL
) STRICT;
