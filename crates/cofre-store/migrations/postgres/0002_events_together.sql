-- Events of one writer that were appended together share a row (docs/database.md, "Events").
ALTER TABLE event ADD COLUMN events BIGINT NOT NULL DEFAULT 1;
