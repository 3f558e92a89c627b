CREATE TABLE run (
    workflow_id uuid PRIMARY KEY,
    tenant text NOT NULL,
    correlation uuid NOT NULL,
    definition_id text,
    definition_digest text,
    context_id uuid,
    kind text,
    space text,
    subject text,
    -- running, compensating, succeeded, compensated or parked
    status text NOT NULL,
    failed_step text,
    reason text,
    started_at timestamptz,
    changed_at timestamptz NOT NULL,
    -- Of the stream: an event at or below it changes nothing.
    version bigint NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX run_correlation ON run (correlation);

CREATE TABLE step (
    workflow_id uuid NOT NULL,
    step text NOT NULL,
    -- Place in the definition, counted from 1.
    ordinal bigint,
    -- pending, running, succeeded, skipped, failed, compensating, compensated or parked
    status text NOT NULL,
    -- agent or effect, and which
    call text,
    target text,
    output text,
    code text,
    reason text,
    -- Of the compensation.
    attempts bigint,
    started_at timestamptz,
    ended_at timestamptz,
    compensated_at timestamptz,
    PRIMARY KEY (workflow_id, step)
) WITH (fillfactor = 70);
