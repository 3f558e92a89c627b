-- What is shared and what is merged into it are rows of their own, each written
-- once: the first one wins. JSON is kept as text, see the README of decisions.
CREATE TABLE shared (
    context_id uuid PRIMARY KEY,
    event_id uuid NOT NULL,
    tenant text NOT NULL,
    correlation uuid NOT NULL,
    space text NOT NULL,
    kind text NOT NULL,
    subject text NOT NULL,
    delivery uuid NOT NULL,
    source_id text NOT NULL,
    content text NOT NULL,
    content_sha256 text NOT NULL,
    text text NOT NULL,
    model_digest text NOT NULL,
    neighbour_id uuid,
    neighbour_cosine double precision,
    neighbour_kept_apart text,
    subscribers text NOT NULL,
    recorded_at timestamptz NOT NULL,
    log_partition integer NOT NULL,
    log_offset bigint NOT NULL
);
CREATE INDEX shared_correlation ON shared (correlation);
-- A subject may be longer than an index row, so its digest is indexed. All
-- contexts of a space are in one partition: the offset is their order.
CREATE INDEX shared_history ON shared (tenant, space, md5(subject), log_offset DESC);

CREATE TABLE merged (
    context_id uuid NOT NULL,
    version bigint NOT NULL,
    event_id uuid NOT NULL,
    tenant text NOT NULL,
    correlation uuid NOT NULL,
    space text NOT NULL,
    kind text NOT NULL,
    subject text NOT NULL,
    delivery uuid NOT NULL,
    source_id text NOT NULL,
    content text NOT NULL,
    content_sha256 text NOT NULL,
    model_digest text NOT NULL,
    cosine double precision NOT NULL,
    exact boolean NOT NULL,
    recorded_at timestamptz NOT NULL,
    log_partition integer NOT NULL,
    log_offset bigint NOT NULL,
    PRIMARY KEY (context_id, version)
);
CREATE INDEX merged_correlation ON merged (correlation);
