-- Documents, jobs, recovery points, events (docs/database.md). Times are microseconds since 1970-01-01T00:00:00Z.
-- Text is compared and ordered by its bytes, as SQLite does it.

-- One row: the number of the last batch, which is the revision of what that batch wrote. Whoever writes holds its lock.
-- It changes with every batch, so its page has room for the row's next versions.
CREATE TABLE batch (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    number   BIGINT  NOT NULL
) WITH (fillfactor = 10);
INSERT INTO batch (only_row, number) VALUES (1, 0);

CREATE TABLE document (
    path     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    kind     TEXT COLLATE "C" NOT NULL,
    revision BIGINT           NOT NULL,
    updated  BIGINT           NOT NULL,
    body     BYTEA            NOT NULL
);
CREATE INDEX document_kind ON document (kind, path);

CREATE TABLE job (
    id        TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    vault     TEXT COLLATE "C" NOT NULL,
    item      TEXT COLLATE "C" NOT NULL,
    operation TEXT COLLATE "C" NOT NULL,
    status    TEXT COLLATE "C" NOT NULL,
    started   BIGINT           NOT NULL,
    ended     BIGINT,
    owner     TEXT COLLATE "C",
    epoch     BIGINT           NOT NULL,
    heartbeat BIGINT           NOT NULL,
    body      BYTEA            NOT NULL
);
CREATE UNIQUE INDEX job_running ON job (item) WHERE ended IS NULL AND item <> '';
CREATE INDEX job_unended ON job (started, id) WHERE ended IS NULL;
CREATE INDEX job_started ON job (started, id);
CREATE INDEX job_vault ON job (vault, started, id);
CREATE INDEX job_item ON job (item, started, id);

CREATE TABLE point (
    item  TEXT COLLATE "C" NOT NULL,
    id    TEXT COLLATE "C" NOT NULL,
    point TEXT COLLATE "C" NOT NULL,
    time  BIGINT           NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    body  BYTEA            NOT NULL,
    PRIMARY KEY (item, id)
);
CREATE UNIQUE INDEX point_name ON point (item, point);
CREATE INDEX point_time ON point (item, time, id);

CREATE TABLE event (
    writer   TEXT COLLATE "C" NOT NULL,
    sequence BIGINT           NOT NULL,
    time     BIGINT           NOT NULL,
    previous BYTEA            NOT NULL,
    hash     BYTEA            NOT NULL,
    body     BYTEA            NOT NULL,
    PRIMARY KEY (writer, sequence)
);
