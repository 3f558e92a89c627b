-- Every event of the mesh, once: of a repeated event id the first one stands.
CREATE TABLE event (
    event_id uuid PRIMARY KEY,
    topic text NOT NULL,
    log_partition integer NOT NULL,
    log_offset bigint NOT NULL,
    type text NOT NULL,
    stream text NOT NULL,
    version bigint NOT NULL,
    tenant text NOT NULL,
    correlation uuid NOT NULL,
    causation uuid,
    recorded_at timestamptz NOT NULL,
    source text NOT NULL,
    traceparent text,
    -- The published fields, JSON kept as text.
    body text NOT NULL,
    -- Of the record's value as it is on the log, framing included.
    value_sha256 text NOT NULL
);
CREATE INDEX event_correlation ON event (correlation);
