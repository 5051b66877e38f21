-- Only an admin's hiding looked there, which finds a team's submissions by
-- submissions_by_team; every submission paid for it.
DROP INDEX submissions_by_cell;
