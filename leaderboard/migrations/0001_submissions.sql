-- Teams and what they submitted. A team's name is unique without regard to
-- case and width; its token, once it has one, guards it.
CREATE TABLE teams (
  id         INTEGER PRIMARY KEY,
  name       TEXT NOT NULL,          -- as it is shown
  name_key   TEXT NOT NULL UNIQUE,   -- as it is compared (RFC 8266)
  token_hash BLOB,                   -- SHA-256 of the token; NULL: unclaimed
  created_ms INTEGER NOT NULL
) STRICT;

-- A result file, kept once however many submissions carry it.
CREATE TABLE results (
  sha256  TEXT PRIMARY KEY,          -- of the file's bytes, hexadecimal
  content BLOB NOT NULL              -- the file, gzipped
) STRICT, WITHOUT ROWID;

CREATE TABLE submissions (
  id              INTEGER PRIMARY KEY,
  team_id         INTEGER NOT NULL REFERENCES teams,
  idempotency_key TEXT NOT NULL,
  payload_sha256  TEXT NOT NULL,
  event_id        TEXT NOT NULL UNIQUE,
  isl             INTEGER NOT NULL,
  osl             INTEGER NOT NULL,
  conc            INTEGER NOT NULL,
  e2e_ms          REAL NOT NULL,     -- median end-to-end latency
  tput_per_gpu    REAL NOT NULL,     -- input and output tokens a second and GPU
  interactivity   REAL,              -- 1000 / median TPOT (ms); NULL: no result file came with it
  bits_per_byte   REAL NOT NULL,
  byte_perplexity REAL NOT NULL,
  word_perplexity REAL NOT NULL,
  model           TEXT NOT NULL,     -- '' where unknown, as are the next two
  engine          TEXT NOT NULL,
  range_ratio     REAL,              -- of the workload's lengths
  gpus            INTEGER,
  client_limited  INTEGER NOT NULL,
  signed          INTEGER NOT NULL,  -- came with the team's token
  hidden          INTEGER NOT NULL DEFAULT 0, -- taken off the board by an admin
  result_sha256   TEXT REFERENCES results,
  created_ms      INTEGER NOT NULL,
  UNIQUE (team_id, idempotency_key)
) STRICT;

CREATE INDEX submissions_by_team ON submissions (team_id, id DESC);
CREATE INDEX submissions_by_cell ON submissions (isl, osl, team_id, conc);

-- The best submission per team and cell, kept with every submission, so that a
-- page costs what it shows and not what was ever submitted.
CREATE TABLE best (
  isl           INTEGER NOT NULL,
  osl           INTEGER NOT NULL,
  team_id       INTEGER NOT NULL REFERENCES teams,
  conc          INTEGER NOT NULL,
  submission_id INTEGER NOT NULL REFERENCES submissions,
  tput_per_gpu  REAL NOT NULL,
  e2e_ms        REAL NOT NULL,
  PRIMARY KEY (isl, osl, team_id, conc)
) STRICT, WITHOUT ROWID;
