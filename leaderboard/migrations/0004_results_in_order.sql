-- Result files in the order in which they come: by their SHA-256 each one was
-- written to another place of the file.
CREATE TABLE results_in_order (
  sha256  TEXT NOT NULL PRIMARY KEY, -- of the file's bytes, hexadecimal
  content BLOB NOT NULL              -- the file, gzipped
) STRICT;
INSERT INTO results_in_order SELECT sha256, content FROM results;
DROP TABLE results;
ALTER TABLE results_in_order RENAME TO results;
