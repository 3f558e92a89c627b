-- A stream has one event, so the correlation id is the key; the first one wins.
CREATE TABLE accepted (
    correlation uuid PRIMARY KEY,
    event_id uuid NOT NULL,
    tenant text NOT NULL,
    space text NOT NULL,
    source_id text NOT NULL,
    delivery_id text NOT NULL,
    event_type text NOT NULL,
    subject text,
    scheme text NOT NULL,
    auth text NOT NULL,
    key_id text,
    content_type text NOT NULL,
    body_sha256 text NOT NULL,
    body_bytes bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    log_partition integer NOT NULL,
    log_offset bigint NOT NULL
);

-- Refusals are told apart by event id: a forger may claim the id of a real
-- delivery, and must not take its place.
CREATE TABLE refused (
    event_id uuid PRIMARY KEY,
    correlation uuid NOT NULL,
    tenant text NOT NULL,
    space text NOT NULL,
    source_id text NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    body_sha256 text NOT NULL,
    body_bytes bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    log_partition integer NOT NULL,
    log_offset bigint NOT NULL
);
CREATE INDEX refused_correlation ON refused (correlation);
