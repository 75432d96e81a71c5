-- Those that may be forgotten.
CREATE INDEX job_ended ON job (created) WHERE state <> 0;
