-- JSON is kept as text: Postgres' own JSON types refuse some documents that are
-- JSON, and reorder others. Cast where needed: input::jsonb.
CREATE TABLE decision (
    event_id uuid PRIMARY KEY,
    decision_id uuid NOT NULL,
    tenant text NOT NULL,
    correlation uuid NOT NULL,
    path text NOT NULL,
    bundle_digest text NOT NULL,
    input text NOT NULL,
    result text,
    allow boolean NOT NULL,
    reasons text NOT NULL,
    engine text NOT NULL,
    duration_us bigint NOT NULL,
    recorded_at timestamptz NOT NULL
);
CREATE INDEX decision_correlation ON decision (correlation);
CREATE INDEX decision_id ON decision (decision_id);
