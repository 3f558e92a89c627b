CREATE TABLE resource (
    kind text NOT NULL,
    id text NOT NULL,
    tenant text NOT NULL,
    -- Position in the resource's stream; also its entity tag.
    version bigint NOT NULL,
    retired boolean NOT NULL,
    -- As published, JSON, secrets sealed; none once retired.
    definition text,
    event_id uuid NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (kind, id)
) WITH (fillfactor = 80);
