-- What was answered under an Idempotency-Key.
CREATE TABLE answer (
    -- SHA-256 of tenant, caller, route and key.
    key bytea PRIMARY KEY,
    body_sha256 bytea NOT NULL,
    -- Null while the first request is being handled.
    status smallint,
    -- The content type, and after a line feed the Location.
    headers text,
    body text,
    claimed_at timestamptz NOT NULL DEFAULT now(),
    -- Until when the one who claimed it may be at work.
    leased_until timestamptz NOT NULL,
    answered_at timestamptz
);
CREATE INDEX answer_claimed ON answer (claimed_at);
