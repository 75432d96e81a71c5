-- Lists of jobs over customers, newest first: of one customer, and of those that failed.
CREATE INDEX job_customer ON job (account_id, id);
CREATE INDEX job_failed ON job (id) WHERE state = 2;
