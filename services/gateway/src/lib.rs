//! What senders meet: POST /hooks/{source_id}.
