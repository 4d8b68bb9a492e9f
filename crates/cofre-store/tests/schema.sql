-- Version 3, as the migrations leave it. COFRE_BLESS=1 writes it anew.

CREATE TABLE batch (
    only   INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    number INTEGER NOT NULL
) STRICT;

CREATE TABLE document (
    path     TEXT    NOT NULL PRIMARY KEY,
    kind     TEXT    NOT NULL,
    revision INTEGER NOT NULL,
    updated  INTEGER NOT NULL,
    body     BLOB    NOT NULL
) STRICT;

CREATE INDEX document_kind ON document (kind, path);

CREATE TABLE job (
    id        TEXT    NOT NULL PRIMARY KEY,
    vault     TEXT    NOT NULL,
    item      TEXT    NOT NULL,
    operation TEXT    NOT NULL,
    status    TEXT    NOT NULL,
    started   INTEGER NOT NULL,
    ended     INTEGER,
    owner     TEXT,
    epoch     INTEGER NOT NULL,
    heartbeat INTEGER NOT NULL,
    body      BLOB    NOT NULL
) STRICT;

CREATE UNIQUE INDEX job_running ON job (item) WHERE ended IS NULL AND item <> '';

CREATE INDEX job_unended ON job (started, id) WHERE ended IS NULL;

CREATE INDEX job_started ON job (started, id);

CREATE INDEX job_vault ON job (vault, started, id);

CREATE INDEX job_item ON job (item, started, id);

CREATE TABLE point (
    item  TEXT    NOT NULL,
    id    TEXT    NOT NULL,
    point TEXT    NOT NULL,
    time  INTEGER NOT NULL,
    state TEXT    NOT NULL,
    body  BLOB    NOT NULL,
    PRIMARY KEY (item, id)
) STRICT;

CREATE UNIQUE INDEX point_name ON point (item, point);

CREATE INDEX point_time ON point (item, time, id);

CREATE TABLE event (
    writer   TEXT    NOT NULL,
    sequence INTEGER NOT NULL,
    time     INTEGER NOT NULL,
    previous BLOB    NOT NULL,
    hash     BLOB    NOT NULL,
    body     BLOB    NOT NULL, events INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (writer, sequence)
) STRICT;

CREATE INDEX job_status ON job (vault, status, started, id);

CREATE INDEX job_operation ON job (vault, operation, started, id);
