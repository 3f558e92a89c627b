-- On whose behalf; null for what was recorded before that was known.
ALTER TABLE event ADD COLUMN actor text;
