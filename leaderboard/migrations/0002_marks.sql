-- What the rules say of a submission, names that look alike, and standings.
ALTER TABLE submissions ADD COLUMN apart TEXT NOT NULL DEFAULT '';   -- the standings it is in: '' or a group's name
ALTER TABLE submissions ADD COLUMN marks TEXT NOT NULL DEFAULT '';   -- by spaces
ALTER TABLE submissions ADD COLUMN unlike TEXT NOT NULL DEFAULT '';  -- in what its workload is not the baseline's; '' where in nothing
ALTER TABLE submissions ADD COLUMN task TEXT NOT NULL DEFAULT '';    -- accuracy task; '' where unknown
ALTER TABLE submissions ADD COLUMN gsm8k REAL;                       -- share of right answers; NULL: not of that task
ALTER TABLE submissions ADD COLUMN prompts INTEGER;                  -- requests of the run
ALTER TABLE submissions ADD COLUMN run TEXT;                         -- names the run, whatever was edited around its figures
CREATE INDEX submissions_by_run ON submissions (run) WHERE run IS NOT NULL;

-- Names that look alike are one (Unicode TR 39): the skeletons of a name.
ALTER TABLE teams ADD COLUMN looks TEXT NOT NULL DEFAULT '';         -- of the name as it is compared
ALTER TABLE teams ADD COLUMN looks_shown TEXT NOT NULL DEFAULT '';   -- of the name as it is shown
CREATE INDEX teams_by_looks ON teams (looks);
CREATE INDEX teams_by_looks_shown ON teams (looks_shown);

-- The best submission per standings, team and cell. What is in the database is
-- held to the rules, and this table and the next are filled, when a board opens it.
DROP TABLE best;
CREATE TABLE best (
  isl           INTEGER NOT NULL,
  osl           INTEGER NOT NULL,
  apart         TEXT NOT NULL,
  team_id       INTEGER NOT NULL REFERENCES teams,
  conc          INTEGER NOT NULL,
  submission_id INTEGER NOT NULL REFERENCES submissions,
  tput_per_gpu  REAL NOT NULL,
  e2e_ms        REAL NOT NULL,
  interactivity REAL,
  PRIMARY KEY (isl, osl, apart, team_id, conc)
) STRICT, WITHOUT ROWID;
-- A team's place, worked out anew with each change of its bests, so that a page
-- costs what it shows however many teams there are.
CREATE TABLE standings (
  isl           INTEGER NOT NULL,
  osl           INTEGER NOT NULL,
  apart         TEXT NOT NULL,
  team_id       INTEGER NOT NULL REFERENCES teams,
  above_i       INTEGER NOT NULL,   -- points above the baseline's curve, by interactivity
  above_e       INTEGER NOT NULL,   -- by E2E
  best_tput     REAL NOT NULL,
  best_ratio    REAL,               -- NULL: the baseline has no such cell
  PRIMARY KEY (isl, osl, apart, team_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX standings_in_order ON standings (isl, osl, apart, above_i DESC, above_e DESC, best_tput DESC, team_id);

CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
