-- Task id of the first job of the same request; none in the row of that first job.
ALTER TABLE job ADD COLUMN request TEXT;
CREATE INDEX job_request ON job (COALESCE(request, task_id));
