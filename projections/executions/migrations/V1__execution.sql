-- One row an event, each written once: the first one wins. Requests and answers
-- come from two topics, and either may be read first.
CREATE TABLE request (
    execution_id uuid PRIMARY KEY,
    event_id uuid NOT NULL,
    tenant text NOT NULL,
    correlation uuid NOT NULL,
    workflow_id uuid NOT NULL,
    step text NOT NULL,
    compensation boolean NOT NULL,
    agent_id text NOT NULL,
    tool text NOT NULL,
    arguments text NOT NULL,
    space text NOT NULL,
    subject text NOT NULL,
    deadline timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL
);
CREATE INDEX request_correlation ON request (correlation);
CREATE INDEX request_recorded ON request (tenant, recorded_at DESC, execution_id);

CREATE TABLE cancellation (
    execution_id uuid PRIMARY KEY,
    event_id uuid NOT NULL,
    reason text NOT NULL,
    recorded_at timestamptz NOT NULL
);

CREATE TABLE start (
    execution_id uuid NOT NULL,
    version bigint NOT NULL,
    event_id uuid NOT NULL,
    -- A JSON array of context ids, oldest first.
    shown text NOT NULL,
    arguments_sha256 text NOT NULL,
    attempt bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (execution_id, version)
);

CREATE TABLE ending (
    execution_id uuid PRIMARY KEY,
    event_id uuid NOT NULL,
    succeeded boolean NOT NULL,
    output text,
    model text,
    code text,
    reason text,
    duration_ms bigint NOT NULL,
    recorded_at timestamptz NOT NULL
);

-- The agent execution log.
CREATE VIEW execution AS
SELECT r.execution_id, r.tenant, r.correlation, r.workflow_id, r.step, r.compensation,
       r.agent_id, r.tool, r.arguments, r.space, r.subject, r.deadline,
       CASE WHEN e.succeeded THEN 'succeeded'
            WHEN NOT e.succeeded THEN 'failed'
            WHEN c.execution_id IS NOT NULL THEN 'cancelled'
            WHEN s.execution_id IS NOT NULL THEN 'running'
            ELSE 'requested' END AS status,
       coalesce(s.attempt, 0) AS attempts,
       coalesce(s.shown, '[]') AS shown,
       s.arguments_sha256,
       e.output, e.model, e.code, coalesce(e.reason, c.reason) AS reason, e.duration_ms,
       r.recorded_at AS requested_at, s.recorded_at AS started_at, e.recorded_at AS ended_at
FROM request r
LEFT JOIN cancellation c USING (execution_id)
LEFT JOIN ending e USING (execution_id)
LEFT JOIN LATERAL (
    SELECT * FROM start WHERE start.execution_id = r.execution_id ORDER BY version DESC LIMIT 1
) s ON true;
