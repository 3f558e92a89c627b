-- One row an event, each written once: the first one wins. Requests are keyed by
-- remote record and outcomes by correlation id, so two owners may write at once.
CREATE TABLE request (
    effect_id uuid PRIMARY KEY,
    event_id uuid NOT NULL,
    tenant text NOT NULL,
    correlation uuid NOT NULL,
    workflow_id uuid NOT NULL,
    step text NOT NULL,
    compensation boolean NOT NULL,
    connector_id text NOT NULL,
    operation text NOT NULL,
    object text NOT NULL,
    id_property text NOT NULL,
    external_id text NOT NULL,
    properties text NOT NULL,
    deadline timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL
);
CREATE INDEX request_correlation ON request (correlation);

CREATE TABLE cancellation (
    effect_id uuid PRIMARY KEY,
    event_id uuid NOT NULL,
    reason text NOT NULL,
    recorded_at timestamptz NOT NULL
);

CREATE TABLE outcome (
    effect_id uuid NOT NULL,
    version bigint NOT NULL,
    event_id uuid NOT NULL,
    tenant text NOT NULL,
    correlation uuid NOT NULL,
    -- attempted, confirmed, failed, unknown or reconciled
    kind text NOT NULL,
    attempt bigint,
    remote_id text,
    remote_version text,
    properties_sha256 text,
    code text,
    reason text,
    found boolean,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (effect_id, version)
);
CREATE INDEX outcome_correlation ON outcome (correlation);

-- Each write with the last that is known of it.
CREATE VIEW effect AS
SELECT r.effect_id, r.tenant, r.correlation, r.workflow_id, r.step, r.compensation,
       r.connector_id, r.operation, r.object, r.id_property, r.external_id, r.properties, r.deadline,
       CASE o.kind WHEN 'attempted' THEN 'attempted'
                   WHEN 'reconciled' THEN 'unknown'
                   ELSE coalesce(o.kind, CASE WHEN c.effect_id IS NULL THEN 'requested' ELSE 'cancelled' END)
       END AS status,
       coalesce(a.attempts, 0) AS attempts,
       o.remote_id, o.remote_version, o.properties_sha256, o.code,
       coalesce(o.reason, c.reason) AS reason,
       r.recorded_at AS requested_at, o.recorded_at AS changed_at
FROM request r
LEFT JOIN cancellation c USING (effect_id)
LEFT JOIN LATERAL (
    SELECT * FROM outcome WHERE outcome.effect_id = r.effect_id ORDER BY version DESC LIMIT 1
) o ON true
LEFT JOIN LATERAL (
    SELECT max(attempt) AS attempts FROM outcome WHERE outcome.effect_id = r.effect_id
) a ON true;
